"""A first draft of a manifest for a hospital's folder: what can be seen is filled in, the rest is asked for."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from ultrafm.errors import UltraFMError
from ultrafm.files import write_text
from ultrafm.manifests.json_schema import EDITOR_LINE, write_json_schema
from ultrafm.manifests.rules import FILL_IN
from ultrafm.manifests.spreadsheet import read_spreadsheet
from ultrafm.manifests.vocabulary import FILE as VOCABULARY
from ultrafm.manifests.vocabulary import UNKNOWN, Vocabulary, load_vocabulary

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
CLIPS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm")
MOST_LABELS = 30

# Names under which hospitals and data sets usually keep a column, the likeliest first.
USUAL = {
    "file": ("file", "filename", "file_name", "image", "picture", "path", "image_path"),
    "patient": ("patient", "patient_id", "patientid", "case", "case_id", "subject", "subject_id", "pid"),
    "label": ("label", "class", "diagnosis", "pathology", "biopsy", "finding", "category"),
    "mask": ("mask", "mask_file", "outline", "segmentation", "annotation"),
    "organ": ("organ", "anatomy", "body_part"),
    "modality": ("modality", "mode"),
    "scan_mode": ("scan_mode", "probe", "transducer"),
    "clip": ("clip", "video", "sweep", "clip_id"),
}


PATIENT = f"    patient_pattern: {FILL_IN}  # a regular expression on the path; its one group (...) is the patient"
LABEL = "    # label_pattern: the same for the label, if folders or names tell it"
LINES_WITHOUT_TABLE = {
    "dicom": ["    patient_tag: PatientID  # header field that tells patients apart"],
    "video": [PATIENT, LABEL],
    "folder": ["    table: null  # no table was found", PATIENT, LABEL],
}
DEIDENTIFICATION = [
    "    deidentification:",
    "      pseudonyms: secret  # hashes are keyed with a file of this site, which never leaves the house",
    "      text: black out  # text and markers in the scan area; or report: only tell where they are",
    "      sign_off: true  # a person signs the contact sheet before anything is trained on it",
]


@dataclass(frozen=True)
class Draft:
    """Where a draft was written, what was found, and which fields a person has to fill in."""

    path: Path
    found: list[str]
    to_do: list[str]


def draft_manifest(pictures: Path, out: Path, site: str) -> Draft:
    """Write `out`/`site`.yaml for the files in the folder `pictures`, and for their table; the folder is only read.

    The vocabulary and the JSON Schema are put beside it when they are not there. Raises UltraFMError for a folder
    without pictures, with tables that do not serve, or a manifest that exists already.
    """
    pictures, out, target = Path(pictures).resolve(), Path(out), Path(out) / f"{site}.yaml"
    if not re.fullmatch(r"site_\d\d_[a-z0-9_]+", site):
        raise UltraFMError("site", repr(site), "site_ with two digits and a name, such as site_01_own_breast")
    if target.exists():
        raise UltraFMError(str(target), "a manifest that exists already", "a new name", "choose another --site")
    counts = count_files(pictures)
    vocabulary = offer_vocabulary(out)
    found = [f"{count} {name}" for name, count in counts.items() if count]
    if any(pictures.glob("*.csv")):
        path, table, columns = find_table(pictures)
        organs = known_words(table, columns.get("organ"), vocabulary.organs)
        labels = label_map(table, columns.get("label"), vocabulary)
        about = table_lines(path.relative_to(pictures).as_posix(), columns)
        found += [f"table {path.relative_to(pictures)} with {len(table)} rows"]
        found += [f"{field}: column {name!r}" for field, name in columns.items()]
        write_text(target, draft_text(site, pictures, "folder", about, organs, labels))
    else:
        kind = likeliest_kind(counts)
        found += [f"no table, so a source of kind {kind}"]
        write_text(target, draft_text(site, pictures, kind, LINES_WITHOUT_TABLE[kind], [], {}))
    written = enumerate(target.read_text(encoding="utf-8").splitlines(), start=1)
    to_do = [f"line {number}: {line.strip()}" for number, line in written if f" {FILL_IN}" in line and line[0] != "#"]
    return Draft(target, found, to_do)


def count_files(folder: Path) -> dict[str, int]:
    """How many pictures, clips and DICOM files lie in the folder and below. Raises UltraFMError when there is none."""
    if not folder.is_dir():
        raise UltraFMError(str(folder), "no such folder", "the folder that holds your pictures")
    counts = {"pictures": 0, "clips": 0, "DICOM files": 0}
    for place, _folders, names in os.walk(folder):
        for name in names:
            lower = name.lower()
            if lower.endswith((*PICTURES, *CLIPS)):
                counts["pictures" if lower.endswith(PICTURES) else "clips"] += 1
            elif name != "DICOMDIR" and is_dicom(Path(place, name)):
                counts["DICOM files"] += 1
    if not any(counts.values()):
        raise UltraFMError(
            str(folder), "no picture", f"DICOM files, or files that end in {', '.join(PICTURES + CLIPS)}"
        )
    return counts


def is_dicom(path: Path) -> bool:
    """Does a file say of itself that it is DICOM (PS3.10: DICM after 128 bytes)?"""
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def likeliest_kind(counts: Mapping[str, int]) -> str:
    """The kind of source for a folder without a table: what most of its files are."""
    most = max(counts, key=lambda name: counts[name])
    return {"pictures": "folder", "clips": "video", "DICOM files": "dicom"}[most]


def find_table(folder: Path) -> tuple[Path, pd.DataFrame, dict[str, str]]:
    """The first CSV file of the folder with a column of existing files and one of patients, and what its columns mean.

    Raises UltraFMError, with what is missing, when there is none.
    """
    tried = []
    for path in sorted(folder.glob("*.csv")):
        table = read_spreadsheet(path, f"table {path}")
        columns = guess_columns(table, folder)
        if {"file", "patient"} <= set(columns):
            return path, table, columns
        missing = " and ".join(sorted({"file", "patient"} - set(columns)))
        tried.append(f"{path.name} has no column for {missing} (its columns: {', '.join(table.columns)})")
    raise UltraFMError(
        str(folder), "; ".join(tried) or "no CSV table", "a table with one row per picture: its file and its patient",
        "save such a table as metadata.csv in this folder, with the columns file and patient",
    )  # fmt: skip


def guess_columns(table: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Field of the manifest -> column of the table; a column of files counts only if its first files exist."""
    found = {}
    for field, usual in USUAL.items():
        named = {name.lower().replace(" ", "_"): name for name in table.columns}
        column = next((named[name] for name in usual if name in named), None)
        if field in ("file", "mask") and not (column and files_exist(table[column], folder)):
            column = next(
                (name for name in table.columns if name not in found.values() and files_exist(table[name], folder)),
                None,
            )
        if column:
            found[field] = column
    return found


