"""A first draft of a manifest for a hospital's folder: what can be seen is filled in, the rest is asked for."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from ultrafm.errors import UltraFMError
from ultrafm.files import write_text
from ultrafm.manifests.file_kinds import CLIPS, PICTURES, is_dicom
from ultrafm.manifests.guess import guess_columns, is_usual, meanings, names_files, why_no_words
from ultrafm.manifests.json_schema import EDITOR_LINE, write_json_schema
from ultrafm.manifests.rules import FILL_IN
from ultrafm.manifests.spellings import plain
from ultrafm.manifests.vocabulary import FIELD_LISTS, UNKNOWN, Vocabulary, load_vocabulary
from ultrafm.manifests.vocabulary import FILE as VOCABULARY
from ultrafm.spreadsheet import read_spreadsheet

Words = Mapping[str, Mapping[str, str]]  # field -> word of the table -> word of the vocabulary
NO_WORD = "no word of the vocabulary was found for it"
WORD_LISTS = {**FIELD_LISTS, "label": "labels"}  # field whose cells hold words -> list of the vocabulary

PATIENT = f"    patient_pattern: {FILL_IN}  # a regular expression on the path; its one group (...) is the patient"
LABEL = "    # label_pattern: the same for the label, if folders or names tell it"
LINES_WITHOUT_TABLE = {
    "dicom": ["    patient_tag: PatientID  # header field that tells patients apart"],
    "video": [PATIENT, LABEL],
    "folder": ["    table: null  # no table was found", PATIENT, LABEL],
}
COLUMN_NOTES = {
    "patient": "  # must tell people apart, not examinations, or pictures of one person lie in two folds",
    "clip": "  # pictures with the same value are frames of one clip",
}
DEIDENTIFICATION = [
    "    deidentification:",
    "      pseudonyms: secret  # hashes are keyed with a file of this site, which never leaves the house",
    "      text: black out  # text and markers in the scan area; or report: only tell where they are",
    "      sign_off: true  # a person signs the contact sheet before anything is trained on it",
]


@dataclass(frozen=True)
class Draft:
    """Where a draft was written, what was found, what was not used, and which lines need a person."""

    path: Path
    found: list[str]
    not_used: list[str]
    to_do: list[str]


@dataclass(frozen=True)
class Contents:
    """What a folder tells of itself. about: the lines of its source that name files. words: of its table.

    found, not_used: in words, for the user.
    """

    kind: str
    about: list[str]
    found: list[str]
    not_used: list[str]
    words: Words = field(default_factory=dict)


def draft_manifest(pictures: Path, out: Path, site: str) -> Draft:
    """Write `out`/`site`.yaml for the files in the folder `pictures`, and for their table; the folder is only read.

    The vocabulary and the JSON Schema are put beside it when they are not there. Raises UltraFMError for a folder
    without pictures, with a table that cannot be read, or a manifest that exists already.
    """
    pictures, out, target = Path(pictures).resolve(), Path(out), Path(out) / f"{site}.yaml"
    if not re.fullmatch(r"site_\d\d_[a-z0-9_]+", site):
        raise UltraFMError("--site", repr(site), "site_ with two digits and a name, such as site_01_own_breast")
    if target.exists():
        raise UltraFMError(str(target), "a manifest that exists already", "a new name", "choose another --site")
    counts = count_files(pictures)
    contents = look_into(pictures, likeliest_kind(counts), offer_vocabulary(out))
    write_text(target, draft_text(site, pictures, contents))
    found = [f"{count} {name}" for name, count in counts.items() if count] + contents.found
    return Draft(target, found, contents.not_used, left_to_do(target))


def left_to_do(path: Path) -> list[str]:
    """The lines of a draft that need a person, with their numbers."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    marked = [(number, line) for number, line in lines if FILL_IN in line or NO_WORD in line]
    return [f"line {number}: {line.strip()}" for number, line in marked if line[0] != "#"]


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
            elif name != "DICOMDIR" and is_readable_dicom(Path(place, name)):
                counts["DICOM files"] += 1
    if not any(counts.values()):
        raise UltraFMError(
            str(folder), "no picture", f"DICOM files, or files that end in {', '.join(PICTURES + CLIPS)}"
        )
    return counts


