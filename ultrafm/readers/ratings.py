"""The ratings table: one row per reader, modality, case and disease; loading it, checking it, rows of an AI.

Columns reader, modality, case, truth (0 or 1, or words such as normal and abnormal) and rating (higher is more
suspicious) are required. Known where present: disease; level and years of the reader; patient, site and device of the
case; diagnosis (the reader's final diagnosis of the case, a disease or "healthy"), seconds and session of the reading;
simulated (yes or no). Others are carried along.
Names are text, so reader "10" is not a number, and they sort as people count: 2 before 10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.checks import (
    check_classes,
    check_columns,
    check_one_value,
    check_repeats,
    names,
    numbers,
    row_place,
    seconds,
    truths,
)
from ultrafm.readers.names import categories, texts
from ultrafm.spreadsheet import read_spreadsheet

REQUIRED = ("reader", "modality", "case", "truth", "rating")
OPTIONAL = (
    *("disease", "level", "years", "patient", "diagnosis", "seconds", "session", "site", "device", "simulated"),
)
COLUMNS = ("reader", "modality", "case", "truth", "rating", "disease", "level", "years", "patient", "site", "simulated")
KEYS = ("reader", "modality", "disease", "case")
AI_NAME = "AI"
AI_MODALITY = "standalone"
ONE_DISEASE = "all cases"


def load_ratings(path: Path) -> pd.DataFrame:
    """Read and check a ratings CSV. Raises UltraFMError naming file and row (the header is row 1)."""
    path = Path(path)
    if not path.is_file():
        raise UltraFMError(str(path), "no such file", "a CSV of ratings", f"columns {', '.join(REQUIRED)}")
    return check_ratings(read_spreadsheet(path, str(path)), path.name)


def check_ratings(table: pd.DataFrame, source: str = "ratings") -> pd.DataFrame:
    """Check a ratings table and return it clean: names as categories of text, truth 0/1, rating a finite number.

    Raises UltraFMError naming `source` and the row for a missing column, an empty name, names of mixed type, a rating
    that is no number, a truth that is neither 0 nor 1 nor such a word, the same cell twice, a case with two truths,
    patients, sites or devices, a reader with two levels, a reading with two final diagnoses, seconds below 0, or one
    class only.
    """
    check_columns(table, REQUIRED, source)
    clean = table.reset_index(drop=True).copy()
    if "disease" not in clean:
        clean["disease"] = ONE_DISEASE
    for name in KEYS:
        clean[name] = names(clean[name], source, counted=name != "case")
    for name in set(clean.columns) & {"level", "patient", "site", "device", "session", "simulated", "diagnosis"}:
        clean[name] = categories(texts(clean[name]), counted=False)
    clean["rating"] = numbers(clean["rating"], source)
    clean["truth"] = truths(clean["truth"], source)
    if "seconds" in clean:
        clean["seconds"] = seconds(clean["seconds"], source)
    _check_cells(clean, source)
    return clean


def _check_cells(clean: pd.DataFrame, source: str) -> None:
    """UltraFMError for rows that contradict each other."""
    check_repeats(clean, KEYS, source)
    check_one_value(clean, ("disease", "case"), "truth", source)
    for name in ("patient", "site", "device"):
        if name in clean:
            check_one_value(clean, ("case",), name, source)
    for name in ("level", "years"):
        if name in clean:
            check_one_value(clean, ("reader",), name, source)
    if "diagnosis" in clean:
        check_one_value(clean, ("reader", "modality", "case"), "diagnosis", source)
    check_classes(clean, source)


def find_ai(table: pd.DataFrame, ai: str, source: str = "ratings") -> tuple[str, str]:
    """Reader and modality of the AI. Raises UltraFMError for an unknown name or an AI in several modalities."""
    readers = present(table, "reader")
    if ai not in readers:
        listed = ", ".join(readers[:12]) + (" ..." if len(readers) > 12 else "")
        raise UltraFMError(f"{source}, --ai", repr(ai) + nearest(ai, readers), f"one of the readers: {listed}")
    modalities = present(table[table["reader"] == ai], "modality")
    if len(modalities) > 1:
        raise UltraFMError(
            f"{source}, reader {ai!r}",
            f"the modalities {', '.join(modalities)}",
            "one modality",
            "leave one in the file",
        )
    return ai, modalities[0]


def present(table: pd.DataFrame, column: str) -> list[str]:
    """The names that occur in a column of a checked table, in order."""
    values = table[column].cat
    return values.categories[np.unique(values.codes)].tolist()


def reader_values(table: pd.DataFrame, column: str) -> dict[str, str]:
    """Each reader's value of a column, such as the level."""
    rows = np.unique(table["reader"].cat.codes.to_numpy(), return_index=True)[1]
    first = table[["reader", column]].iloc[rows]
    return dict(zip(first["reader"].astype(str), first[column].astype(str), strict=True))


def cluster_units(table: pd.DataFrame, cluster: str, source: str) -> pd.Series:
    """The cluster column as categories. Raises UltraFMError when it is absent, has empty cells, or splits a case."""
    if cluster not in table.columns:
        known = [str(name) for name in table.columns]
        found = repr(cluster) + nearest(cluster, known)
        raise UltraFMError(f"{source}, --cluster", found, f"one of {', '.join(known)}")
    units = categories(texts(table[cluster]), counted=False)
    empty = np.flatnonzero(units == "")
    if empty.size:
        place = f"{row_place(source, int(empty[0]))}, column {cluster!r}"
        raise UltraFMError(place, "an empty cell", f"a {cluster} for every case", "fill it in or leave --cluster out")
    check_one_value(table.assign(**{cluster: units}), ("case",), cluster, source)
    return units


def standalone_ratings(cases: pd.DataFrame, name: str = AI_NAME) -> pd.DataFrame:
    """Rows of the AI in the ratings format, from cases with the columns case, truth, disease and score."""
    kept = [column for column in ("case", "truth", "disease", "patient", "site") if column in cases]
    fixed = {"reader": name, "modality": AI_MODALITY, "level": AI_NAME, "years": "", "simulated": "no"}
    return cases[kept].assign(rating=cases["score"].astype(float), **fixed).reindex(columns=COLUMNS)