def files_exist(cells: pd.Series, folder: Path, looked_at: int = 20) -> bool:
    """Do the first cells that are not empty name pictures of the folder?"""
    named = [cell for cell in cells if cell][:looked_at]
    return bool(named) and all(cell.lower().endswith(PICTURES) and (folder / cell).is_file() for cell in named)


def offer_vocabulary(out: Path) -> Vocabulary:
    """The vocabulary beside the manifests; a folder without one gets a copy of the project's."""
    from ultrafm.study import REPOSITORY

    out.mkdir(parents=True, exist_ok=True)
    if not (out / VOCABULARY).exists():
        shutil.copyfile(REPOSITORY / "data_manifests" / VOCABULARY, out / VOCABULARY)
    write_json_schema(out)
    return load_vocabulary(out)


def known_words(table: pd.DataFrame, column: str | None, known: Mapping[str, str]) -> list[str]:
    """The words of a column, if the vocabulary knows them all; else none."""
    words = sorted({word for word in table[column] if word}) if column else []
    return words if all(word in known for word in words) else []


def label_map(table: pd.DataFrame, column: str | None, vocabulary: Vocabulary) -> dict[str, str]:
    """Every label of the table -> the vocabulary's word of the same spelling, or unknown."""
    labels = sorted({word for word in table[column] if word}) if column else []
    if len(labels) > MOST_LABELS:
        raise UltraFMError(
            f"column {column!r}",
            f"{len(labels)} different labels",
            f"at most {MOST_LABELS}",
            "is it a column of labels?",
        )
    spelling = {word.lower(): word for word in vocabulary.labels}
    return {label: spelling.get(label.lower(), UNKNOWN) for label in labels}


def table_lines(table: str, columns: Mapping[str, str]) -> list[str]:
    """The lines of a source that name its table and the table's columns."""
    named = [f"      {field}: {scalar(name)}" for field, name in columns.items()]
    return [f"    table: {scalar(table)}", "    columns:", *named]


def draft_text(
    site: str, pictures: Path, kind: str, about: Sequence[str], organs: Sequence[str], labels: Mapping[str, str]
) -> str:
    """The manifest as text with a comment at every field that a person has to look at."""
    lines = [EDITOR_LINE, f"# A draft. Lines with {FILL_IN} need a person; README.md in data_manifests explains them."]
    lines += ["schema_version: 1", f"site: {site}", f"title: {FILL_IN}  # one line for people"]
    lines += [f"organs: [{', '.join(organs) or FILL_IN}]  # words of {VOCABULARY}", "modalities: [B-mode]"]
    lines += [
        "scan_modes: [unknown]  # linear, convex, ...; see vocabulary.yaml",
        f"probe: {FILL_IN}  # array, frequency",
    ]
    if labels:
        lines.append("label_map:  # your label: word of vocabulary.yaml, or unknown")
        lines += [f"  {scalar(label)}: {word}" for label, word in labels.items()]
    lines += ["tasks: []  # questions to ask of this site; see README.md", "split:"]
    lines += ["  rule: patients", "  train: 0.6", "  validation: 0.2", "default_source: local", "sources:", "  local:"]
    lines += [f"    kind: {kind}", f"    publisher: {FILL_IN}  # your institution", f"    country: {FILL_IN}"]
    lines += [f"    licence: {FILL_IN}  # who may use the images, and for what"]
    lines += ["    conditions: [in the house]  # what the licence asks; see README.md", "    citation: none"]
    lines += DEIDENTIFICATION
    lines += [f"    path: {scalar(pictures.name)}  # below the data root, which is {pictures.parent.name}", *about]
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """A text as YAML writes it on one line, in quotes where it needs them."""
    return (
        yaml.safe_dump(text, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()
    )
