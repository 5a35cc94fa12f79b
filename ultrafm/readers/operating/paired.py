"""Two proportions of the same cases, such as the sensitivity of one reader and of the AI: tests and intervals.

The four counts are: both right (a), only the first right (b), only the second right (c), both wrong (d). Cases must be
independent; where several are of one patient, use the clustered analysis of the endpoint instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from ultrafm.errors import UltraFMError


@dataclass(frozen=True)
class PairedTest:
    """First minus second proportion: counts, difference, McNemar's p values, and two intervals.

    non_inferiority_p is Tango's one-sided p that the first is at most `margin` worse, None without a margin.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    difference: float
    p_exact: float
    p_mid: float
    tango: tuple[float, float]
    newcombe: tuple[float, float]
    confidence: float
    margin: float | None = None
    non_inferiority_p: float | None = None


def paired_proportions(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95, margin: float | None = None
) -> PairedTest:
    """Compare two lists of right (1) and wrong (0) over the same cases. Raises UltraFMError for other values."""
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.ndim != 1 or not one.size or not np.isin([one, two], (0, 1)).all():
        found = f"shapes {one.shape} and {two.shape}"
        raise UltraFMError("paired proportions", found, "two lists of 0 and 1 of the same length, with a case at least")
    one, two = one.astype(bool), two.astype(bool)
    counts = tuple(int(cell.sum()) for cell in (one & two, one & ~two, ~one & two, ~one & ~two))
    return from_counts(*counts, confidence=confidence, margin=margin)


def from_counts(
    both: int, first_only: int, second_only: int, neither: int, confidence: float = 0.95, margin: float | None = None
) -> PairedTest:
    """The same from the four counts."""
    counts = (both, first_only, second_only, neither)
    exact = mcnemar_exact(first_only, second_only)
    below = None if margin is None else float(ndtr(-tango_statistic(counts, -margin)))
    difference = (first_only - second_only) / sum(counts)
    return PairedTest(
        *counts, difference, exact, _mid_p(first_only, second_only, exact), tango_interval(counts, confidence),
        newcombe_interval(counts, confidence), confidence, margin, below,
    )  # fmt: skip


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Two-sided exact p of McNemar's test: the binomial test of the discordant pairs."""
    pairs = first_only + second_only
    return min(1.0, 2 * float(binom.cdf(min(first_only, second_only), pairs, 0.5)))


def tango_statistic(counts: tuple[int, int, int, int], difference: float) -> float:
    """Score statistic of the hypothesis that the true difference is `difference` (Tango 1998, 17:891).

    At 0 its square is McNemar's chi-squared without correction.
    """
    _, b, c, _ = counts
    n = sum(counts)
    top = b - c - n * difference
    first = -b - c + (2 * n - b + c) * difference
    second = -c * difference * (1 - difference)
    q = (np.sqrt(max(first**2 - 8 * n * second, 0.0)) - first) / (4 * n)
    variance = n * (2 * q + difference * (1 - difference))
    if variance <= 1e-12 * n:
        return 0.0 if abs(top) < 1e-9 else float(np.sign(top)) * np.inf
    return float(top / np.sqrt(variance))


def tango_interval(counts: tuple[int, int, int, int], confidence: float = 0.95) -> tuple[float, float]:
    """The differences that Tango's score test does not reject."""
    z, edge = float(ndtri((1 + confidence) / 2)), 1 - 1e-9
    estimate = (counts[1] - counts[2]) / sum(counts)
    low = _root(counts, z, -edge, min(estimate, edge)) if estimate > -edge else -1.0
    high = _root(counts, -z, max(estimate, -edge), edge) if estimate < edge else 1.0
    return low, high


def newcombe_interval(counts: tuple[int, int, int, int], confidence: float = 0.95) -> tuple[float, float]:
    """Newcombe's method 10: Wilson's limits of both proportions, with their correlation (1998, 17:2635)."""
    a, b, c, d = counts
    n = a + b + c + d
    first, second = (a + b) / n, (a + c) / n
    (low1, high1), (low2, high2) = (wilson(count, n, confidence) for count in (a + b, a + c))
    phi, difference = _correlation(a, b, c, d), first - second
    below = (first - low1) ** 2 - 2 * phi * (first - low1) * (high2 - second) + (high2 - second) ** 2
    above = (second - low2) ** 2 - 2 * phi * (second - low2) * (high1 - first) + (high1 - first) ** 2
    return difference - float(np.sqrt(below)), difference + float(np.sqrt(above))


def wilson(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of one proportion."""
    z = float(ndtri((1 + confidence) / 2))
    share = successes / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def _root(counts: tuple[int, int, int, int], wanted: float, low: float, high: float) -> float:
    """Where Tango's statistic, which falls, equals `wanted`; the end where it never does."""

    def excess(difference: float) -> float:
        value = tango_statistic(counts, difference) - wanted
        return float(np.clip(value, -1e6, 1e6))

    if excess(low) <= 0:
        return -1.0 if low < -0.999 else low
    if excess(high) >= 0:
        return 1.0 if high > 0.999 else high
    return float(brentq(excess, low, high, xtol=1e-14))


def _correlation(a: int, b: int, c: int, d: int) -> float:
    """Newcombe's phi, corrected for continuity where it is positive; 0 where a margin is empty."""
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    cross = a * d - b * c
    cross = max(cross - (a + b + c + d) / 2, 0.0) if cross > 0 else cross
    return float(cross / np.sqrt(margins))


def _mid_p(first_only: int, second_only: int, exact: float) -> float:
    """Exact p less the probability of the observed table; never above 1."""
    point = float(binom.pmf(first_only, first_only + second_only, 0.5))
    doubled = 2 * float(binom.cdf(min(first_only, second_only), first_only + second_only, 0.5)) - point
    return min(doubled, exact) if first_only != second_only else 1.0
