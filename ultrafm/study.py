"""One study in one folder: its steps, what each needs, what is finished, and the identity that keeps studies apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import hash_file, hash_files, hash_text, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
PROFILES = NOTEBOOKS / "profiles"

# Rooms whose code every step depends on; a change there runs everything again.
COMMON_CODE = (
    "downstream/auc.py",
    "downstream/limits.py",
    "__init__.py",
    "errors.py",
    "files.py",
    "processor.py",
    "progress.py",
    "seeds.py",
    "spreadsheet.py",
    "study.py",
    "workers.py",
    "reporting/records.py",
    "reporting/figures.py",
    "reporting/rendering.py",
    "reporting/repeats.py",
    "reporting/tables.py",
)
UNDECIDING = ("out", "workers", "curation_workers", "data_root", "pretrained", "allow_network")  # only what lies there


@dataclass(frozen=True)
class StepPlan:
    """A step of the study: its notebook's name, the steps it reads from, and the rooms whose code it runs.

    `folder` is where its notebook lies below notebooks/.
    """

    name: str
    needs: tuple[str, ...]
    rooms: tuple[str, ...]
    folder: str = ""

    @property
    def notebook(self) -> Path:
        """The notebook that is run."""
        return NOTEBOOKS / self.folder / f"{self.name}.ipynb"


STEPS = (
    StepPlan("00_start_here", (), ("manifests", "phantom", "geometry")),
    StepPlan("10_curate", (), ("manifests", "phantom", "geometry", "curation")),
    StepPlan(
        "20_pretrain", ("10_curate",), ("manifests", "phantom", "geometry", "curation", "pretraining", "federation")
    ),
    StepPlan(
        "30_diagnosis",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
    ),
    StepPlan(
        "40_segmentation",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
    ),
    StepPlan("50_reader_study", ("30_diagnosis",), ("manifests", "phantom", "geometry", "curation", "readers")),
    StepPlan(
        "60_privacy",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
    ),
    StepPlan(
        "90_report",
        ("10_curate", "20_pretrain", "30_diagnosis", "40_segmentation", "50_reader_study", "60_privacy"),
        ("reporting",),
    ),
)
STEP_NAMES = tuple(step.name for step in STEPS)

# Longer studies outside the main run: only on demand, and no later step reads what they write.
EXPERIMENTS = (
    StepPlan(
        "optimizer_state",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation"),
        "experiments",
    ),
    StepPlan(
        "pretraining_choices",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
    StepPlan(
        "federation_choices",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation"),
        "experiments",
    ),
    StepPlan(
        "leakage",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation"),
        "experiments",
    ),
    StepPlan(
        "privacy_costs",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
    StepPlan(
        "distance_to_ideal",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
    StepPlan("simulated_pictures", (), ("manifests", "phantom", "geometry", "curation"), "experiments"),
    StepPlan(
        "phantom_to_real",
        ("10_curate",),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
    StepPlan(
        "measurements",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
    StepPlan(
        "evaluation_designs",
        ("10_curate", "20_pretrain"),
        ("manifests", "phantom", "geometry", "curation", "pretraining", "federation", "downstream", "readers"),
        "experiments",
    ),
)
ALL_STEPS = STEPS + EXPERIMENTS
ALL_NAMES = tuple(step.name for step in ALL_STEPS)


def plan_of(name: str) -> StepPlan:
    """The plan of a step or an experiment; an unknown name is an error that says the nearest known one."""
    for step in ALL_STEPS:
        if step.name == name:
            return step
    raise UltraFMError("step", repr(name), f"one of {', '.join(ALL_NAMES)}{nearest(name, ALL_NAMES)}")


@dataclass(frozen=True)
class Identity:
    """What makes two studies different ones: they never share a folder."""

    profile: str
    seed: int
    source: str
    manifests: str


def study_folder(out: str, profile: str) -> Path:
    """The folder of a study: `out` (relative to the repository), or reports/<profile> when it is empty."""
    return (REPOSITORY / out if out else REPOSITORY / "reports" / profile).resolve()


def other_study(folder: str) -> Path:
    """The folder of another study (relative to the repository) whose encoders are wanted here.

    Raises UltraFMError when it has none.
    """
    found = (REPOSITORY / folder).resolve()
    if not (found / "20_pretrain" / "records.json").exists():
        mend = "run that study first, or name another one with the parameter `pretrained`"
        raise UltraFMError(str(found), "no finished step 20_pretrain", "the folder of a study with encoders", mend)
    return found


def find_manifests(folder: str) -> Path:
    """The manifest folder: as given when it exists from here, else relative to the repository."""
    path = Path(folder)
    return (path if path.is_dir() else REPOSITORY / folder).resolve()


def find_root(folder: str) -> Path | None:
    """The folder of real images; None when none is named."""
    return Path(folder).resolve() if folder else None


def claim_folder(folder: Path, identity: Identity) -> None:
    """Make the study's folder, or check that the one there belongs to this very study.

    Raises UltraFMError when the folder cannot be written or holds another study.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UltraFMError(
            str(folder), f"a place that cannot be written ({error.strerror})", "a folder that can be written",
            "choose another one with --out",
        ) from error  # fmt: skip
    known = folder / "study.json"
    if not known.exists():
        write_json(known, asdict(identity))
        return
    there = read_json(known)
    for field, value in asdict(identity).items():
        if there.get(field) != value:
            raise UltraFMError(
                str(folder), f"another study ({field} {there.get(field)!r})", f"{field} {value!r} or an empty folder",
                "choose another folder with --out, or delete this one",
            )  # fmt: skip


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two runs never write to one study at once; freed even by kill -9."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UltraFMError(
                str(folder), "another run at work in it", "one run at a time", "wait for it to end"
            ) from error
        yield


