"""Reading a site's metadata table: one row per picture, its words checked against the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import FileSource, Listed, PhantomSource, SiteManifest
from ultrafm.manifests.spellings import same_word
from ultrafm.manifests.vocabulary import FIELD_LISTS, UNKNOWN
from ultrafm.spreadsheet import read_spreadsheet


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table as written there; empty text where it says nothing.

    number: as a spreadsheet counts, so the header is row 1.
    frame, frames: which frame of the file this is, from 0, and how many of the file are taken.
    simulated, difficulty: said by simulated archives only; difficulty is 0 (plain) to 1 (hidden), or None.
    fault: why the file cannot be used, where that was seen already when it was listed.
    measured: what observers measured in the file, JSON {quantity: {number of the observer: value}}.
    """

    number: int
    file: str
    patient: str
    label: str
    mask: str
    organ: str
    modality: str
    scan_mode: str
    clip: str
    simulated: bool
    difficulty: float | None
    frame: int = 0
    frames: int = 1
    fault: Unusable | None = None
    device: str = ""
    measured: str = ""

    @property
    def name(self) -> str:
        """The file, and which frame of it where it has several."""
        return f"{self.file} frame {self.frame}" if self.frames > 1 else self.file


@dataclass(frozen=True, slots=True)
class Words:
    """What a row says of its picture, in the vocabulary's words; label is None when it is unknown or not given."""

    label: str | None
    organ: str
    modality: str
    scan_mode: str


def source_folder(manifest: SiteManifest, source: FileSource, archive: Path) -> Path:
    """The folder that a table's files are relative to. Raises UltraFMError when it is not there."""
    mend = "check --data-root and sources.path in the manifest"
    for name, folder in (("data root", Path(archive)), ("folder", Path(archive) / source.path)):
        if not folder.is_dir():
            expected = "the folder that holds the images"
            raise UltraFMError(f"{manifest.site}, {name} {folder}", "no such folder", expected, mend)
    return folder


def table_rows(manifest: SiteManifest, source: Listed, archive: Path) -> list[Row]:
    """The rows of a site's table that match `source.where`, in the table's order.

    Raises:
        UltraFMError: no data root, table or column; a table that is no text; no row that matches; no mask at all where
            mask_path says that there are some.
    """
    folder = source_folder(manifest, source, archive)
    path = folder / source.table
    table = _read_table(manifest.site, path)
    where = f"{manifest.site}, table {path.name}"
    columns = table_columns(source)
    _need_columns(where, table, [(f"sources.columns.{field}", name) for field, name in columns.items() if name])
    _need_columns(where, table, [("sources.where", name) for name in source.where])
    chosen = table
    for column, value in source.where.items():
        if not (chosen[column] == value).any():
            known = sorted(set(table[column]))
            raise UltraFMError(where, f"no row with {column} {value!r}", f"at least one{nearest(value, known)}")
        chosen = chosen[chosen[column] == value]
    if chosen.empty:
        raise UltraFMError(where, "no row", "one row per image")
    records = zip(chosen.index, chosen.to_dict("records"))
    rows = [_row(int(number) + 2, cells, columns, source) for number, cells in records]
    return with_masks(with_side_labels(rows, source, folder), manifest.site, source, folder)


def table_columns(source: Listed) -> dict[str, str]:
    """Field -> column of the table, without those whose place a pattern on the path takes."""
    replaced = {
        "patient": source.patient_pattern, "label": source.label_pattern or source.label_file, "mask": source.mask_path,
    }  # fmt: skip
    return {field: name for field, name in source.columns.model_dump().items() if name and not replaced.get(field)}


def path_word(pattern: str | None, name: str) -> str:
    """What the one group of a pattern finds in a path relative to the site's folder; empty where it finds nothing."""
    found = re.search(pattern, name) if pattern else None
    return (found.group(1) or "") if found else ""


def mask_name(source: Listed, name: str) -> str:
    """Where the mask of a picture lies by the source's mask_path; empty where that does not apply."""
    if source.mask_path is None:
        return ""
    other, count = re.subn(source.mask_path.pattern, source.mask_path.becomes, name)
    return other if count else ""


def with_words(rows: Sequence[Row], source: FileSource) -> list[Row]:
    """The rows with organ, modality and scan mode that the source says of all its files, where they say none."""
    common = {name: getattr(source, name) for name in ("organ", "modality", "scan_mode") if getattr(source, name)}
    if not common:
        return list(rows)
    return [replace(row, **{n: word for n, word in common.items() if not getattr(row, n)}) for row in rows]


def with_side_labels(rows: Sequence[Row], source: Listed, folder: Path) -> list[Row]:
    """The rows with the labels that files beside the pictures hold; without such a file a label is not given."""
    side = source.label_file
    if side is None:
        return list(rows)
    labelled = []
    for row in rows:
        name, count = re.subn(side.pattern, side.becomes, row.file)
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        text = path.read_text(encoding="utf-8", errors="replace") if count and inside and path.is_file() else ""
        labelled.append(replace(row, label=path_word(side.finds, text)))
    return labelled


