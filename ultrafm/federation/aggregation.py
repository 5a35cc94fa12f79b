"""How the updates of a round become one: a mean that streams, and rules that withstand a few bad sites.

The mean holds one float64 accumulator, whatever the number of sites. The robust rules must see all updates at once:
they wait in one float32 file each, on disk, and are joined part by part, so memory stays small there too; the disk
takes the size of the model times the sites of a round. Robust rules count every site the same, whatever it weighs:
a bad site could claim many images.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.compression import Update, parts

UPDATES = "updates"  # where they wait
AGGREGATIONS = ("mean", "median", "trimmed_mean", "krum")


class Aggregation(Protocol):
    """Takes the updates of a round one at a time, in the order of the sites, and joins them."""

    def add(self, update: Update, weight: float) -> None:
        """Take one site's update; a weight of zero means that it does not count."""

    def joined(self) -> np.ndarray:
        """The joined update, a float64 vector; zeros when no update counts."""


class StreamingMean:
    """The mean of updates by weight. Differences are summed, so what no site changes stays exactly what it was."""

    def __init__(self, length: int) -> None:
        self._total, self._weights = np.zeros(length), 0.0

    def add(self, update: Update, weight: float) -> None:
        for part in parts(len(self._total)):
            self._total[part] += update.part(part) * weight
        self._weights += weight

    def joined(self) -> np.ndarray:
        self._total /= self._weights or 1.0
        return self._total


class RobustJoin:
    """Updates wait in a file each until `rule` joins them, (sites, numbers) -> (numbers), a part at a time."""

    def __init__(self, length: int, rule: Callable[[list[np.ndarray]], np.ndarray], folder: Path | None = None) -> None:
        self._length, self._rule = length, rule
        self._place = (folder or Path(tempfile.mkdtemp())) / UPDATES
        shutil.rmtree(self._place, ignore_errors=True)  # of a round that was cut short
        self._files: list[Path] = []

    def add(self, update: Update, weight: float) -> None:
        if not weight:
            return
        self._place.mkdir(parents=True, exist_ok=True)
        self._files.append(self._place / f"{len(self._files)}.f32")
        try:
            with self._files[-1].open("wb") as waiting:
                for part in parts(self._length):
                    waiting.write(update.part(part).astype(np.float32).data)
        except OSError as error:
            mend = "make room; the same command then goes on from the last finished round"
            found = error.strerror or str(error)
            raise UltraFMError(str(self._place), found, f"{4 * self._length / 1e6:.1f} MB a site", mend) from None

    def joined(self) -> np.ndarray:
        try:
            waiting = [np.memmap(path, np.float32, "r", shape=(self._length,)) for path in self._files]
            return self._rule(waiting) if waiting else np.zeros(self._length)
        finally:
            shutil.rmtree(self._place, ignore_errors=True)


def make_aggregation(name: str, length: int, suspected: int = 1, folder: Path | None = None) -> Aggregation:
    """The aggregation of this name for vectors of `length`; `suspected` bad sites a round must be withstood."""
    if one_of("aggregation", name, AGGREGATIONS) == "mean":
        return StreamingMean(length)
    rules = {
        "median": median,
        "trimmed_mean": lambda updates: trimmed_mean(updates, suspected),
        "krum": lambda updates: krum(updates, suspected),
    }
    return RobustJoin(length, rules[name], folder)


def median(updates: list[np.ndarray]) -> np.ndarray:
    """The median of every number over the sites (Yin et al. 2018, arXiv 1803.01498, definition 1)."""
    return by_part(updates, lambda rows: np.median(rows, axis=0))


def trimmed_mean(updates: list[np.ndarray], suspected: int) -> np.ndarray:
    """The mean of every number without the `suspected` smallest and greatest (Yin et al. 2018, definition 2)."""
    require_majority("trimmed_mean", len(updates), suspected)
    return by_part(updates, lambda rows: np.sort(rows, axis=0)[suspected : len(rows) - suspected].mean(axis=0))


def krum(updates: list[np.ndarray], suspected: int) -> np.ndarray:
    """The one update with the smallest sum of squared distances to its nearest others.

    Nearest are all but `suspected` + 2 of them, itself included (Blanchard et al. 2017, arXiv 1703.02757). Of equals,
    the first site's.
    """
    require_majority("krum", len(updates), suspected)
    distances = np.nan_to_num(squared_distances(updates), nan=np.inf, posinf=np.inf)
    near = len(updates) - suspected - 2
    scores = [np.sort(np.delete(row, own))[:near].sum() for own, row in enumerate(distances)]
    return updates[int(np.argmin(scores))].astype(np.float64)


def squared_distances(updates: list[np.ndarray]) -> np.ndarray:
    """(sites, sites) squared distances between updates."""
    count = len(updates)
    found = np.zeros((count, count))
    for part in parts(len(updates[0])):
        rows = np.stack([one[part] for one in updates]).astype(np.float64)
        for own in range(count):
            with np.errstate(invalid="ignore", over="ignore"):
                found[own] += ((rows - rows[own]) ** 2).sum(axis=1)
    return found


def by_part(updates: list[np.ndarray], join: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Join (sites, numbers) part by part; what is no number counts as infinite."""
    found = np.empty(len(updates[0]))
    for part in parts(len(found)):
        rows = np.stack([one[part] for one in updates]).astype(np.float64)
        found[part] = join(np.where(np.isnan(rows), np.inf, rows))
    return found


def least_updates(rule: str, suspected: int) -> int:
    """How many updates a round must have for a rule to withstand so many bad ones."""
    return {"trimmed_mean": 2 * suspected + 1, "krum": 2 * suspected + 3}.get(rule, 1)


def require_majority(rule: str, updates: int, suspected: int) -> None:
    """Raises UltraFMError when a round has too few updates for a rule to withstand so many bad ones."""
    if updates < (least := least_updates(rule, suspected)):
        raise UltraFMError(
            f"federation, aggregation {rule}", f"{updates} updates in a round with {suspected} suspected",
            f"at least {least}", "ask more sites a round, or suspect fewer",
        )  # fmt: skip
