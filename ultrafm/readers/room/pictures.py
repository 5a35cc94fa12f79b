"""The cases of a study from the curated, de-identified stores: pictures and clips as PNG, and their truth."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ultrafm.curation.identity.release import require_release
from ultrafm.curation.store import decode_png, read_table
from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import hash_text
from ultrafm.manifests import gather_tasks, load_sites
from ultrafm.readers.room.protocol import Chosen, Disease, Protocol, TaskCases

FACTS = ("image_id", "site", "patient", "clip", "label", "organ", "simulated")


@dataclass(frozen=True)
class Case:
    """A picture or clip. frames: PNG bytes, a picture has one. width, height: pixels.

    content: SHA-256 over patient and frames as they are served. `name` (image_id or clip), patient and site never reach
    a reader's browser.
    """

    name: str
    frames: tuple[bytes, ...]
    width: int
    height: int
    organ: str
    site: str
    patient: str
    simulated: bool
    content: str


@dataclass(frozen=True)
class Found:
    """A case and the label that the store has for it; of frames that differ all, joined, which no disease means."""

    case: Case
    label: str | None


def find_cases(curated: Path, chosen: Chosen, where: str, base: Path) -> list[Found]:
    """The chosen pictures and clips, in the order in which they are listed (then those of the task, by name).

    Raises UltraFMError for a name that is in no store, a store that nobody signed, and a clip whose order of frames is
    not known.
    """
    more = ([], []) if chosen.task is None else _of_task(curated, chosen.task, base)
    images, clips = (dict.fromkeys([*named, *of_task]) for named, of_task in zip((chosen.images, chosen.clips), more))
    table = _rows(curated, images, clips, where)
    by_image = {row["image_id"]: row for row in table}
    _check_known([*images], by_image, f"{where}.images", curated)
    by_clip: dict[str, list[dict]] = {}
    for row in table:
        if row["clip"] in clips:
            by_clip.setdefault(row["clip"], []).append(row)
    _check_known([*clips], by_clip, f"{where}.clips", curated)
    pictures = [_found(name, [by_image[name]]) for name in images]
    return pictures + [_found(name, _in_order(curated, name, by_clip[name])) for name in clips]


def _stores(curated: Path) -> list[str]:
    """The sites that were curated there."""
    return sorted(path.parent.parent.name for path in Path(curated).glob("*/store/state.json"))


def _rows(curated: Path, images: Iterable[str], clips: Iterable[str], where: str) -> list[dict]:
    """The rows of the stores that are asked for, as dictionaries with the picture."""
    sites = _stores(curated)
    if not sites:
        raise UltraFMError(f"{where}, curated {curated}", "no curated store", "the folder that `ultrafm curate` wrote")
    rows: list[dict] = []
    names, moving = pa.array([*images], pa.string()), pa.array([*clips], pa.string())
    for site in sites:
        table = read_table(curated, site).select([*FACTS, "image"])
        kept = pa.compute.or_(
            pa.compute.is_in(table["image_id"], names), pa.compute.is_in(table["clip"], moving, skip_nulls=True)
        )
        found = table.filter(kept).to_pylist()
        if found:
            require_release(curated, site)
        rows += found
    return rows


def _check_known(wanted: Sequence[str], known: Mapping[str, object], where: str, curated: Path) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UltraFMError(f"STUDY.yaml, {where}", repr(missing[0]), f"a name that a store in {curated} holds")


def _in_order(curated: Path, clip: str, rows: Sequence[dict]) -> list[dict]:
    """The frames of a clip in their order, which only the list that stays in the house tells."""
    site = rows[0]["site"]
    path = Path(curated) / site / "house" / "files.csv"
    if not path.is_file():
        mend = "start the room where the site was curated; the list never leaves the house"
        raise UltraFMError(f"clip {clip!r}, {path}", "no such file", "the list that tells the order of frames", mend)
    with path.open(newline="", encoding="utf-8") as stream:
        places = {row["image_id"]: int(row["frame"] or 0) for row in csv.DictReader(stream)}
    return sorted(rows, key=lambda row: places[row["image_id"]])


def _found(name: str, rows: Sequence[dict]) -> Found:
    """A case of one row (a picture) or of several (a clip)."""
    frames = tuple(row["image"]["bytes"] for row in rows)
    height, width = decode_png(frames[0]).shape
    first = rows[0]
    patient = f"{first['site']}/{first['patient']}"
    content = hash_text(" ".join([patient, *(hashlib.sha256(frame).hexdigest() for frame in frames)]))
    case = Case(
        name, frames, width, height, first["organ"], first["site"], patient, bool(first["simulated"]), content
    )  # fmt: skip
    labels = {row["label"] for row in rows}
    return Found(case, first["label"] if len(labels) == 1 else " and ".join(sorted(map(str, labels))))


def _of_task(curated: Path, asked: TaskCases, base: Path) -> tuple[list[str], list[str]]:
    """Names of the pictures and of the clips of a diagnosis task, sorted.

    Raises UltraFMError for a task that no manifest has.
    """
    tasks = gather_tasks(load_sites(base / asked.manifests))
    known = [name for name, found in tasks.items() if found.task.kind == "diagnosis"]
    if asked.name not in known:
        found = repr(asked.name) + nearest(asked.name, known)
        raise UltraFMError("STUDY.yaml, cases.task.name", found, f"one of {', '.join(known)}")
    task, sites = tasks[asked.name].task, tasks[asked.name].sites
    answers = {*task.positive, *task.negative}
    images, clips = set(), set()
    for site in sites:
        for row in read_table(curated, site).select(["image_id", "clip", "fold", "label", "organ"]).to_pylist():
            if row["fold"] in asked.folds and row["label"] in answers and row["organ"] == task.organ:
                (images if row["clip"] is None else clips).add(row["clip"] or row["image_id"])
    return sorted(images), sorted(clips)


def truths(protocol: Protocol, found: Sequence[Found], base: Path) -> dict[tuple[str, str], int]:
    """(case, disease) -> 0 or 1, for every disease that is asked of a case.

    Raises UltraFMError for a case without a truth: a disease that is asked only where it is known would tell something.
    """
    table = None if protocol.truth.file is None else _truth_file(base / protocol.truth.file)
    answers = {}
    for one in found:
        for disease in protocol.diseases_of(one.case.organ):
            key = (one.case.name, disease.name)
            answers[key] = _of_label(one, disease) if table is None else _of_table(table, key, protocol)
    return answers


def _of_label(found: Found, disease: Disease) -> int:
    if found.label in disease.positive:
        return 1
    if found.label in disease.negative:
        return 0
    expected = f"one of {', '.join((*disease.positive, *disease.negative))}"
    mend = "leave the case out, or say under diseases what the label means"
    raise UltraFMError(f"case {found.case.name!r}, disease {disease.name!r}", f"label {found.label!r}", expected, mend)


def _of_table(table: Mapping[tuple[str, str], int], key: tuple[str, str], protocol: Protocol) -> int:
    if key not in table:
        raise UltraFMError(f"{protocol.truth.file}", f"no row for case {key[0]!r}, disease {key[1]!r}", "one row")
    return table[key]


def _truth_file(path: Path) -> dict[tuple[str, str], int]:
    rows = read_numbers(path, "truth")
    wrong = [key for key, value in rows.items() if value not in (0.0, 1.0)]
    if wrong:
        raise UltraFMError(f"{path}, case {wrong[0][0]!r}", f"the truth {rows[wrong[0]]:g}", "0 or 1")
    return {key: int(value) for key, value in rows.items()}


def read_numbers(path: Path, column: str) -> dict[tuple[str, str], float]:
    """(case, disease) -> number, from a CSV with the columns case, disease and `column`. Raises UltraFMError."""
    from ultrafm.spreadsheet import read_spreadsheet

    if not path.is_file():
        raise UltraFMError(str(path), "no such file", f"a CSV with the columns case, disease, {column}")
    table = read_spreadsheet(path, str(path))
    missing = [name for name in ("case", "disease", column) if name not in table]
    if missing:
        raise UltraFMError(str(path), f"no column {missing[0]!r}", f"the columns case, disease, {column}")
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().idxmax())
        raise UltraFMError(f"{path}, row {row + 2}", repr(table.loc[row, column]), "a number")
    keys = list(zip(table["case"], table["disease"], strict=True))
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if twice:
        raise UltraFMError(str(path), f"case {twice[0]!r}, disease {twice[1]!r} twice", "each once")
    return dict(zip(keys, numbers.astype(float), strict=True))
