"""Figures of merit of many resamples at once: cases carry weights, one column for each resample, and no loop runs.

A bootstrap draws whole units (patients where cases are clustered), separately within strata, the same draw for every
curve; a jackknife leaves one unit out at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

CELLS = 4_000_000  # how many weights are held at once
FEWEST = 5  # smaller strata are drawn together

Weigh = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def weighted_auc(scores: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray:
    """AUROC (B,) of one curve under B sets of case weights; scores, truth: (K,); weights: (K, B). Ties count one half.

    A resample without weight in a class gives NaN.
    """
    order = np.argsort(scores[~truth], kind="stable")
    healthy = scores[~truth][order]
    below = np.zeros((healthy.size + 1, weights.shape[1]))
    np.cumsum(weights[~truth][order], axis=0, out=below[1:])
    ill = weights[truth]
    first, last = (np.searchsorted(healthy, scores[truth], side) for side in ("left", "right"))
    wins = np.einsum("kb,kb->b", ill, below[first]) + np.einsum("kb,kb->b", ill, below[last])
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / (2 * ill.sum(axis=0) * below[-1])


def weighted_roc(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positive rates and sensitivities (T + 1, B) of one curve under B sets of weights, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    rates = []
    for chosen in (~truth, truth):
        total = np.cumsum(weights[order] * chosen[order][:, None], axis=0)
        with np.errstate(invalid="ignore"):
            rates.append(np.vstack([np.zeros(weights.shape[1]), total[ends]]) / total[-1])
    return rates[0], rates[1]


def partial_area(alarms: NDArray[np.float64], hits: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Area (B,) under curves (T, B) from a false positive rate of 0 to `limit`, straight lines between the points."""
    left, right = np.minimum(alarms[:-1], limit), np.minimum(alarms[1:], limit)
    run = alarms[1:] - alarms[:-1]
    slope = np.divide(hits[1:] - hits[:-1], run, out=np.zeros_like(run), where=run > 0)
    return ((right - left) * (hits[:-1] + slope * ((left + right) / 2 - alarms[:-1]))).sum(axis=0)


def scaled_area(area: NDArray[np.float64], limit: float, mcclish: bool) -> NDArray[np.float64]:
    """A partial area as mean sensitivity, or on McClish's scale (Medical Decision Making 1989, 9:190)."""
    if not mcclish:
        return area / limit
    least = limit**2 / 2
    return 0.5 * (1 + (area - least) / (limit - least))


def weighted_partial(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    weights: NDArray[np.float64],
    min_specificity: float,
    mcclish: bool,
) -> NDArray[np.float64]:
    """Partial AUROC (B,) of one curve under B sets of weights (K, B)."""
    limit = 1 - min_specificity
    return scaled_area(partial_area(*weighted_roc(scores, truth, weights), limit), limit, mcclish)


def bootstrap_weights(
    strata: NDArray[np.intp], replicates: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """How often each of U units is drawn in each replicate, in blocks (U, b) whose b add up to `replicates`.

    strata: (U,) numbers; units are drawn with replacement within their stratum, whose size stays as it is.
    """
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    size = max(1, CELLS // strata.size)
    for start in range(0, replicates, size):
        count = min(size, replicates - start)
        drawn = np.empty((strata.size, count))
        for group in groups:
            drawn[group] = generator.multinomial(group.size, np.full(group.size, 1 / group.size), count).T
        yield drawn


def jackknife_weights(units: int) -> Iterator[NDArray[np.float64]]:
    """Weights (U, b) that leave one unit out at a time, in blocks whose b add up to U."""
    size = max(1, CELLS // units)
    for start in range(0, units, size):
        left = np.arange(start, min(start + size, units))
        weights = np.ones((units, left.size))
        weights[left, np.arange(left.size)] = 0
        yield weights


def unit_strata(members: Sequence[tuple[NDArray[np.intp], NDArray[np.bool_]]], units: int) -> NDArray[np.intp]:
    """Strata (U,) of units by the classes of their cases, so that no resample loses a class.

    members: for each disease the unit of each case and its truth. Units alike in every disease share a stratum; strata
    of fewer than five units are put together.
    """
    pattern = np.zeros(units, dtype=np.int64)
    for codes, truth in members:
        ill = np.bincount(codes[truth], minlength=units) > 0
        well = np.bincount(codes[~truth], minlength=units) > 0
        pattern = np.unique(pattern * 4 + 2 * ill + well, return_inverse=True)[1]
    sizes = np.bincount(pattern)
    return np.where(sizes[pattern] < FEWEST, -1, pattern)
