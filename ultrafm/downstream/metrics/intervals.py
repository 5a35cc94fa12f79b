"""From estimates to an interval and a p-value; every contrast of encoders is paired, over the same patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from ultrafm.downstream.metrics.cases import LEVEL, Estimates, Interval, Z
from ultrafm.errors import UltraFMError

NO_SPREAD = "no spread between patients"


def interval(estimates: Estimates, contrast: np.ndarray) -> Interval:
    """The estimate `contrast` @ values with its 95 % interval.

    A contrast with one 1 is a value between 0 and 1: its interval stays there (AUROC on the logit scale, or clipped
    when degenerate). Any other contrast is a difference, between -1 and 1. No spread at all is "not defined", never an
    interval of zero width.
    """
    contrast = np.asarray(contrast, dtype=float)
    estimate = float(contrast @ estimates.values)
    if np.isnan(estimate) or estimates.reason:
        return Interval(None if np.isnan(estimate) else estimate, None, None, f"not defined: {estimates.reason}")
    single = np.count_nonzero(contrast) == 1
    if estimates.covariance is not None:
        return _normal_interval(estimates, contrast, estimate, single)
    found = estimates.replicates @ contrast
    tails = np.array([0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    if estimates.left_out is not None:
        bias, skew = _bias_and_skew(found, estimate, estimates.left_out @ contrast)
        moved = bias + norm.ppf(tails)
        tails = norm.cdf(bias + moved / (1 - skew * moved))
    low, high = np.nanquantile(found, tails)
    if high - low < 1e-12:
        return Interval(estimate, None, None, f"not defined: {NO_SPREAD}")
    return Interval(estimate, float(low), float(high), estimates.method)


def p_value(estimates: Estimates, contrast: np.ndarray) -> float | None:
    """Two-sided p-value of the null that `contrast` @ values is 0; None where not defined.

    From a covariance: normal. From replicates: twice the smaller share of replicates on one side of 0, where replicates
    at 0 count on both sides and one is added to both counts (Davison and Hinkley 1997, section 4.2.5), corrected as the
    BCa interval is; so it agrees with the interval, and it is never 0. Rankings without spread do not differ: None.
    """
    contrast = np.asarray(contrast, dtype=float)
    estimate = float(contrast @ estimates.values)
    if estimates.reason or np.isnan(estimate):
        return None
    if estimates.covariance is not None:
        error = float(np.sqrt(max(contrast @ estimates.covariance @ contrast, 0.0)))
        return float(2 * norm.sf(abs(estimate) / error)) if error >= 1e-9 else None
    found = estimates.replicates @ contrast
    found = found[~np.isnan(found)]
    if not found.size or np.ptp(found) < 1e-12:
        return None
    sides = [((found <= 0).sum() + 1) / (found.size + 1), ((found >= 0).sum() + 1) / (found.size + 1)]
    if estimates.left_out is None:
        return float(min(1.0, 2 * min(sides)))
    bias, skew = _bias_and_skew(found, estimate, estimates.left_out @ contrast)
    back = norm.ppf([min(sides[0], 1 - 1 / (found.size + 1)), 1 - min(sides[1], 1 - 1 / (found.size + 1))]) - bias
    ends = norm.cdf(back / (1 + skew * back) - bias)
    return float(np.clip(2 * min(ends[0], 1 - ends[1]), 1 / (found.size + 1), 1.0))


def _bias_and_skew(replicates: np.ndarray, estimate: float, left_out: np.ndarray) -> tuple[float, float]:
    """Efron's z0 (replicates at the estimate count half) and acceleration (from leaving patients out)."""
    found = replicates[~np.isnan(replicates)]
    below = (found < estimate - 1e-12).sum() + 0.5 * (np.abs(found - estimate) <= 1e-12).sum()
    bias = norm.ppf(np.clip(below / found.size, 1 / (found.size + 1), 1 - 1 / (found.size + 1)))
    away = np.nanmean(left_out) - left_out[~np.isnan(left_out)]
    squares = (away**2).sum()
    return float(bias), float((away**3).sum() / (6 * squares**1.5)) if squares > 0 else 0.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values (Scandinavian Journal of Statistics 1979, 6:65) over the tests that are defined.

    Raises UltraFMError for a value outside 0..1.
    """
    from statsmodels.stats.multitest import multipletests

    defined = [place for place, value in enumerate(p_values) if value is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if not defined:
        return adjusted
    values = np.array([p_values[place] for place in defined], dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise UltraFMError("p-values for Holm's method", f"{values.tolist()}", "numbers from 0 to 1")
    for place, value in zip(defined, multipletests(values, method="holm")[1]):
        adjusted[place] = float(value)
    return adjusted


def score_limit(diseased: int, healthy: int) -> float:
    """Lower end of Newcombe's score interval for an AUROC of 1, from the number of diseased and healthy units."""
    half = (diseased + healthy) / 2 - 1

    def gap(area: float) -> float:
        spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        return (1 - area) ** 2 - Z**2 * area * (1 - area) * spread / (diseased * healthy)

    return float(brentq(gap, 1e-6, 1 - 1e-9))


def _normal_interval(estimates: Estimates, contrast: np.ndarray, estimate: float, single: bool) -> Interval:
    error = float(np.sqrt(max(contrast @ estimates.covariance @ contrast, 0.0)))
    touched = contrast != 0
    method = estimates.method
    if error < 1e-9:
        return Interval(estimate, None, None, f"not defined: {NO_SPREAD}")
    if estimates.degenerate[touched].any():
        method += ", perfect ranking: variance of a score interval"
    elif single:
        low, high = expit(logit(estimate) + np.array([-1, 1]) * Z * error / (estimate * (1 - estimate)))
        return Interval(estimate, float(low), float(high), f"{method}, logit")
    floor = 0.0 if single else -1.0
    low, high = np.clip([estimate - Z * error, estimate + Z * error], floor, 1.0)
    return Interval(estimate, float(low), float(high), method)
