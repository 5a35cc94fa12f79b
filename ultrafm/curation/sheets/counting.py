"""Counts and spreads of a curated site's table: what the data sheet is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ultrafm.files import hash_text


class Measure(NamedTuple):
    """A quality measure in words, with its unit and the ends of its scale (None: as far as the pictures go)."""

    words: str
    unit: str
    low: float | None
    high: float | None


MEASURES = {
    "blur": Measure("sharpness", "variance of the Laplacian", 0, None),
    "contrast": Measure("contrast", "standard deviation of grey values", 0, 128),
    "entropy": Measure("information", "entropy in bits", 0, 8),
    "saturated": Measure("saturated", "share of pixels", 0, 1),
    "blank": Measure("blank", "share of pixels", 0, 1),
    "graphics": Measure("graphics", "share of pixels", 0, 1),
    "coloured_share": Measure("coloured", "share of pixels of the original", 0, 1),
}
COUNTED = ("fold", "label", "organ", "modality", "scan_mode")
UNKNOWN = "unknown"
TOLD_APART = ("linear", "convex", "phased sector")  # scan modes that can be read from pixels
OUTSIDE = 0.01  # share of a mask outside the scan area from which on it is said to reach outside
DEPTH_BINS = 12


def count_values(kept: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Images and patients of each value of a column; no value is called "unknown"."""
    groups = kept.groupby(_words(kept[column]).to_numpy(), sort=True)["patient"].agg(["size", "nunique"])
    return {
        str(value): {"images": int(images), "patients": int(patients)}
        for value, images, patients in groups.itertuples()
    }


def _words(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), UNKNOWN).astype(str)


def count_crossed(kept: pd.DataFrame, rows: str, columns: str) -> dict[str, dict[str, int]]:
    """Images of each pair of values of two columns: value of `rows` -> value of `columns` -> images; 0 is left out."""
    first, second = (_words(kept[name]) for name in (rows, columns))
    found: dict[str, dict[str, int]] = {}
    for (one, other), images in pd.Series(1, index=[first, second]).groupby(level=[0, 1]).sum().items():
        found.setdefault(str(one), {})[str(other)] = int(images)
    return found


def spread(values: pd.Series) -> dict[str, float] | None:
    """Lowest, quartiles and highest of numbers; those that are missing do not count. None when there is none."""
    known = pd.to_numeric(values, errors="coerce").replace([np.inf, -np.inf], np.nan).dropna()
    if known.empty:
        return None
    shares = {"lowest": 0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "highest": 1}
    return {name: round(float(known.quantile(share)), 4) for name, share in shares.items()}


def histogram(values: pd.Series, bins: int = DEPTH_BINS) -> dict[str, Any] | None:
    """Equal bins from 0 to a round number above the largest: start, step and counts. None without a finite value."""
    known = pd.to_numeric(values, errors="coerce").replace([np.inf, -np.inf], np.nan).dropna().to_numpy(dtype=float)
    if not len(known):
        return None
    step = round_up(float(known.max()) / bins)
    counts, _edges = np.histogram(known, bins=bins, range=(0, bins * step))
    return {"start": 0, "step": step, "counts": [int(count) for count in counts]}


def round_up(value: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `value`; 1 for 0 and less."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value * (1 - 1e-9)))


def depths_mm(kept: pd.DataFrame, image_size: int) -> pd.Series:
    """Depth of each scan in millimetres, from top to bottom of its box; NaN where the size of a pixel is unknown.

    `pixel_mm` is of the curated picture, whose longer side is `image_size` pixels; `crop` is the box in the original.
    """
    pixel = pd.to_numeric(kept["pixel_mm"])
    sides = [(right - left, bottom - top) for left, top, right, bottom in kept["crop"]]
    shares = pd.Series([height / max(width, height, 1) for width, height in sides], index=kept.index, dtype=float)
    return pixel * image_size * shares


def compare_scan_modes(kept: pd.DataFrame) -> dict[str, Any] | None:
    """What the site states against what the pixels show. None when the pixels were not asked.

    `comparable` counts pictures whose stated mode pixels can tell and whose pixels tell a mode; `agree` those of them
    where both are the same.
    """
    if "found_scan_mode" not in kept:
        return None
    crossed = count_crossed(kept, "scan_mode", "found_scan_mode")
    pairs = [(stated, found, images) for stated, row in crossed.items() for found, images in row.items()]
    both = [pair for pair in pairs if pair[0] in TOLD_APART and pair[1] in TOLD_APART]
    return {
        "table": [{"stated": stated, "found": found, "images": images} for stated, found, images in pairs],
        "comparable": sum(images for _stated, _found, images in both),
        "agree": sum(images for stated, found, images in both if stated == found),
    }


def draw_ids(ids: Iterable[str], count: int, purpose: str) -> list[str]:
    """At most `count` of the ids, drawn by hash: the same ids give the same draw, in whatever order they come."""
    ids = np.array(list(ids), dtype=object)
    return ids[np.argsort(_ranks(ids, purpose), kind="stable")[:count]].tolist()


def draw_spread(ids: pd.Series, kinds: pd.Series, count: int, purpose: str) -> list[str]:
    """At most `count` of the ids, drawn by hash, one of each kind (a row each) before a second of any."""
    drawn = pd.DataFrame({"rank": _ranks(ids, purpose), "kind": pd.factorize(kinds)[0]}).sort_values("rank")
    turns = drawn.assign(turn=drawn.groupby("kind").cumcount()).sort_values(["turn", "rank"])
    return ids.iloc[turns.index[:count]].tolist()


def _ranks(ids: Iterable[str], purpose: str) -> np.ndarray:
    """A number for each id that looks like chance and depends on id and purpose alone."""
    return np.array([int(hash_text(f"{purpose}\x1f{name}")[:15], 16) for name in ids], dtype=np.int64)


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping without what is empty or None, for lists of facts."""
    return {name: cell for name, cell in value.items() if cell not in (None, "", [], ())}
