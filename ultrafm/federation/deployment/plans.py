"""PLAN.yaml, which coordinator and sites share, and SITE.yaml, which a site keeps: read, checked, told with lines.

Paths in them are relative to the folder of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from ultrafm import __version__
from ultrafm.errors import UltraFMError, nearest
from ultrafm.federation.deployment.keys import AUTHORITY, SERVER, SERVER_KEY, read_public_key
from ultrafm.federation.plan import Federation
from ultrafm.federation.secure.session import guarantee
from ultrafm.federation.vector import layout
from ultrafm.manifests.document import Document, read_document
from ultrafm.manifests.parts import Name, Strict
from ultrafm.manifests.problems import validate
from ultrafm.pretraining.recipe import Recipe, build_model, recipe_of_size

Scalar = bool | int | float | str
POWER_OF_TEN = re.compile(r"[-+]?\d+[eE][-+]?\d+")  # such as 1e-4, which is text in YAML 1.1, where a point is missing


def with_numbers(values: dict[str, Scalar]) -> dict[str, Scalar]:
    """The settings with 1e-4 as a number."""
    powers = {name: float(one) for name, one in values.items() if POWER_OF_TEN.fullmatch(str(one))}
    return values | powers


Settings = Annotated[dict[str, Scalar], AfterValidator(with_numbers)]
Port = Annotated[int, Field(ge=1, le=65535)]


class PlannedSite(Strict):
    """A site that may join, and the file of its public key at the coordinator."""

    site: Name
    key: str


class PlanFile(Strict):
    """The fields of PLAN.yaml; see docs/hospital.md.

    network: `size` of `recipe_of_size`, and fields of `Recipe`. training: fields of `Federation`.
    wait_minutes: how long a run waits for absent sites. reply_minutes: how long a site may take for one message.
    """

    name: Name
    ultrafm: str
    address: str
    control_port: Port = 9093
    folder: str = "federation"
    keys: str = "keys"
    network: Settings
    training: Settings
    seed: int = 0
    wait_minutes: Annotated[float, Field(gt=0)] = 30.0
    reply_minutes: Annotated[float, Field(gt=0)] = 60.0
    sites: Annotated[tuple[PlannedSite, ...], Field(min_length=1)]


class SiteFile(Strict):
    """The fields of SITE.yaml: which site, its copy of the plan, its files. `folder` keeps its state and its log."""

    site: Name
    plan: str
    authority: str = AUTHORITY
    key: str
    curated: str
    folder: str = "federation"


@dataclass(frozen=True)
class Plan:
    """A plan that was read and checked."""

    document: Document
    file: PlanFile
    recipe: Recipe
    federation: Federation

    @property
    def path(self) -> Path:
        """Where it was read."""
        return self.document.path

    @property
    def folder(self) -> Path:
        """Where the coordinator keeps everything."""
        return beside(self.path, self.file.folder)

    @property
    def keys(self) -> Path:
        """Where the coordinator's keys and certificates lie."""
        return beside(self.path, self.file.keys)

    @property
    def sites(self) -> list[str]:
        """The sites, in the order of the plan, which is the order of summation."""
        return [planned.site for planned in self.file.sites]

    @property
    def host(self) -> str:
        """The name under which sites reach the coordinator."""
        return self.file.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port on which sites reach the coordinator."""
        return int(self.file.address.rpartition(":")[2])

    @property
    def control(self) -> str:
        """Where the SuperLink listens, on the coordinator's loopback only."""
        return f"127.0.0.1:{self.file.control_port}"


@dataclass(frozen=True)
class JoiningSite:
    """A site's file that was read and checked, with its copy of the plan."""

    document: Document
    file: SiteFile
    plan: Plan

    def place(self, field: str) -> str:
        """Where a field stands, to be told in an error."""
        return self.document.place((field,))

    @property
    def authority(self) -> Path:
        """The certificate of the coordinator's authority."""
        return beside(self.document.path, self.file.authority)

    @property
    def key(self) -> Path:
        """The site's private key."""
        return beside(self.document.path, self.file.key)

    @property
    def curated(self) -> Path:
        """The folder that the site was curated into."""
        return beside(self.document.path, self.file.curated)

    @property
    def folder(self) -> Path:
        """Where the site keeps acceptance, log and state."""
        return beside(self.document.path, self.file.folder)


