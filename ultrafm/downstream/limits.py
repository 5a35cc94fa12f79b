"""Bias and limits of agreement of two measurements, with patients measured repeatedly; NumPy and SciPy only.

Beside `auc.py` because the room of readers uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as t_law

from ultrafm.errors import UltraFMError


@dataclass(frozen=True)
class Limits:
    """First minus second measurement: bias and limits of agreement, each with its interval."""

    bias: float
    bias_low: float
    bias_high: float
    lower: float
    lower_low: float
    lower_high: float
    upper: float
    upper_low: float
    upper_high: float
    standard_deviation: float
    cases: int
    clusters: int | None
    confidence: float


def bland_altman(
    first: ArrayLike, second: ArrayLike, units: ArrayLike | None = None, confidence: float = 0.95
) -> Limits:
    """Bias and 95% limits of agreement of two measurements of the same cases.

    Bland and Altman, Statistical Methods in Medical Research 1999, 8:135. units: (K,) clusters (patients) of several
    measurements; then the variance is that between plus within clusters (Bland and Altman 2007, 17:571), and the
    intervals have as many degrees of freedom as clusters less one. Raises UltraFMError for fewer than two.
    """
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape or one.ndim != 1 or one.size < 2 or not np.isfinite([one, two]).all():
        raise UltraFMError("limits of agreement", f"shapes {one.shape} and {two.shape}", "two lists of finite numbers")
    difference = one - two
    variance, mean_variance, free = _spread(difference, units)
    deviation, z = float(np.sqrt(variance)), 1.959963984540054
    t = float(t_law.ppf((1 + confidence) / 2, free))
    bias, half = float(difference.mean()), t * float(np.sqrt(mean_variance))
    outer = t * float(np.sqrt(mean_variance + z**2 * variance / (2 * free)))
    lower, upper = bias - z * deviation, bias + z * deviation
    return Limits(
        bias, bias - half, bias + half, lower, lower - outer, lower + outer, upper, upper - outer, upper + outer,
        deviation, one.size, None if units is None else free + 1, confidence,
    )  # fmt: skip


def _spread(difference: NDArray[np.float64], units: ArrayLike | None) -> tuple[float, float, int]:
    """Variance of one difference, variance of the mean difference, and degrees of freedom."""
    if units is None:
        return float(difference.var(ddof=1)), float(difference.var(ddof=1)) / difference.size, difference.size - 1
    names, codes = np.unique(np.asarray(units).astype(str), return_inverse=True)
    if names.size < 2 or codes.size != difference.size:
        raise UltraFMError("limits of agreement", f"{names.size} clusters", "two at least, one name for each case")
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=difference) / sizes
    rest, repeated = difference.size - names.size, (sizes**2).sum() / difference.size
    within = float(((difference - means[codes]) ** 2).sum() / rest) if rest else 0.0
    among = float((sizes * (means - difference.mean()) ** 2).sum() / (names.size - 1))
    factor = (difference.size - repeated) / (names.size - 1)
    between = max((among - within) / factor, 0.0)
    sums = np.bincount(codes, weights=difference - difference.mean())
    of_mean = names.size / (names.size - 1) * float((sums**2).sum()) / difference.size**2
    return (between + within) if rest else among, of_mean, names.size - 1
