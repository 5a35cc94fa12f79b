"""Incomplete designs: the AUROC of every reading that there is, with an unbiased variance for any pattern of holes.

U-statistics of Gallas (Academic Radiology 2006, 13:353; Gallas, Bandos, Samuelson and Wagner, Communications in
Statistics 2009, 38:2586). The kernel of a reader, a healthy and a diseased case is 1, 1/2 or 0 (right order, tie, wrong
order) and counts where the reader rated both. The variance of the mean kernel is its square minus an unbiased estimate
of the square of its expectation, from all pairs of kernels that share neither reader nor case.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.inference import Inference, infer, missing

USTATISTICS = "random readers and random cases, U-statistics of all readings (Gallas 2006, 2009)"
AXES = (0, 1, 2)
MOST_TRIPLES = 50_000_000  # at 16 bytes each, and as much again on the way


@dataclass(frozen=True)
class Kernel:
    """Kernels (J, n, m) of J readers, n healthy and m diseased cases, 0 where not seen; seen: (J, n, m) of 0 and 1."""

    values: NDArray[np.float64]
    seen: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over what was seen; NaN where nothing was."""
        return float(self.values.sum() / self.seen.sum()) if self.seen.any() else float("nan")


def kernel(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Kernel:
    """The kernel of readers' scores (J, K), NaN where a reader did not rate a case.

    Raises UltraFMError for more triples than memory is meant to hold.
    """
    triples = scores.shape[0] * int(truth.sum()) * int((~truth).sum())
    if triples > MOST_TRIPLES:
        found = f"{triples:,} triples of reader, diseased and healthy case in an incomplete design"
        mend = "keep readers and cases without holes, which need no such table"
        raise UltraFMError("U-statistics", found, f"at most {MOST_TRIPLES:,}", mend)
    ill, well = scores[:, None, truth], scores[:, ~truth, None]
    seen = ~(np.isnan(ill) | np.isnan(well))
    values = np.where(ill > well, 1.0, 0.0) + np.where(ill == well, 0.5, 0.0)
    return Kernel(np.where(seen, values, 0.0), seen.astype(float))


def paired_kernel(first: Kernel, second: Kernel) -> Kernel:
    """Differences of two kernels where both were seen, such as AI minus reader on the reader's own cases."""
    both = first.seen * second.seen
    return Kernel((first.values - second.values) * both, both)


def one_kernel(found: Kernel, confidence: float = 0.95) -> Inference:
    """Mean of one kernel: an AUROC, or AI minus readers."""
    spread = [_marginal(found, axis) for axis in AXES]
    return _inference(found.mean, _covariance(found, found), spread, found.seen.shape, confidence)


def two_kernels(first: Kernel, second: Kernel, confidence: float = 0.95) -> Inference:
    """First minus second modality, each over the readings that it has; readers and cases in the same order."""
    variance = _covariance(first, first) + _covariance(second, second) - 2 * _covariance(first, second)
    spread = [_marginal(first, axis) - _marginal(second, axis) for axis in AXES]
    return _inference(first.mean - second.mean, variance, spread, first.seen.shape, confidence)


def _covariance(first: Kernel, second: Kernel) -> float:
    """Covariance of two means: their product minus its unbiased estimate from pairs that share nothing.

    NaN where all pairs share a reader or a case, as those of one reader do.
    """
    pairs = _apart(first.seen, second.seen)
    return first.mean * second.mean - _apart(first.values, second.values) / pairs if pairs > 0 else float("nan")


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Sum over all pairs of entries that share no index, by inclusion and exclusion."""
    total = 0.0
    for size in range(len(AXES) + 1):
        for shared in combinations(AXES, size):
            rest = tuple(axis for axis in AXES if axis not in shared)
            total += (-1) ** size * float((first.sum(axis=rest) * second.sum(axis=rest)).sum())
    return total


def _marginal(found: Kernel, axis: int) -> NDArray[np.float64]:
    """Mean kernel of each reader, healthy or diseased case; the overall mean where one has no kernel."""
    rest = tuple(other for other in AXES if other != axis)
    total, count = found.values.sum(axis=rest), found.seen.sum(axis=rest)
    return np.divide(total, count, out=np.full_like(total, found.mean), where=count > 0)


def _inference(
    estimate: float, variance: float, spread: list[NDArray[np.float64]], shape: tuple[int, ...], confidence: float
) -> Inference:
    """Test and interval; df by Satterthwaite from the spread over readers and over cases of each class."""
    if shape[0] < 2:
        return missing(USTATISTICS, estimate, "no test: one reader says nothing about readers", confidence)
    if not variance > 0:
        return missing(USTATISTICS, estimate, "no test: the estimated variance is not positive", confidence)
    parts = [values.var() ** 2 / (values.size - 1) ** 3 for values in spread]
    least = min(size - 1 for size in shape)
    df = max(variance**2 / sum(parts), least) if sum(parts) > 0 else float(least)
    return infer(USTATISTICS, estimate, variance, df, confidence)