def is_readable_dicom(path: Path) -> bool:
    """Is this a DICOM file that can be opened?"""
    try:
        return is_dicom(path)
    except OSError:
        return False


def likeliest_kind(counts: Mapping[str, int]) -> str:
    """The kind of source for a folder without a table: what most of its files are."""
    most = max(counts, key=lambda name: counts[name])
    return {"pictures": "folder", "clips": "video", "DICOM files": "dicom"}[most]


def look_into(pictures: Path, kind: str, vocabulary: Vocabulary) -> Contents:
    """What a folder holds: what its best table says or, without one that serves, files of the kind that most are.

    A table without a column of files is asked about, but not beside DICOM files, which need none.
    """
    tables = {
        path: read_spreadsheet(path, f"table {path}")
        for path in sorted(pictures.iterdir())
        if path.suffix.lower() == ".csv"
    }
    best = max(tables, key=lambda path: serves(tables[path], pictures), default=None)
    others = [f"table {path.name}" for path in tables if path != best]
    if best is None:
        return Contents(kind, LINES_WITHOUT_TABLE[kind], [f"no table, so a source of kind {kind}"], [])
    if kind == "dicom" and "file" not in guess_columns(tables[best], pictures):
        unused = [f"table {best.name}, which has no column of files", *others]
        return Contents(kind, LINES_WITHOUT_TABLE[kind], [f"no table of files, so a source of kind {kind}"], unused)
    return look_into_table(pictures, best, tables[best], vocabulary, others)


def serves(table: pd.DataFrame, folder: Path) -> tuple[bool, bool, bool]:
    """How well a table serves, to be compared: it names files that exist, it has a column of files, of patients."""
    columns = guess_columns(table, folder)
    exist = "file" in columns and names_files(table[columns["file"]], folder)
    return exist, "file" in columns, "patient" in columns


def look_into_table(
    pictures: Path, path: Path, table: pd.DataFrame, vocabulary: Vocabulary, others: Sequence[str]
) -> Contents:
    """What a table says of the files of its folder. others: further tables, which are not used."""
    columns = guess_columns(table, pictures)
    words = {
        name: meanings(name, table[columns[name]], getattr(vocabulary, known), UNKNOWN if name == "label" else FILL_IN)
        for name, known in WORD_LISTS.items()
        if name in columns
    }
    found = [f"table {path.name} with {len(table)} rows"]
    for name, column in columns.items():
        found.append(f"{name}: column {column!r}{how_known(name, column, table, pictures)}")
    found += [f"{name}: {word!r} means {meant}" for name in words for word, meant in translated(words[name]).items()]
    unused = [f"{name}{why_not(name, table)}" for name in table.columns if name not in columns.values()]
    return Contents("folder", table_lines(path.name, columns, table), found, [*unused, *others], words)


def how_known(name: str, column: str, table: pd.DataFrame, folder: Path) -> str:
    """What makes a column of files doubtful, in words; empty when nothing does, and for other columns."""
    if name not in ("file", "mask"):
        return ""
    if not names_files(table[column], folder):
        return ", by its name; most of its cells name no file of the folder as they stand"
    return "" if is_usual(name, column) else ", by its content: its cells name files"


def why_not(column: str, table: pd.DataFrame) -> str:
    """Why a column was not used whose name says that it holds words, in brackets; empty for other columns."""
    usual = any(is_usual(name, column) for name in WORD_LISTS)
    why = why_no_words(table[column]) if usual else ""
    return f" ({why})" if why else ""


def translated(words: Mapping[str, str]) -> dict[str, str]:
    """The words of a table that are another name for a word of the vocabulary, not only another spelling."""
    return {
        word: meant for word, meant in words.items() if meant not in (FILL_IN, UNKNOWN) and plain(word) != plain(meant)
    }


def offer_vocabulary(out: Path) -> Vocabulary:
    """The vocabulary beside the manifests; a folder without one gets a copy of the project's."""
    from ultrafm.study import REPOSITORY

    out.mkdir(parents=True, exist_ok=True)
    if not (out / VOCABULARY).exists():
        shutil.copyfile(REPOSITORY / "data_manifests" / VOCABULARY, out / VOCABULARY)
    write_json_schema(out)
    return load_vocabulary(out)


