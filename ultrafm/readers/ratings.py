"""The ratings table: one row per reader, modality, case and disease; loading, checking, and turning it into arrays.

Columns reader, modality, case, truth (0 or 1) and rating (higher is more suspicious) are required. Columns disease,
level, years, patient, site and simulated are known where present; others are carried along. Names are text, so reader
"10" is not a number, and they sort as people count: 2 before 10.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError, nearest
from ultrafm.spreadsheet import read_spreadsheet

REQUIRED = ("reader", "modality", "case", "truth", "rating")
OPTIONAL = ("disease", "level", "years", "patient", "site", "simulated")
COLUMNS = ("reader", "modality", "case", "truth", "rating", "disease", "level", "years", "patient", "site", "simulated")
AI_NAME = "AI"
AI_MODALITY = "standalone"
ONE_DISEASE = "all cases"
LEVELS = ("junior", "mid-level", "expert")


@dataclass(frozen=True)
class Crossed:
    """The ratings of one disease as arrays: every curve (a reader with a modality) rated every case.

    cases: (K,) text, sorted; truth: (K,) bool; scores: (C, K); units: (K,) text, the patient of each case where cases
    are clustered, else the case itself.
    """

    disease: str
    cases: NDArray[np.object_]
    truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    units: NDArray[np.object_]


def load_ratings(path: Path) -> pd.DataFrame:
    """Read and check a ratings CSV. Raises UltraFMError naming file and row (the header is row 1)."""
    path = Path(path)
    if not path.is_file():
        raise UltraFMError(str(path), "no such file", "a CSV of ratings", f"columns {', '.join(REQUIRED)}")
    return check_ratings(read_spreadsheet(path, str(path)), path.name)


def check_ratings(table: pd.DataFrame, source: str = "ratings") -> pd.DataFrame:
    """Check a ratings table and return it clean: names as text, truth 0/1, rating as a finite number, a disease column.

    Raises UltraFMError naming `source` and the row for a missing column, an empty name, a rating that is no number, a
    truth that is not 0 or 1, the same cell twice, a case with two truths or patients, a reader with two levels, or
    one class only.
    """
    _check_columns(table, source)
    clean = table.reset_index(drop=True).copy()
    if "disease" not in clean:
        clean["disease"] = ONE_DISEASE
    for name in ("reader", "modality", "case", "disease"):
        clean[name] = _names(clean[name], source)
    for name in set(clean.columns) & {"level", "patient", "site", "simulated"}:
        clean[name] = _texts(clean[name])
    clean["rating"] = _numbers(clean["rating"], source, "a finite number")
    clean["truth"] = _truths(clean["truth"], source)
    _check_repeats(clean, source)
    _check_one_value(clean, ["disease", "case"], "truth", source)
    for name in [name for name in ("patient", "site") if name in clean]:
        _check_one_value(clean, ["case"], name, source)
    for name in [name for name in ("level", "years") if name in clean]:
        _check_one_value(clean, ["reader"], name, source)
    _check_classes(clean, source)
    return clean


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key that counts: "reader 2" before "reader 10"."""
    parts = re.split(r"(\d+)", str(name))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def natural_order(names: Sequence[str]) -> list[str]:
    """Different names, sorted as people count."""
    return sorted(set(names), key=natural_key)


def level_order(levels: Sequence[str]) -> list[str]:
    """Different levels: junior, mid-level, expert, then any others as people count."""
    return sorted(
        set(levels), key=lambda name: (LEVELS.index(name) if name in LEVELS else len(LEVELS), natural_key(name))
    )


