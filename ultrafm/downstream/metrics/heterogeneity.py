"""Do subgroups, or tasks, differ by more than chance; and what holds on average over tasks.

Values between 0 and 1 (AUROC, Dice) are compared on the logit scale, where their errors are nearer to normal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2
from scipy.stats import t as t_law

from ultrafm.downstream.metrics.cases import LEVEL, Cases, Estimates, Interval, Z
from ultrafm.downstream.metrics.intervals import interval
from ultrafm.downstream.metrics.resampling import Resampling
from ultrafm.errors import UltraFMError

GroupMeasure = Callable[[Sequence[Cases], Resampling], Estimates]


@dataclass(frozen=True)
class Heterogeneity:
    """Cochran's Q over G groups with its p-value, and I^2 (0..1) with its 95 % interval; None where not defined.

    `groups` counts those that could be compared; `reason` says why there is no test.
    """

    groups: int
    q: float | None = None
    p_value: float | None = None
    i2: float | None = None
    i2_low: float | None = None
    i2_high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Subgroup:
    """One subgroup: its name, estimate with interval (which says when it is too small), images and patients."""

    name: str
    interval: Interval
    images: int
    patients: int


@dataclass(frozen=True)
class Pooled:
    """A random-effects mean over T tasks with its 95 % interval, and where the value of a further task is expected.

    weights: (T,) shares that sum to 1; tau2: variance between tasks on the logit scale; NaN ends where not defined.
    """

    mean: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    weights: np.ndarray
    tau2: float
    heterogeneity: Heterogeneity


def subgroups(
    cases: Cases, groups: np.ndarray, measure: GroupMeasure, draws: Resampling
) -> tuple[list[Subgroup], Heterogeneity]:
    """A measure (between 0 and 1) of the first encoder in each subgroup, and whether the subgroups differ.

    groups: (K,) the site, device, organ or scan mode of each image; None, NaN and "" are the subgroup "unknown". One
    too small for the measure stands in the list with the reason, and takes no part in the test. Patients who are in
    several subgroups are heeded: all are measured under the same draws.
    """
    names = np.array(["unknown" if one is None or one != one or one == "" else str(one) for one in groups])
    if names.shape != cases.truth.shape:
        raise UltraFMError("subgroups", f"{names.size} names", f"one for each of {cases.truth.size} images")
    listed, found = [], []
    for name in np.unique(names):
        inside = names == name
        part = Cases(cases.scores[:1, inside], cases.truth[inside], cases.patients[inside])
        one = measure([part], draws)
        listed.append(Subgroup(str(name), interval(one, np.ones(1)), int(inside.sum()), np.unique(part.patients).size))
        found.append(one)
    return listed, _compare(found)


def heterogeneity(values: np.ndarray, covariance: np.ndarray) -> Heterogeneity:
    """Cochran's Q (Biometrics 1954, 10:101) of values (G,) with covariance (G, G); I^2 = 1 - (G - 1) / Q, at least 0.

    With a diagonal covariance Q is the usual sum of weighted squares; shared patients are heeded through the rest of
    it. Interval of I^2: test-based (Higgins and Thompson, Statistics in Medicine 2002, 21:1539).
    """
    count = len(values)
    if count < 2:
        return Heterogeneity(count, reason=f"{count} group{'' if count == 1 else 's'} to compare, two needed")
    contrasts = np.eye(count)[1:] - np.eye(count)[0]
    apart = contrasts @ values
    q, free = float(apart @ np.linalg.pinv(contrasts @ covariance @ contrasts.T) @ apart), count - 1
    low, high = _i2_interval(q, count)
    return Heterogeneity(count, q, float(chi2.sf(q, free)), max(0.0, 1 - free / q) if q > 0 else 0.0, low, high)


def pool(values: np.ndarray, errors: np.ndarray) -> Pooled:
    """Random-effects mean on the logit scale of values (T,) between 0 and 1 with standard errors (T,), of T tasks.

    Variance between tasks: Paule and Mandel. Interval: Hartung and Knapp, t with T - 1 degrees of freedom, never
    narrower than the normal-theory error. Prediction interval: Higgins, Thompson and Spiegelhalter, JRSS A 2009,
    172:137, from three tasks on. Tasks are taken as independent, which tasks that share patients are not; the plain
    mean over tasks (`auroc`, `mean_value`) heeds that. Raises UltraFMError for fewer than two tasks, a value that is
    not between 0 and 1, or an error that is not positive.
    """
    from statsmodels.stats.meta_analysis import combine_effects

    values, errors = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    _check_pooled(values, errors)
    effects, variances = logit(values), (errors / (values * (1 - values))) ** 2
    with np.errstate(divide="ignore"):  # equal effects have Q = 0, by which the library divides
        tau2 = max(float(combine_effects(effects, variances, method_re="iterated").tau2), 0.0)
    weights = 1 / (variances + tau2)
    mean, count = float(weights @ effects / weights.sum()), len(values)
    error = np.sqrt(max(1.0, float(weights @ (effects - mean) ** 2) / (count - 1)) / weights.sum())
    half = float(t_law.ppf(0.5 + LEVEL / 2, count - 1)) * error
    wide = float(t_law.ppf(0.5 + LEVEL / 2, count - 2)) * np.sqrt(tau2 + error**2) if count > 2 else np.nan
    ends = expit([mean, mean - half, mean + half, mean - wide, mean + wide])
    return Pooled(*map(float, ends), weights / weights.sum(), tau2, heterogeneity(effects, np.diag(variances)))


def standard_errors(estimates: Estimates) -> np.ndarray:
    """(C,) standard errors of the values; NaN where there are none."""
    if estimates.covariance is not None:
        return np.sqrt(np.diag(estimates.covariance))
    if estimates.replicates is not None:
        return np.nanstd(estimates.replicates, axis=0, ddof=1)
    return np.full(len(estimates.values), np.nan)


def _compare(found: Sequence[Estimates]) -> Heterogeneity:
    """The test over those subgroups that have replicates and a value strictly between 0 and 1."""
    usable = [one for one in found if one.replicates is not None and 0 < one.values[0] < 1]
    usable = [one for one in usable if np.nanstd(one.replicates[:, 0]) > 1e-9]
    if len(usable) < 2:
        return heterogeneity(np.zeros(len(usable)), np.zeros((len(usable),) * 2))
    replicates = np.stack([one.replicates[:, 0] for one in usable], axis=1)
    replicates = replicates[~np.isnan(replicates).any(axis=1)]
    values = np.array([one.values[0] for one in usable])
    slope = 1 / (values * (1 - values))
    return heterogeneity(logit(values), np.cov(replicates.T) * np.outer(slope, slope))


def _i2_interval(q: float, count: int) -> tuple[float, float]:
    """95 % interval of I^2 through the logarithm of H = sqrt(Q / (G - 1))."""
    free = count - 1
    if q > count:
        error = 0.5 * (np.log(q) - np.log(free)) / (np.sqrt(2 * q) - np.sqrt(2 * count - 3))
    elif count > 2:
        error = np.sqrt(1 / (2 * (count - 2)) * (1 - 1 / (3 * (count - 2) ** 2)))
    else:
        return 0.0, 1.0  # two groups that hardly differ say nothing of I^2
    middle = 0.5 * np.log(max(q, 1e-12) / free)
    squares = np.exp(2 * (middle + np.array([-1, 1]) * Z * error))
    return tuple(float(max(0.0, 1 - 1 / one)) for one in squares)


def _check_pooled(values: np.ndarray, errors: np.ndarray) -> None:
    if values.shape != errors.shape or values.ndim != 1 or len(values) < 2:
        raise UltraFMError("pooling over tasks", f"shapes {values.shape} and {errors.shape}", "two tasks at least")
    for place, (value, error) in enumerate(zip(values, errors)):
        if not (0 < value < 1 and error > 0):
            raise UltraFMError(f"pooling, task {place}", f"{value:g} with error {error:g}", "0 < value < 1, error > 0")