def table_lines(name: str, columns: Mapping[str, str], table: pd.DataFrame) -> list[str]:
    """The lines of a source that name its table and the table's columns, with those to choose from where one lacks."""
    free = [column for column in table.columns if column not in columns.values()]
    offered = ", ".join(f"{scalar(column)} ({table[column].nunique()} different)" for column in free)
    lines = [f"    table: {scalar(name)}", "    columns:"]
    for needed in ("file", "patient"):
        if needed not in columns:
            lines.append(f"      {needed}: {FILL_IN}  # choose one of: {offered}")
    named = [f"      {name}: {scalar(column)}{COLUMN_NOTES.get(name, '')}" for name, column in columns.items()]
    return [*lines, *named]


def draft_text(site: str, pictures: Path, contents: Contents) -> str:
    """The manifest as text with a comment at every field that a person has to look at."""
    lines = [EDITOR_LINE, f"# A draft. Lines with {FILL_IN} need a person; README.md in data_manifests explains them."]
    lines += ["schema_version: 1", f"site: {site}", f"title: {FILL_IN}  # one line for people"]
    lines += [f"organs: [{site_words(contents.words, 'organ', FILL_IN)}]  # words of {VOCABULARY}"]
    lines += [f"modalities: [{site_words(contents.words, 'modality', 'B-mode')}]"]
    lines += [
        f"scan_modes: [{site_words(contents.words, 'scan_mode', UNKNOWN)}]  # linear, convex, ...; see {VOCABULARY}",
        f"probe: {FILL_IN}  # array, frequency",
        *map_lines(contents.words),
    ]
    lines += ["tasks: []  # questions to ask of this site; see README.md", "split:"]
    lines += ["  rule: patients", "  train: 0.6", "  validation: 0.2", "default_source: local", "sources:", "  local:"]
    lines += [f"    kind: {contents.kind}", f"    publisher: {FILL_IN}  # your institution", f"    country: {FILL_IN}"]
    lines += [f"    licence: {FILL_IN}  # who may use the images, and for what"]
    lines += ["    conditions: [in the house]  # what the licence asks; see README.md", "    citation: none"]
    lines += DEIDENTIFICATION
    lines += [f"    path: {scalar(pictures.name)}  # below the data root, which is {pictures.parent.name}"]
    return "\n".join([*lines, *contents.about]) + "\n"


def site_words(words: Words, name: str, otherwise: str) -> str:
    """The words of the vocabulary that a column holds, as a list in YAML; `otherwise` where there is none."""
    known = {meant for meant in words.get(name, {}).values() if meant not in (FILL_IN, UNKNOWN)}
    return ", ".join(map(scalar, sorted(known))) or otherwise


def map_lines(words: Words) -> list[str]:
    """label_map, with every label; and word_map, with the words that the vocabulary does not hold."""
    lines = []
    if words.get("label"):
        lines.append(f"label_map:  # your label: word of {VOCABULARY}, or {UNKNOWN}")
        for label, word in words["label"].items():
            lines.append(f"  {scalar(label)}: {word}{f'  # {NO_WORD}' * (word == UNKNOWN and label != UNKNOWN)}")
    others = {
        name: {word: meant for word, meant in words.get(name, {}).items() if word != meant} for name in FIELD_LISTS
    }
    if any(others.values()):
        lines.append(f"word_map:  # your word: a word of organs, modalities or scan_modes above, or {UNKNOWN}")
    for name, mapped in others.items():
        lines += [f"  {name}:"] * bool(mapped)
        asked = f"  # one of the {FIELD_LISTS[name].replace('_', ' ')} of {VOCABULARY}, or {UNKNOWN}"
        lines += [f"    {scalar(word)}: {scalar(meant)}{asked * (meant == FILL_IN)}" for word, meant in mapped.items()]
    return lines


def scalar(text: str) -> str:
    """A text as YAML writes it on one line, in quotes where it needs them."""
    style = None if text.isprintable() else '"'  # line breaks and the like are escaped
    dumped = yaml.safe_dump(text, default_flow_style=True, default_style=style, allow_unicode=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...").strip()