def with_masks(rows: Sequence[Row], site: str, source: Listed, folder: Path) -> list[Row]:
    """The rows with the masks that mask_path finds; a picture whose mask does not exist has none.

    Raises UltraFMError when not one exists, because then mask_path is wrong.
    """
    if source.mask_path is None:
        return list(rows)
    names = [mask_name(source, row.file) for row in rows]
    found = [replace(row, mask=name if name and (folder / name).is_file() else "") for row, name in zip(rows, names)]
    if not any(row.mask for row in found):
        first = next((name for name in names if name), "none: the pattern is in no path")
        mend = "correct mask_path in the manifest, or leave it out"
        raise UltraFMError(f"{site}, mask_path", "not one mask", f"masks such as {first}", mend)
    return found


def row_words(row: Row, manifest: SiteManifest) -> Words:
    """The row's words, translated by label_map and word_map.

    Raises Unusable for a missing patient or file and for a word that is not known here.
    """
    if row.fault:
        raise row.fault
    if not row.file:
        raise Unusable("no file name", "an empty cell", "the name of a picture file")
    if not row.patient:
        raise Unusable("no patient", "an empty cell", "a patient, or the picture cannot be put into a fold")
    return Words(
        _label(row.label, manifest),
        _word("organ", row.organ, manifest),
        _word("modality", row.modality, manifest),
        _word("scan_mode", row.scan_mode, manifest),
    )


def _read_table(site: str, path: Path) -> pd.DataFrame:
    if not path.is_file():
        mend = "check sources.table in the manifest"
        raise UltraFMError(f"{site}, table {path}", "no such file", "a CSV table", mend)
    return read_spreadsheet(path, f"{site}, table {path}")


def _need_columns(where: str, table: pd.DataFrame, wanted: Sequence[tuple[str, str]]) -> None:
    for field, name in wanted:
        if name not in table:
            found = f"the columns {', '.join(table.columns)}"
            expected = f"a column {name!r}, which {field} names{nearest(name, table.columns)}"
            raise UltraFMError(where, found, expected, f"correct {field} in the manifest")


def _row(number: int, cells: dict[str, str], columns: dict[str, str], source: Listed) -> Row:
    told = dict.fromkeys(type(source.columns).model_fields, "") | {
        field: cells[name] for field, name in columns.items()
    }
    file = source.file_form.replace("{}", told["file"]) if told["file"] else ""
    patterns = {"patient": source.patient_pattern, "label": source.label_pattern}
    told |= {"file": file} | {field: path_word(pattern, file) for field, pattern in patterns.items() if pattern}
    simulated = cells.get("simulated", "").lower() == "yes"
    difficulty = cells.get("difficulty", "") if simulated else ""
    return Row(number=number, simulated=simulated, difficulty=float(difficulty) if difficulty else None, **told)


def known_labels(manifest: SiteManifest) -> dict[str, str]:
    """Label in the table -> label of the vocabulary. Simulated archives, and sites without label_map, use its words."""
    sources = (getattr(manifest.sources, name) for name in manifest.sources.available())
    own = {label for source in sources if isinstance(source, PhantomSource) for label in source.labels}
    if not manifest.label_map:
        own |= {label for task in manifest.tasks if task.classes_of == "label" for label in task.words}
    return {label: label for label in sorted(own | {UNKNOWN})} | manifest.label_map


def _label(label: str, manifest: SiteManifest) -> str | None:
    known = known_labels(manifest)
    if not label:
        return None
    if label not in known:
        twin = _other_spelling(label, {**{word: word for word in known.values()}, **known}, "label_map")
        mend = twin or f"{nearest(label, known)}; add it to label_map in the manifest"
        raise Unusable("unknown label", repr(label), f"one of {', '.join(known)}{mend}")
    return None if known[label] == UNKNOWN else known[label]


def _word(field: str, word: str, manifest: SiteManifest) -> str:
    """The site's word for what a row says, by word_map where it is there; without one, the only word or "unknown"."""
    known = getattr(manifest, FIELD_LISTS[field])
    if not word:
        return known[0] if len(known) == 1 else UNKNOWN
    meant = getattr(manifest.word_map, field).get(word, word)
    if meant not in (*known, UNKNOWN):
        place = f"word_map.{field}"
        twin = _other_spelling(word, {**{name: name for name in known}, **getattr(manifest.word_map, field)}, place)
        mend = twin or f"{nearest(word, known)}; if it means one of them, add it to {place} in the manifest"
        expected = f"one of the site's: {', '.join(known)}{mend}"
        raise Unusable(f"unknown {field.replace('_', ' ')}", repr(word), expected)
    return meant


def _other_spelling(word: str, known: Mapping[str, str], place: str) -> str:
    """How to mend a word that is a known one but for case or spaces; empty where it is none. place: of the manifest."""
    twin = same_word(word, known)
    if twin is None:
        return ""
    line = f"add {word!r}: {known[twin]} to {place} in the manifest"
    return f"; {line}" if twin == word else f"; it differs only in upper/lower case or spaces from {twin!r}: {line}"
