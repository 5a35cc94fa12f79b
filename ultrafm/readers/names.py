"""Names of readers, modalities and levels: always text, sorted as people count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

LEVELS = ("junior", "mid-level", "expert")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key that counts: "reader 2" before "reader 10"."""
    parts = re.split(r"(\d+)", str(name))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def natural_order(names: Iterable[str]) -> list[str]:
    """Different names, sorted as people count."""
    return sorted(set(names), key=natural_key)


def level_order(levels: Sequence[str]) -> list[str]:
    """Different levels: junior, mid-level, expert, then any others as people count."""
    return sorted(
        set(levels), key=lambda name: (LEVELS.index(name) if name in LEVELS else len(LEVELS), natural_key(name))
    )


def text(value: object) -> str:
    """A name as text; missing values as the empty text, whole floats without their point."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def texts(column: pd.Series) -> pd.Series:
    """A column of names as text; each different name is looked at once."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    codes, names = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(np.array([text(name) for name in names], dtype=object)[codes], column.index, name=column.name)


def categories(column: pd.Series, counted: bool = True) -> pd.Series:
    """A column of names as categories of text, in the order of people who count, or of letters (for many names)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    codes, raw = pd.factorize(column, use_na_sentinel=False)
    names = [text(name) for name in raw]
    order = natural_order(names) if counted else sorted(set(names))
    place = {name: number for number, name in enumerate(order)}
    numbers = np.array([place[name] for name in names], dtype=np.int64)[codes]
    return pd.Series(pd.Categorical.from_codes(numbers, pd.Index(order, dtype=object)), column.index, name=column.name)