def find_ai(table: pd.DataFrame, ai: str, source: str = "ratings") -> tuple[str, str]:
    """Reader and modality of the AI. Raises UltraFMError for an unknown name or an AI in several modalities."""
    readers = natural_order(table["reader"])
    if ai not in readers:
        listed = ", ".join(readers[:12]) + (" ..." if len(readers) > 12 else "")
        raise UltraFMError(f"{source}, --ai", repr(ai) + nearest(ai, readers), f"one of the readers: {listed}")
    modalities = natural_order(table.loc[table["reader"] == ai, "modality"])
    if len(modalities) > 1:
        raise UltraFMError(
            f"{source}, reader {ai!r}",
            f"the modalities {', '.join(modalities)}",
            "one modality",
            "leave one in the file",
        )
    return ai, modalities[0]


def cross(
    table: pd.DataFrame, curves: Sequence[tuple[str, str]], cluster: str | None = None, source: str = "ratings"
) -> list[Crossed]:
    """Arrays of each disease, in order of name, with one row of scores per curve (reader, modality).

    cluster: the column whose values bind cases together, such as patient; None when cases are independent. Raises
    UltraFMError naming the first reader x case that is missing, and for an unknown or partly empty cluster column.
    """
    if cluster is not None:
        _check_cluster(table, cluster, source)
    wanted = pd.MultiIndex.from_tuples(list(curves))
    kept = table.assign(curve=wanted.get_indexer(pd.MultiIndex.from_frame(table[["reader", "modality"]])))
    kept = kept[kept["curve"] >= 0]
    return [
        _crossed(str(disease), kept[kept["disease"] == disease], curves, cluster, source)
        for disease in natural_order(kept["disease"])
    ]


def standalone_ratings(cases: pd.DataFrame, name: str = AI_NAME) -> pd.DataFrame:
    """Rows of the AI in the ratings format, from cases with the columns case, truth, disease and score."""
    kept = [column for column in ("case", "truth", "disease", "patient", "site") if column in cases]
    fixed = {"reader": name, "modality": AI_MODALITY, "level": AI_NAME, "years": "", "simulated": "no"}
    return cases[kept].assign(rating=cases["score"].astype(float), **fixed).reindex(columns=COLUMNS)


def _crossed(
    disease: str, rows: pd.DataFrame, curves: Sequence[tuple[str, str]], cluster: str | None, source: str
) -> Crossed:
    """One disease as arrays."""
    first = rows.drop_duplicates("case").sort_values("case", kind="stable")
    cases = first["case"].to_numpy(dtype=object)
    scores = np.full((len(curves), cases.size), np.nan)
    scores[rows["curve"].to_numpy(), pd.Index(cases).get_indexer(rows["case"])] = rows["rating"].to_numpy()
    holes = np.argwhere(np.isnan(scores))
    if holes.size:
        reader, modality = curves[holes[0][0]]
        case = cases[holes[0][1]]
        missing = f"{len(holes)} missing rating{'s' * (len(holes) > 1)}"
        raise UltraFMError(
            f"{source}, disease {disease!r}",
            f"{missing}, the first by reader {reader!r} (modality {modality!r}) of case {case!r}",
            "every reader to have rated every case in every modality",
            "add the rating or leave the case (or the reader) out; if one of the readers is the AI, name it with --ai",
        )
    units = cases if cluster is None else _texts(first[cluster]).to_numpy(dtype=object)
    return Crossed(disease, cases, first["truth"].to_numpy() == 1, scores, units)


