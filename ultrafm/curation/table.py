"""Reading a site's metadata table: one row per picture, its words checked against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import FileSource, FolderSource, PhantomSource, SiteManifest
from ultrafm.manifests.spreadsheet import read_spreadsheet

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """One row of the table as written there; empty text where it says nothing.

    number: as a spreadsheet counts, so the header is row 1.
    frame, frames: which frame of the file this is, and all of the file's that are taken; numbers from 0.
    simulated, difficulty: said by simulated archives only; difficulty is 0 (plain) to 1 (hidden), or None.
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
    frames: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        """The file, and which frame of it where it has several."""
        return f"{self.file} frame {self.frame}" if len(self.frames) > 1 else self.file


@dataclass(frozen=True)
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


def table_rows(manifest: SiteManifest, source: FolderSource, archive: Path) -> list[Row]:
    """The rows of a site's table that match `source.where`, in the table's order.

    Raises:
        UltraFMError: no data root, table or column; a table that is no text; no row that matches.
    """
    path = source_folder(manifest, source, archive) / source.table
    table = _read_table(manifest.site, path)
    where = f"{manifest.site}, table {path.name}"
    columns = source.columns.model_dump()
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
    return [_row(int(number) + 2, cells, columns) for number, cells in zip(chosen.index, chosen.to_dict("records"))]


def row_words(row: Row, manifest: SiteManifest) -> Words:
    """The row's words, checked. Raises Unusable for a missing patient or file and for a word that is not known here."""
    if not row.file:
        raise Unusable("no file name", "an empty cell", "the name of a picture file")
    if not row.patient:
        raise Unusable("no patient", "an empty cell", "a patient, or the picture cannot be put into a fold")
    return Words(
        _label(row.label, manifest),
        _word("organ", row.organ, manifest.organs),
        _word("modality", row.modality, manifest.modalities),
        _word("scan mode", row.scan_mode, manifest.scan_modes),
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


def _row(number: int, cells: dict[str, str], columns: dict[str, str | None]) -> Row:
    told = {field: cells[name] if name else "" for field, name in columns.items()}
    simulated = cells.get("simulated", "").lower() == "yes"
    difficulty = cells.get("difficulty", "") if simulated else ""
    return Row(number=number, simulated=simulated, difficulty=float(difficulty) if difficulty else None, **told)


def known_labels(manifest: SiteManifest) -> dict[str, str]:
    """Label in the table -> label of the vocabulary. Simulated archives, and sites without label_map, use its words."""
    sources = (getattr(manifest.sources, name) for name in manifest.sources.available())
    own = {label for source in sources if isinstance(source, PhantomSource) for label in source.findings}
    if not manifest.label_map:
        own |= {label for task in manifest.tasks for label in (*task.positive, *task.negative)}
    return {label: label for label in sorted(own | {UNKNOWN})} | manifest.label_map


def _label(label: str, manifest: SiteManifest) -> str | None:
    known = known_labels(manifest)
    if not label:
        return None
    if label not in known:
        expected = f"one of {', '.join(known)}{nearest(label, known)}; add it to label_map in the manifest"
        raise Unusable("unknown label", repr(label), expected)
    return None if known[label] == UNKNOWN else known[label]


def _word(kind: str, word: str, known: Sequence[str]) -> str:
    """The word itself; without one, the site's only word or "unknown"."""
    if not word:
        return known[0] if len(known) == 1 else UNKNOWN
    if word not in known:
        raise Unusable(f"unknown {kind}", repr(word), f"one of the site's: {', '.join(known)}{nearest(word, known)}")
    return word