class Step:
    """A notebook's hold on the study: its own folder, the folders of earlier steps, and the place for its records."""

    def __init__(self, plan: StepPlan, study: Path) -> None:
        self.plan, self.study = plan, study
        self.folder = study / plan.name
        self.folder.mkdir(exist_ok=True)

    @property
    def work(self) -> Path:
        """A folder for partial work that tells by itself what it belongs to: it outlives changes and is no output."""
        return self.study / "work" / self.plan.name

    def input(self, name: str) -> Path:
        """The folder of an earlier step. Raises UltraFMError when that step has not run."""
        folder = self.study / name
        if not (folder / "records.json").exists():
            raise UltraFMError(
                str(self.study), f"no finished step {name}", f"{name} before {self.plan.name}",
                f"run {name}.ipynb first, or `ultrafm study`, which runs all steps",
            )  # fmt: skip
        return folder

    def keep_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as <name>.png into the step's folder, from where the index page takes it."""
        from ultrafm.reporting.figures import figure_png  # here, because the command line must start fast

        write_bytes(self.folder / f"{name}.png", figure_png(figure))

    def save_records(self, records: list[dict[str, Any]]) -> None:
        """Write this step's records; they become part of results.json. An empty list says: finished, no numbers."""
        write_json(self.folder / "records.json", records)

    def all_records(self) -> list[dict[str, Any]]:
        """The records of every step that this one reads from."""
        return [record for name in self.plan.needs for record in read_json(self.input(name) / "records.json")]


def open_step(name: str, out: str, profile: str, seed: int, source: str = "", manifests: str = "") -> Step:
    """Open a step of the study in `out` (empty: reports/<profile> in the repository); the notebook's first call.

    The first step to open a folder gives it its identity; a folder that holds another study is an error. A step that
    does not know `source` and `manifests` leaves them empty and takes those of the study.
    """
    folder = study_folder(out, profile)
    known = read_json(folder / "study.json") if (folder / "study.json").exists() else {}
    identity = Identity(
        profile, seed, source or known.get("source", "default"),
        find_manifests(manifests).name if manifests else known.get("manifests", "data_manifests"),
    )  # fmt: skip
    claim_folder(folder, identity)
    return Step(plan_of(name), folder)


def step_code(plan: StepPlan) -> str:
    """Fingerprint of the code that a step runs: its notebook, its rooms, and what all rooms share."""
    package = REPOSITORY / "ultrafm"
    parts = [hash_file(plan.notebook), hash_file(REPOSITORY / "requirements.lock")]
    parts += [hash_file(package / name) for name in COMMON_CODE]
    parts += [hash_code(package / room) for room in plan.rooms]
    return hash_text(" ".join(parts))


def hash_code(room: Path) -> str:
    """Fingerprint of a room's source files; compiled files do not count."""
    lines = sorted(
        f"{path.relative_to(room).as_posix()} {hash_file(path)}" for path in room.rglob("*") if is_source(path)
    )
    return hash_text("\n".join(lines))


def is_source(path: Path) -> bool:
    """Is this a file that people wrote, not one that Python made of it?"""
    return path.is_file() and "__pycache__" not in path.parts


def step_key(plan: StepPlan, parameters: dict[str, Any], inputs: list[str]) -> str:
    """Fingerprint of everything that a step's result depends on: code, parameters, inputs; not speed and places."""
    deciding = {name: value for name, value in sorted(parameters.items()) if name not in UNDECIDING}
    return hash_text(f"{step_code(plan)} {deciding!r} {' '.join(inputs)}")


def step_output(folder: Path, plan: StepPlan) -> str:
    """Fingerprint of the files that a step wrote, which is what later steps depend on.

    Ledgers of privacy, which later steps write beside the stores (`federation.privacy.ledger`), do not count.
    """
    place = folder / plan.name
    files = [path for path in place.rglob("*") if path.is_file()]
    return hash_files([path for path in files if not path.relative_to(place).parts[0].endswith("_privacy")], place)
