"""Chance-corrected agreement on categories: Cohen, weighted and Fleiss kappa, and Gwet's AC1.

A kappa falls with the prevalence of a category even where readers agree well; so it stands beside AC1 and the observed
agreement. Intervals of Fleiss' kappa and AC1 are those of Gwet (British Journal of Mathematical and Statistical
Psychology 2008, 61:29), where cases are independent; `cluster_interval` is for cases that are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from ultrafm.errors import UltraFMError
from ultrafm.readers.inference import quantile

FLEISS, AC1 = "Fleiss' kappa", "Gwet's AC1"


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement with its interval; None where it is not estimable, with the reason in `status`."""

    statistic: str
    value: float | None
    standard_error: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    method: str
    status: str = "ok"


def cohen_kappa(first: ArrayLike, second: ArrayLike, weights: str | None = None, confidence: float = 0.95) -> Agreement:
    """Kappa of two readers over the same cases; weights None, "linear" or "quadratic" for ordered categories.

    Weights are distances between the ratings themselves, so that a step of the scale that neither used still counts;
    categories that are no numbers are taken as equal steps in their order.
    The interval is the large-sample one of Fleiss, Cohen and Everitt 1969 (statsmodels). Raises UltraFMError for lists
    of different length or other weights.
    """
    if weights not in (None, "linear", "quadratic"):
        raise UltraFMError("kappa", f"weights {weights!r}", "None, 'linear' or 'quadratic'")
    from statsmodels.stats.inter_rater import cohens_kappa  # a second to import, and needed here only

    counts, steps = _square(first, second)
    name = "Cohen's kappa" if weights is None else f"{weights}-weighted kappa"
    if (counts.sum(axis=0) > 0).sum() < 2 and (counts.sum(axis=1) > 0).sum() < 2:
        return Agreement(name, None, None, None, None, confidence, "large sample", "all ratings are in one category")
    kind = {None: None, "linear": "linear", "quadratic": "fc"}[weights]
    found = cohens_kappa(counts, weights=None if weights is None else steps, wt=kind)
    half = quantile((1 + confidence) / 2, None) * float(found.std_kappa)
    value = float(found.kappa)
    ends = (max(value - half, -1.0), min(value + half, 1.0))
    return Agreement(name, value, float(found.std_kappa), *ends, confidence, "large sample")


def fleiss_kappa(ratings: ArrayLike, confidence: float = 0.95) -> Agreement:
    """Fleiss' kappa of J readers; ratings: (J, K) categories, every reader every case."""
    return _gwet(FLEISS, category_counts(ratings), confidence, _fleiss_chance)


def gwet_ac1(ratings: ArrayLike, confidence: float = 0.95) -> Agreement:
    """Gwet's AC1 of J readers; ratings: (J, K) categories, every reader every case."""
    return _gwet(AC1, category_counts(ratings), confidence, _ac1_chance)


def category_counts(ratings: ArrayLike) -> NDArray[np.float64]:
    """How many readers put each case into each category: (K, Q). Raises UltraFMError for fewer than two readers."""
    values = np.asarray(ratings)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 2:
        raise UltraFMError("agreement", f"ratings of shape {values.shape}", "(readers, cases), at least two of each")
    return np.stack([(values == name).sum(axis=0) for name in np.unique(values)], axis=1).astype(float)


def observed_agreement(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of agreeing pairs of readers in each case (K,), from counts (K, Q)."""
    readers = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))


def _gwet(
    name: str,
    counts: NDArray[np.float64],
    confidence: float,
    chance: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Agreement:
    """Value and interval by Gwet's linearisation: t with K - 1 degrees of freedom."""
    cases, method = counts.shape[0], "Gwet 2008, t"
    if counts.shape[1] < 2:
        return Agreement(name, None, None, None, None, confidence, method, "all ratings are in one category")
    agreed, by_chance = observed_agreement(counts), chance(counts)
    expected = by_chance.mean()
    value = (agreed.mean() - expected) / (1 - expected)
    each = (agreed - expected) / (1 - expected) - 2 * (1 - value) * (by_chance - expected) / (1 - expected)
    error = float(np.sqrt(((each - value) ** 2).sum() / (cases * (cases - 1))))
    half = float(stdtrit(cases - 1, (1 + confidence) / 2)) * error
    ends = (max(float(value) - half, -1.0), min(float(value) + half, 1.0))
    return Agreement(name, float(value), error, *ends, confidence, method)


def _fleiss_chance(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each case's part of the agreement by chance, sum of squared shares; its mean is Fleiss' pe."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    return shares @ shares.mean(axis=0)


def _ac1_chance(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each case's part of the agreement by chance of AC1."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    return shares @ (1 - shares.mean(axis=0)) / (counts.shape[1] - 1)


def cluster_interval(
    found: Agreement,
    counts: NDArray[np.float64],
    units: ArrayLike,
    generator: np.random.Generator,
    replicates: int = 2000,
) -> Agreement:
    """The same coefficient (Fleiss or AC1) with a percentile interval of a bootstrap of whole clusters.

    counts: (K, Q); units: (K,) the cluster of each case. A replicate in one category is left out.
    """
    names, codes = np.unique(np.asarray(units).astype(str), return_inverse=True)
    shares = counts / counts.sum(axis=1, keepdims=True)
    parts = np.column_stack([np.ones(len(counts)), observed_agreement(counts), shares])
    sums = np.stack([np.bincount(codes, weights=column, minlength=names.size) for column in parts.T])
    total = sums @ generator.multinomial(names.size, np.full(names.size, 1 / names.size), replicates).T
    agreed, mean = total[1] / total[0], total[2:] / total[0]
    squares = (mean**2).sum(axis=0)
    expected = squares if found.statistic == FLEISS else (1 - squares) / (counts.shape[1] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(squares < 1, (agreed - expected) / (1 - expected), np.nan)
    tails = (1 - found.confidence) / 2
    low, high = np.nanquantile(drawn, [tails, 1 - tails])
    ends = (float(np.nanstd(drawn, ddof=1)), float(low), float(high))
    return Agreement(found.statistic, found.value, *ends, found.confidence, f"bootstrap of {names.size} clusters")


def _square(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cross table (Q, Q) of two lists of categories, in their order, and the places (Q,) of the categories."""
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.ndim != 1 or one.size < 2:
        found = f"shapes {one.shape} and {two.shape}"
        raise UltraFMError("kappa", found, "two lists of the same length, of two cases at least")
    names, codes = np.unique(np.concatenate([one, two]), return_inverse=True)
    counts = np.zeros((max(names.size, 2),) * 2)
    np.add.at(counts, (codes[: one.size], codes[one.size :]), 1)
    numeric = names.size > 1 and names.dtype.kind in "iuf"
    return counts, names.astype(float) if numeric else np.arange(float(len(counts)))
