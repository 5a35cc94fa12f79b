"""One estimate with its standard error, degrees of freedom, p and interval, and what to say when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

# Rounding leaves squares of about 1e-32 where readers agree exactly; the smallest true step of an AUROC over a million
# cases, squared, is above 1e-24.
NO_SPREAD = 1e-26


@dataclass(frozen=True)
class Inference:
    """An estimate and what is known of it. `df` None means the normal distribution; None elsewhere means not estimable.

    `p_value` is two-sided, for the null hypothesis of zero; `status` is "ok" or says why something is missing.
    """

    model: str
    estimate: float
    standard_error: float | None
    df: float | None
    statistic: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    status: str = "ok"


@dataclass(frozen=True)
class NonInferiority:
    """A one-sided test that a difference is above minus `margin`: p below `alpha` if and only if `ci_low` > -margin."""

    margin: float
    alpha: float
    sidedness: str
    statistic: float | None
    df: float | None
    p_value: float | None
    ci_low: float | None
    non_inferior: bool | None
    status: str = "ok"


def infer(model: str, estimate: float, variance: float, df: float | None, confidence: float = 0.95) -> Inference:
    """Two-sided test against zero and symmetric interval from the t distribution (normal where df is None).

    A variance that is zero or negative gives the estimate alone, with the reason in `status`.
    """
    if not variance > NO_SPREAD:
        kind = "not defined" if np.isnan(variance) else "zero" if abs(variance) <= NO_SPREAD else "negative"
        status = f"no test: the estimated variance is {kind}"
        return Inference(model, float(estimate), None, None, None, None, None, None, confidence, status)
    error = float(np.sqrt(variance))
    statistic, half = float(estimate) / error, quantile((1 + confidence) / 2, df) * error
    p_value = 2 * upper_tail(abs(statistic), df)
    return Inference(
        model, float(estimate), error, df, statistic, p_value, estimate - half, estimate + half, confidence
    )


def quantile(share: float, df: float | None) -> float:
    """Quantile of the t distribution, normal where df is None."""
    return float(ndtri(share) if df is None else stdtrit(df, share))


def upper_tail(statistic: float, df: float | None) -> float:
    """Probability of more than `statistic` under the t distribution, normal where df is None."""
    return float(ndtr(-statistic) if df is None else stdtr(df, -statistic))


def missing(model: str, estimate: float, reason: str, confidence: float = 0.95) -> Inference:
    """An estimate without test or interval, and the reason."""
    return Inference(model, float(estimate), None, None, None, None, None, None, confidence, reason)


def non_inferiority(difference: Inference, margin: float) -> NonInferiority:
    """Is the first at most `margin` worse than the second? t = (difference + margin) / SE, one-sided.

    alpha is half of what the two-sided interval leaves out (2.5% for 95%), so test and interval always agree (Chen,
    Petrick, Sahiner, Academic Radiology 2012, 19:1158, without the doubled p of later programs).
    """
    alpha = round((1 - difference.confidence) / 2, 12)
    if difference.standard_error is None:
        return NonInferiority(margin, alpha, "one-sided", None, None, None, None, None, difference.status)
    statistic = (difference.estimate + margin) / difference.standard_error
    p_value = upper_tail(statistic, difference.df)
    return NonInferiority(
        margin, alpha, "one-sided", statistic, difference.df, p_value, difference.ci_low, bool(p_value < alpha)
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values in the same order; a missing p stays missing and is not counted.

    The same numbers as statsmodels' `multipletests`, which collects garbage at every call (0.1 s in a notebook).
    """
    known = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min((len(known) - rank) * value, 1.0))
        adjusted[place] = highest
    return adjusted
