"""What can be wrong with a ratings table, told with file, row and a way to mend it. Works on whole columns at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.names import categories, texts

TRUTH_WORDS = {
    "abnormal": 1, "diseased": 1, "positive": 1, "true": 1, "yes": 1,
    "normal": 0, "healthy": 0, "negative": 0, "false": 0, "no": 0,
}  # fmt: skip


def row_place(source: str, row: int) -> str:
    """Where a row stands in the file: the header is row 1."""
    return f"{source}, row {row + 2}"


def check_columns(table: pd.DataFrame, required: Sequence[str], source: str) -> None:
    """UltraFMError when a required column is missing, a name stands twice, or there are no rows."""
    twice = table.columns[table.columns.duplicated()]
    if twice.size:
        raise UltraFMError(source, f"two columns {str(twice[0])!r}", "each column once", "leave one out")
    for name in required:
        if name not in table.columns:
            found = f"the columns {', '.join(map(str, table.columns))}"
            others = {str(other).lower(): str(other) for other in table.columns if other not in required}
            near = f" (did you mean {others[name]!r}?)" if name in others else nearest(name, others.values())
            mend = f"add it, or rename the column that holds it{near}; columns needed: {', '.join(required)}"
            mend += "; other names, or a column per reader: ultrafm readers import"
            raise UltraFMError(source, found, f"a column {name!r}", mend)
    if table.empty:
        raise UltraFMError(source, "no rows", "one row per reader, modality and case")


def names(column: pd.Series, source: str, counted: bool = True) -> pd.Series:
    """A column of names as categories of text. UltraFMError for an empty name and for names of mixed type."""
    _check_types(column, source)
    made = categories(column, counted)
    empty = np.flatnonzero(made == "")
    if empty.size:
        raise UltraFMError(row_place(source, int(empty[0])), f"no {column.name}", f"a {column.name} in every row")
    return made


def numbers(column: pd.Series, source: str) -> pd.Series:
    """A column as finite floats."""
    values = pd.to_numeric(column, errors="coerce").astype(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        found = str(column.iloc[bad[0]])
        mend = "a reader who did not rate a case has no row for it, which makes the design incomplete"
        if _number(found.replace(",", "", 1)) is not None:
            mend = "write decimals with a point, or take the table over: ultrafm readers import --decimal-comma"
        place = f"{row_place(source, int(bad[0]))}, column {column.name!r}"
        raise UltraFMError(place, repr(found), "a finite number", mend)
    return values


def truths(column: pd.Series, source: str) -> pd.Series:
    """The truth column as 0 and 1, from these numbers or from the usual words (TRUTH_WORDS)."""
    values = pd.to_numeric(column, errors="coerce").astype(float)
    if values.isna().any():
        values = values.fillna(texts(column).astype(str).str.lower().map(TRUTH_WORDS))
    bad = np.flatnonzero(~values.isin([0, 1]))
    if bad.size:
        place = f"{row_place(source, int(bad[0]))}, column 'truth'"
        mend = "other words: ultrafm readers import --positive WORD"
        raise UltraFMError(place, repr(str(column.iloc[bad[0]])), "0 (healthy) or 1 (diseased)", mend)
    return values.astype(int)


def seconds(column: pd.Series, source: str) -> pd.Series:
    """Reading times as floats of 0 or more; an empty cell is a time that was not taken."""
    values = pd.to_numeric(column.replace("", np.nan), errors="coerce").astype(float)
    bad = np.flatnonzero((values.isna() & column.notna() & (column.astype(str) != "")) | (values < 0))
    if bad.size:
        place = f"{row_place(source, int(bad[0]))}, column 'seconds'"
        raise UltraFMError(place, repr(column.iloc[bad[0]]), "seconds of 0 or more, or an empty cell")
    return values


def check_repeats(table: pd.DataFrame, keys: Sequence[str], source: str) -> None:
    """UltraFMError when a reader rated a case twice."""
    codes = combined(table, keys)
    again = np.flatnonzero(pd.Series(codes).duplicated())
    if again.size:
        first = int(np.flatnonzero(codes == codes[again[0]])[0])
        row = table.loc[again[0], list(keys)]
        found = f"a second rating of case {row['case']!r} by reader {row['reader']!r} (first in row {first + 2})"
        raise UltraFMError(row_place(source, int(again[0])), found, "one row per reader, modality, case and disease")


def check_one_value(table: pd.DataFrame, keys: Sequence[str], column: str, source: str) -> None:
    """UltraFMError when the same key (a case, a reader) carries two values of a column."""
    codes, values = combined(table, keys), _codes(table[column])
    owners, places = np.unique(codes, return_inverse=True)
    first = np.empty(owners.size, dtype=values.dtype)
    first[places[::-1]] = values[::-1]
    again = np.flatnonzero(first[places] != values)
    if again.size:
        row, name = table.iloc[again[0]], keys[-1]
        both = sorted({str(value) for value in table.loc[codes == codes[again[0]], column]})
        found = f"{name} {row[name]!r} with {column} {' and '.join(both)}"
        raise UltraFMError(row_place(source, int(again[0])), found, f"one {column} for each {name}")


def check_classes(table: pd.DataFrame, source: str) -> None:
    """UltraFMError when a disease has one class only."""
    diseases = table["disease"].cat
    total = np.bincount(diseases.codes, minlength=len(diseases.categories))
    diseased = np.bincount(diseases.codes, weights=table["truth"], minlength=len(diseases.categories))
    for name, rows, ill in zip(diseases.categories, total, diseased, strict=True):
        if rows and ill in (0, rows):
            kind = "diseased" if ill else "healthy"
            raise UltraFMError(f"{source}, disease {name!r}", f"only {kind} cases", "diseased and healthy cases")


def combined(table: pd.DataFrame, keys: Sequence[str]) -> NDArray[np.int64]:
    """One number per combination of several columns of categories."""
    codes = np.zeros(len(table), dtype=np.int64)
    for key in keys:
        codes = codes * max(len(table[key].cat.categories), 1) + table[key].cat.codes.to_numpy()
    return codes


def _codes(column: pd.Series) -> NDArray[np.int64]:
    """A column's values as numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy().astype(np.int64)
    return pd.factorize(column, use_na_sentinel=False)[0].astype(np.int64)


def _check_types(column: pd.Series, source: str) -> None:
    """UltraFMError for a column that holds both text and numbers, or one number written in two ways."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype != object and not pd.api.types.is_string_dtype(column.dtype):
        return
    found = [value for value in pd.unique(column) if not pd.isna(value)]
    words = [value for value in found if isinstance(value, str)]
    mend = "write all of them as text, each always in the same way"
    if words and len(words) < len(found):
        other = next(value for value in found if not isinstance(value, str))
        raise UltraFMError(
            f"{source}, column {column.name!r}", f"both text ({words[0]!r}) and numbers ({other!r})", "one type", mend
        )
    seen: dict[float, str] = {}
    for word in words:
        value = _number(word)
        if value is not None and seen.setdefault(value, word.strip()) != word.strip():
            pair = f"{seen[value]!r} and {word.strip()!r}"
            raise UltraFMError(f"{source}, column {column.name!r}", pair, "each name written in one way", mend)


def _number(word: str) -> float | None:
    """The whole number that a word writes (as 1, 01 or 1.0), or None."""
    stripped = word.strip()
    if not stripped.replace(".", "", 1).isdecimal() or not float(stripped).is_integer():
        return None
    return float(stripped)
