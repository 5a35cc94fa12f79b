"""What a hospital's table most likely means: its columns, by name or by content, and the words in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from ultrafm.manifests.file_kinds import CLIPS, PICTURES, is_dicom
from ultrafm.manifests.spellings import plain
from ultrafm.manifests.usual_words import COLUMNS, MEANINGS, NOT_KNOWN
from ultrafm.manifests.vocabulary import FIELD_LISTS, UNKNOWN

LOOKED_AT = 20  # cells of a column
MOST_WORDS = 30
LONGEST_WORD = 60  # letters; longer cells are sentences, which may tell who the patient is


def guess_columns(table: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Field of the manifest -> column of the table, each column once; fields without a likely column are left out.

    Files are known by name and content, or by content alone, or by name alone; all other fields by name.
    """
    found: dict[str, str] = {}
    for field in COLUMNS:
        free = [name for name in table.columns if name not in found.values()]
        named = sorted((name for name in free if is_usual(field, name)), key=lambda name: _rank(field, name))
        if field in ("file", "mask"):
            named = _columns_of_files(field, table, free, named, folder)
        if field in (*FIELD_LISTS, "label"):
            named = [name for name in named if not why_no_words(table[name])]
        if named:
            found[field] = named[0]
    return found


def is_usual(field: str, column: str) -> bool:
    """Is the name of a column a usual one for a field of the manifest?"""
    return plain(column) in COLUMNS[field]


def _rank(field: str, column: str) -> int:
    return COLUMNS[field].index(plain(column))


def _columns_of_files(field: str, table: pd.DataFrame, free: list[str], named: list[str], folder: Path) -> list[str]:
    """Columns that hold files, the likeliest first. Masks must at least look like files, a column of files need not."""
    existing = [name for name in free if names_files(table[name], folder)]
    alike = [name for name in named if field == "file" or _most(table[name], _looks_like_a_file)]
    return [*(name for name in existing if name in named), *existing, *alike]


def names_files(cells: Iterable[str], folder: Path) -> bool:
    """Do most of the first cells that are not empty name pictures, clips or DICOM files of the folder?"""
    return _most(cells, lambda cell: _is_image_file(folder, cell))


def _most(cells: Iterable[str], holds: Callable[[str], bool]) -> bool:
    first = [cell for cell in cells if cell][:LOOKED_AT]
    return sum(map(holds, first)) > len(first) / 2


def _looks_like_a_file(cell: str) -> bool:
    return cell.lower().endswith(PICTURES + CLIPS)


def _is_image_file(folder: Path, cell: str) -> bool:
    try:
        path = folder / cell
        return path.is_file() and (_looks_like_a_file(cell) or is_dicom(path))
    except (OSError, ValueError):  # no name that a file could have
        return False


def why_no_words(cells: Iterable[str]) -> str:
    """Why a column cannot hold a few fixed words, such as labels; empty when it can."""
    words = {cell for cell in cells if cell}
    if len(words) > MOST_WORDS:
        return f"{len(words)} different values, at most {MOST_WORDS} can be mapped"
    return f"values of more than {LONGEST_WORD} letters" if any(len(word) > LONGEST_WORD for word in words) else ""


def meanings(field: str, cells: Iterable[str], known: Mapping[str, str], otherwise: str) -> dict[str, str]:
    """Every word of a column -> the vocabulary's word (of `known`) that it means, or `otherwise`. Sorted."""
    meant = {name: word for word, names in MEANINGS[field].items() if word in known for name in names}
    meant |= dict.fromkeys(NOT_KNOWN, UNKNOWN) | {plain(word): word for word in known}
    return {word: word if word in known else meant.get(plain(word), otherwise) for word in sorted(set(cells) - {""})}
