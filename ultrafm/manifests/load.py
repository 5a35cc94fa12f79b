"""Loading manifests: one file, or a folder of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.manifests.document import Document, read_document
from ultrafm.manifests.problems import validate
from ultrafm.manifests.rules import site_problems, site_warnings, unfilled_problems
from ultrafm.manifests.schema import SiteManifest
from ultrafm.manifests.tasks import disagreements
from ultrafm.manifests.vocabulary import FILE, Vocabulary, read_vocabulary


@dataclass(frozen=True)
class SiteFile:
    """One manifest file as read; `manifest` is None when its shape is wrong, `document` when it is no YAML.

    warnings: what is allowed and should not be there without a thought.
    """

    path: Path
    document: Document | None
    manifest: SiteManifest | None
    problems: list[UltraFMError]
    warnings: list[UltraFMError] = field(default_factory=list)


@dataclass(frozen=True)
class ManifestFolder:
    """All that a folder of manifests holds, good or bad; `problems` are those of the folder itself."""

    sites: list[SiteFile]
    problems: list[UltraFMError]

    def all_problems(self) -> list[UltraFMError]:
        """The problems of the folder, then those of each site in turn."""
        return [*self.problems, *(problem for site in self.sites for problem in site.problems)]


def load_site(path: Path, vocabulary: Vocabulary) -> SiteManifest:
    """The manifest in one file.

    Raises:
        UltraFMError: the first problem of the file.
    """
    site = read_site(path, vocabulary)
    if site.problems or site.manifest is None:
        raise site.problems[0]
    return site.manifest


def load_sites(folder: Path) -> list[SiteManifest]:
    """The manifests of a folder, sorted by site.

    Raises:
        UltraFMError: the first problem of the folder or of one of its files.
    """
    found = read_folder(folder)
    for problem in found.all_problems():
        raise problem
    manifests = [site.manifest for site in found.sites if site.manifest is not None]
    return sorted(manifests, key=lambda manifest: manifest.site)


def read_site(path: Path, vocabulary: Vocabulary | None) -> SiteFile:
    """Read and check one file; without a vocabulary its words go unchecked. Problems are returned, not raised."""
    path = Path(path)
    try:
        document = read_document(path)
    except UltraFMError as error:
        return SiteFile(path, None, None, [error])
    manifest, problems = validate(document, SiteManifest)
    if manifest is not None:
        problems = site_problems(document, manifest, vocabulary)
        return SiteFile(path, document, manifest, problems, site_warnings(document, manifest))
    unfilled = unfilled_problems(document)
    places = {problem.where for problem in unfilled}
    problems = [*(problem for problem in problems if problem.where not in places), *unfilled]
    return SiteFile(path, document, None, problems)


def read_folder(folder: Path) -> ManifestFolder:
    """Read and check a folder of manifests. Problems are returned, not raised."""
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.is_file() else "no such folder"
        missing = UltraFMError(str(folder), found, "a folder of site manifests and a vocabulary.yaml")
        return ManifestFolder([], [missing])
    vocabulary, problems = read_vocabulary(folder)
    sites = [read_site(path, vocabulary) for path in _site_paths(folder)]
    if not sites:
        mend = "see data_manifests/README.md on how to write one"
        problems.append(UltraFMError(str(folder), "no manifest", "files named site_01_name.yaml", mend))
    problems += _folder_problems(sites)
    return ManifestFolder(sites, problems)


def _site_paths(folder: Path) -> list[Path]:
    """Every YAML file but the vocabulary, so that a manifest with a wrong name is told of and not passed over."""
    paths = (path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
    return sorted(path for path in paths if path.name != FILE and not path.name.startswith("."))


def _folder_problems(sites: list[SiteFile]) -> list[UltraFMError]:
    """Problems between sites: one id twice, one task in different words."""
    known: dict[str, SiteFile] = {}
    problems: list[UltraFMError] = []
    for file in sites:
        if file.manifest is None or file.document is None:
            continue
        first = known.setdefault(file.manifest.site, file)
        if first is not file:
            found = f"{file.manifest.site!r}, which {first.path.name} is called too"
            problems.append(UltraFMError(file.document.place(("site",)), found, "an id of its own"))
    for problem in disagreements([file.manifest for file in known.values() if file.manifest is not None]):
        document = known[problem.site].document
        field = ("tasks", str(problem.position), problem.field)
        problems.append(problem.told_at(document.place(field) if document else problem.site))
    return problems