def beside(file: Path, path: str) -> Path:
    """A path of a file, from the folder in which the file lies."""
    return (file.resolve().parent / path).resolve()


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises UltraFMError that names file, line and field; key files are not looked at."""
    document = read_document(path)
    file, problems = validate(document, PlanFile)
    if file is None:
        raise problems[0]
    check_version(document, file.ultrafm)
    if (
        not re.fullmatch(r"[A-Za-z0-9.-]+:\d{1,5}", file.address)
        or not 0 < int(file.address.rpartition(":")[2]) < 65536
    ):
        raise UltraFMError(document.place(("address",)), repr(file.address), "host:port, such as fm.example.org:8443")
    first: dict[str, int] = {}
    for number, planned in enumerate(file.sites):
        if planned.site in first:
            place = document.place(("sites", str(number), "site"))
            raise UltraFMError(place, f"{planned.site!r}, as in entry {first[planned.site]}", "a site of its own")
        first[planned.site] = number
    recipe = read_recipe(document, file)
    return Plan(document, file, recipe, read_federation(document, file, recipe))


def check_version(document: Document, planned: str) -> None:
    """Raises UltraFMError unless this is the version of the plan: another one may train or send something else."""
    if planned != __version__:
        place = document.place(("ultrafm",))
        mend = f"install ultrafm {planned} here, or agree with all sites on {__version__}"
        raise UltraFMError(
            place, f"version {planned}, while {__version__} is installed", "one version everywhere", mend
        )


def read_recipe(document: Document, file: PlanFile) -> Recipe:
    """The network and its training as the plan describes them."""
    values = dict(file.network)
    size = values.pop("size", None)
    if not isinstance(size, str):
        raise UltraFMError(document.place(("network", "size")), repr(size), "a size, such as micro or base")
    check_fields(document, "network", values, Recipe)
    try:
        return recipe_of_size(size, **values)
    except UltraFMError as error:
        raise UltraFMError(f"{document.place(('network',))}, {error.where}", error.found, error.expected) from None


def read_federation(document: Document, file: PlanFile, recipe: Recipe) -> Federation:
    """How the sites work together as the plan describes it."""
    check_fields(document, "training", file.training, Federation)
    if "passes" not in file.training:
        raise UltraFMError(document.place(("training",)), "no passes", "passes: how often each image is seen")
    try:
        federation = Federation(**file.training)
        schedule = federation.schedule(len(file.sites), file.seed)
        if federation.secure_aggregation:
            guarantee(federation.secure_threshold, schedule)
        if federation.local_patterns:
            layout(build_model(recipe, seed=0), federation.local_patterns)
    except UltraFMError as error:
        where = f"{document.place(('training',))}, {error.where}"
        raise UltraFMError(where, error.found, error.expected, error.mend) from None
    return federation


def check_fields(document: Document, part: str, values: dict[str, Any], kind: type) -> None:
    """Raises UltraFMError for a field that `kind` does not have, or a value that does not fit it."""
    known, types = [field.name for field in fields(kind)], get_type_hints(kind)
    for name, value in values.items():
        place = document.place((part, name))
        if name not in known:
            raise UltraFMError(place, f"the unknown field {name!r}", f"one of {', '.join(known)}{nearest(name, known)}")
        try:
            TypeAdapter(types[name]).validate_python(value, strict=True)
        except ValidationError as error:
            raise UltraFMError(place, repr(value), error.errors()[0]["msg"].removeprefix("Input should be ")) from None


def allowed_keys(plan: Plan) -> dict[str, bytes]:
    """Site -> public key (PEM), from the key files at the coordinator.

    Raises UltraFMError for a missing or unreadable key, and for one key at two sites.
    """
    keys: dict[str, bytes] = {}
    for number, planned in enumerate(plan.file.sites):
        place = plan.document.place(("sites", str(number), "key"))
        key = read_public_key(beside(plan.path, planned.key), place)
        if other := [site for site, known in keys.items() if known == key]:
            raise UltraFMError(place, f"the key of {other[0]} too", "a key of its own for every site")
        keys[planned.site] = key
    return keys


def check_certificates(plan: Plan) -> None:
    """Raises UltraFMError when one of the coordinator's files is missing."""
    mend = f"`ultrafm federation keys coordinator --host {plan.host} --out {plan.file.keys}`"
    require_files(plan.document.place(("keys",)), [plan.keys / name for name in (AUTHORITY, SERVER, SERVER_KEY)], mend)


def require_files(place: str, paths: Iterable[Path], mend: str) -> None:
    """Raises UltraFMError, told at `place`, for the first of the files that is not there."""
    for path in paths:
        if not path.is_file():
            raise UltraFMError(place, f"no file {path}", "such a file", mend)


def read_site(path: Path) -> JoiningSite:
    """A site's file and its copy of the plan. Raises UltraFMError that names file, line and field."""
    document = read_document(path)
    file, problems = validate(document, SiteFile)
    if file is None:
        raise problems[0]
    plan = beside(document.path, file.plan)
    require_files(document.place(("plan",)), [plan], "ask the coordinator for its plan.yaml")
    site = JoiningSite(document, file, read_plan(plan))
    if file.site not in site.plan.sites:
        expected = f"one of {', '.join(site.plan.sites)}{nearest(file.site, site.plan.sites)}"
        raise UltraFMError(site.place("site"), f"{file.site!r}, which the plan does not name", expected)
    require_files(site.place("authority"), [site.authority], "ask the coordinator for ca.crt")
    return site
