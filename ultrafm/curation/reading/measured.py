"""What observers measured in a site's files: a table of their own, joined to the rows."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ultrafm.curation.reading.table import Row
from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.schema import FileSource, Measurements
from ultrafm.spreadsheet import read_spreadsheet

Values = dict[str, dict[str, float]]  # quantity -> number of the observer -> value


def with_measurements(rows: Sequence[Row], site: str, source: FileSource, folder: Path) -> list[Row]:
    """The rows with what was measured in their files. All frames of a clip bear what was measured in the clip.

    Raises UltraFMError for a table or column that is not there, a value that is no number, two values of one observer
    for one file, and a table that names none of the files.
    """
    asked = source.measured
    if asked is None:
        return list(rows)
    where = f"{site}, table {asked.table}"
    found = read_measurements(folder / asked.table, asked, where)
    if not any(row.file in found for row in rows):
        first = next((row.file for row in rows), "none")
        hint = nearest(first, found)
        raise UltraFMError(
            where,
            "none of the site's files",
            f"files such as {first!r}{hint}",
            "correct measured.file, or measured.renamed",
        )
    told = {file: json.dumps(values, sort_keys=True) for file, values in found.items()}
    return [replace(row, measured=told.get(row.file, "")) for row in rows]


def read_measurements(path: Path, asked: Measurements, where: str) -> dict[str, Values]:
    """File -> what was measured in it. Observers are numbered from 1 in the order of their names."""
    table = _read(path, asked, where)
    names = sorted(set(table[asked.observer]), key=_natural) if asked.observer else [""]
    numbers = {name: str(number) for number, name in enumerate(names, start=1)}
    found: dict[str, Values] = defaultdict(lambda: defaultdict(dict))
    for line, cells in zip(range(2, len(table) + 2), table.to_dict("records")):
        place, number = f"{where}, row {line}", numbers[cells[asked.observer] if asked.observer else ""]
        for quantity, told in asked.quantities.items():
            value = _number(cells[told.column], f"{place}, column {told.column}")
            if value is None:
                continue
            values = found[_file(cells[asked.file], asked)][quantity]
            if number in values:
                expected = "one value of an observer for a file and a quantity"
                raise UltraFMError(place, f"a second {quantity} of {cells[asked.file]!r}", expected)
            values[number] = value
    return {file: {name: dict(values) for name, values in of.items()} for file, of in found.items()}


def _read(path: Path, asked: Measurements, where: str) -> pd.DataFrame:
    if not path.is_file():
        raise UltraFMError(where, "no such file", "the table of measurements", "correct measured.table in the manifest")
    table = read_spreadsheet(path, where)
    columns: Mapping[str, str | None] = {"file": asked.file, "observer": asked.observer} | {
        f"quantities.{name}.column": told.column for name, told in asked.quantities.items()
    }
    for field, name in columns.items():
        if name and name not in table:
            known = ", ".join(map(str, table.columns))
            mend = f"correct measured.{field} in the manifest"
            raise UltraFMError(where, f"no column {name!r}", f"one of {known}{nearest(name, table.columns)}", mend)
    return table


def _file(name: str, asked: Measurements) -> str:
    """The path of a file as the source names it."""
    return name if asked.renamed is None else re.sub(asked.renamed.pattern, asked.renamed.becomes, name)


def _number(cell: str, place: str) -> float | None:
    """The number in a cell, None where it is empty. Raises UltraFMError for anything else."""
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UltraFMError(place, repr(cell), "a number, or an empty cell")
    return value


def _natural(name: str) -> tuple[int, str]:
    """The order of names in which 2 comes before 10."""
    return (int(name), "") if name.isdecimal() else (0, name)