def _text(value: object) -> str:
    """A name as text; missing values as the empty text, whole floats without their point."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _texts(column: pd.Series) -> pd.Series:
    """A column of names as text; each different name is looked at once."""
    codes, names = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(np.array([_text(name) for name in names], dtype=object)[codes], column.index, name=column.name)


def _place(source: str, row: int) -> str:
    """Where a row stands in the file: the header is row 1."""
    return f"{source}, row {row + 2}"


def _check_columns(table: pd.DataFrame, source: str) -> None:
    """UltraFMError when a required column is missing or there are no rows."""
    for name in REQUIRED:
        if name not in table.columns:
            found = f"the columns {', '.join(map(str, table.columns))}"
            near = nearest(name, set(map(str, table.columns)) - set(REQUIRED))
            mend = f"add it, or rename the column that holds it{near}; columns needed: {', '.join(REQUIRED)}"
            raise UltraFMError(source, found, f"a column {name!r}", mend)
    if table.empty:
        raise UltraFMError(source, "no rows", "one row per reader, modality and case")


def _names(column: pd.Series, source: str) -> pd.Series:
    """A column of names as text, none empty."""
    text = _texts(column)
    empty = np.flatnonzero(text == "")
    if empty.size:
        raise UltraFMError(_place(source, int(empty[0])), f"no {column.name}", f"a {column.name} in every row")
    return text


def _numbers(column: pd.Series, source: str, expected: str) -> pd.Series:
    """A column as finite floats."""
    values = pd.to_numeric(column, errors="coerce").astype(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        place = f"{_place(source, int(bad[0]))}, column {column.name!r}"
        mend = "a reader who did not rate a case needs a rating, or the case has to be left out for all readers"
        raise UltraFMError(place, repr(column.iloc[bad[0]]), expected, mend)
    return values


def _truths(column: pd.Series, source: str) -> pd.Series:
    """The truth column as 0 and 1."""
    values = _numbers(column, source, "0 (healthy) or 1 (diseased)")
    bad = np.flatnonzero(~values.isin([0, 1]))
    if bad.size:
        place = f"{_place(source, int(bad[0]))}, column 'truth'"
        raise UltraFMError(place, repr(column.iloc[bad[0]]), "0 (healthy) or 1 (diseased)")
    return values.astype(int)


def _check_repeats(table: pd.DataFrame, source: str) -> None:
    """UltraFMError when a reader rated a case twice."""
    keys = ["reader", "modality", "disease", "case"]
    again = np.flatnonzero(table.duplicated(keys))
    if again.size:
        row = table.loc[again[0], keys]
        first = int(np.flatnonzero((table[keys] == row).all(axis=1))[0])
        found = f"a second rating of case {row['case']!r} by reader {row['reader']!r} (first in row {first + 2})"
        raise UltraFMError(_place(source, int(again[0])), found, "one row per reader, modality, case and disease")


def _check_one_value(table: pd.DataFrame, keys: list[str], column: str, source: str) -> None:
    """UltraFMError when the same key (a case, a reader) carries two values of a column."""
    pairs = table.drop_duplicates([*keys, column])
    again = pairs[pairs.duplicated(keys)]
    if len(again):
        row, name = again.iloc[0], keys[-1]
        values = sorted({str(value) for value in pairs.loc[(pairs[keys] == row[keys]).all(axis=1), column]})
        found = f"{name} {row[name]!r} with {column} {' and '.join(values)}"
        raise UltraFMError(_place(source, int(again.index[0])), found, f"one {column} for each {name}")


def _check_classes(table: pd.DataFrame, source: str) -> None:
    """UltraFMError when a disease has one class only."""
    for disease, truth in table.groupby("disease")["truth"]:
        if truth.nunique() < 2:
            kind = "diseased" if truth.iloc[0] else "healthy"
            raise UltraFMError(f"{source}, disease {disease!r}", f"only {kind} cases", "diseased and healthy cases")


def _check_cluster(table: pd.DataFrame, cluster: str, source: str) -> None:
    """UltraFMError when the cluster column is absent or has empty cells."""
    if cluster not in table.columns:
        known = [str(name) for name in table.columns]
        raise UltraFMError(
            f"{source}, --cluster", repr(cluster) + nearest(cluster, known), f"one of {', '.join(known)}"
        )
    empty = np.flatnonzero(_texts(table[cluster]) == "")
    if empty.size:
        place = f"{_place(source, int(empty[0]))}, column {cluster!r}"
        raise UltraFMError(place, "an empty cell", f"a {cluster} for every case", "fill it in or leave --cluster out")
    _check_one_value(table, ["case"], cluster, source)
