"""Metrics with intervals that heed patients: AUROC, area under the precision-recall curve (AUPRC) and Dice.

Several encoders are measured on the same images, so differences between them are paired. An interval says how the
number would vary over other patients, for the models as trained; it does not cover training again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from ultrafm.downstream.auc import Placements, cluster_deviations, deviation_covariance, placements

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Cases:
    """K images of one task scored by C encoders: `scores` (C, K), `truth` (K,) 0/1 and `patients` (K,) names.

    For Dice, `scores` holds the Dice of each image and `truth` is not read.
    """

    scores: np.ndarray
    truth: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws of patients: `patients` (P,) sorted names and `counts` (B, P), how often each was drawn."""

    patients: np.ndarray
    counts: np.ndarray

    def weights(self, patients: np.ndarray) -> np.ndarray:
        """(B, K) weight of each image, given the patient of each."""
        return self.counts[:, np.searchsorted(self.patients, patients)]


@dataclass(frozen=True)
class Estimates:
    """C values, and their `covariance` (C, C) or bootstrap `replicates` (B, C), or the `reason` that there is neither.

    degenerate: (C,) True where the covariance of a perfect ranking was put in from a score interval (see `auroc`).
    """

    values: np.ndarray
    method: str
    covariance: np.ndarray | None = None
    replicates: np.ndarray | None = None
    degenerate: np.ndarray | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; None where not defined, and then `method` says why."""

    estimate: float | None
    low: float | None
    high: float | None
    method: str


def auroc(tasks: Sequence[Cases]) -> Estimates:
    """AUROC of each encoder: of one task, or averaged over several (each task weighs alike).

    The covariance comes from placement values summed over patients (Obuchowski 1997); tasks that share patients are
    correlated through them, tasks that share none are independent. An encoder that ranks all images rightly (or all
    wrongly) has no variance in the sample; it is given the variance of Newcombe's score interval (Newcombe 2006,
    method 5) with patients counted as cases, and is marked in `degenerate`.
    """
    reason = next((why for why in map(_why_no_auroc, tasks) if why), "no task" if not tasks else None)
    if reason:
        count = len(tasks[0].scores) if tasks else 0
        return Estimates(np.full(count, np.nan), "none", reason=reason)
    found = [placements(cases.scores, cases.truth) for cases in tasks]
    values = np.mean([one.aucs for one in found], axis=0)
    reason = next((why for why in map(_why_no_variance, tasks) if why), None)
    if reason:
        return Estimates(values, "none", reason=reason)
    covariance = _summed_covariance(tasks, found) / len(tasks) ** 2
    extra = np.array([_score_variances(cases, one) for cases, one in zip(tasks, found)])
    covariance += np.diag(extra.sum(axis=0)) / len(tasks) ** 2
    return Estimates(values, "clustered DeLong over patients", covariance, degenerate=(extra > 0).any(axis=0))


def auprc(tasks: Sequence[Cases], draws: Resampling) -> Estimates:
    """Average precision of each encoder, of one task or averaged over several, with patients drawn as in `draws`."""
    if not tasks or any(len(set(cases.truth.tolist())) < 2 for cases in tasks):
        count = len(tasks[0].scores) if tasks else 0
        return Estimates(np.full(count, np.nan), "none", reason="images of one class only" if tasks else "no task")

    def measure(cases: Cases, weights: np.ndarray) -> np.ndarray:
        return np.stack([average_precision(row, cases.truth, weights) for row in cases.scores], axis=1)

    return _bootstrapped(tasks, draws, measure)


def mean_dice(tasks: Sequence[Cases], draws: Resampling) -> Estimates:
    """Mean Dice of each encoder, of one task or averaged over several, with patients drawn as in `draws`."""
    if not tasks or any(cases.scores.shape[1] == 0 for cases in tasks):
        return Estimates(np.full(len(tasks[0].scores) if tasks else 0, np.nan), "none", reason="no image")

    def measure(cases: Cases, weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return weights @ cases.scores.T / np.where(total > 0, total, np.nan)

    return _bootstrapped(tasks, draws, measure)


def average_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) average precision of one score list (K,) under B weightings (B, K) of the images; ties share a threshold.

    The sum over thresholds of precision times the rise in recall (as scikit-learn defines it); NaN where no positive
    image has weight.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    weighted = weights[:, order].astype(float)
    hits = np.cumsum(weighted * truth[order], axis=1)[:, ends]
    called = np.cumsum(weighted, axis=1)[:, ends]
    precision = hits / np.maximum(called, 1e-12)
    positives = hits[:, -1]
    rise = np.diff(hits, axis=1, prepend=0.0)
    return (precision * rise).sum(axis=1) / np.where(positives > 0, positives, np.nan)


def draw_patients(patients: Sequence[str], replicates: int, generator: np.random.Generator) -> Resampling:
    """Draw patients with replacement, as many as there are, `replicates` times; "site/patient" are drawn inside sites.

    The same draws serve all encoders, methods and tasks, so that differences are paired and tasks that share patients
    vary together.
    """
    names = np.unique(np.asarray(patients, dtype=str))
    sites = np.array([name.rpartition("/")[0] for name in names])
    counts = np.zeros((replicates, len(names)), dtype=np.int64)
    for site in np.unique(sites):
        inside = np.flatnonzero(sites == site)
        counts[:, inside] = generator.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), size=replicates)
    return Resampling(names, counts)


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
    low, high = np.nanquantile(found, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    if high - low < 1e-12:
        return Interval(estimate, None, None, "not defined: no spread between patients")
    return Interval(estimate, float(low), float(high), estimates.method)


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
        return Interval(estimate, None, None, "not defined: no spread between patients")
    if estimates.degenerate[touched].any():
        method += ", perfect ranking: variance of a score interval"
    elif single:
        low, high = expit(logit(estimate) + np.array([-1, 1]) * Z * error / (estimate * (1 - estimate)))
        return Interval(estimate, float(low), float(high), f"{method}, logit")
    floor = 0.0 if single else -1.0
    low, high = np.clip([estimate - Z * error, estimate + Z * error], floor, 1.0)
    return Interval(estimate, float(low), float(high), method)


Measure = Callable[[Cases, np.ndarray], np.ndarray]


def _bootstrapped(tasks: Sequence[Cases], draws: Resampling, measure: Measure) -> Estimates:
    """Values and replicates of `measure(cases, weights)` averaged over tasks."""
    values = np.mean([measure(cases, np.ones((1, len(cases.patients))))[0] for cases in tasks], axis=0)
    if any(len(set(cases.patients.tolist())) < 2 for cases in tasks):
        return Estimates(values, "none", reason="images of one patient only")
    replicates = np.mean([measure(cases, draws.weights(cases.patients)) for cases in tasks], axis=0)
    return Estimates(values, f"patient bootstrap, {len(draws.counts)} replicates", replicates=replicates)


def _summed_covariance(tasks: Sequence[Cases], found: Sequence[Placements]) -> np.ndarray:
    """Covariance (C, C) of the sum over tasks of the AUROCs of C encoders."""
    names = np.unique(np.concatenate([cases.patients.astype(str) for cases in tasks]))
    units = [np.searchsorted(names, cases.patients.astype(str)) for cases in tasks]
    parts = [
        cluster_deviations(one, cases.truth.astype(bool), unit, len(names))
        for one, cases, unit in zip(found, tasks, units)
    ]
    total = np.zeros((len(found[0].aucs),) * 2)
    for first, unit in zip(parts, units):
        for second, other in zip(parts, units):
            total += deviation_covariance(first, second, len(np.union1d(unit, other)))
    return total


def _score_variances(cases: Cases, found: Placements) -> np.ndarray:
    """(C,) variance put in for curves whose AUROC is 0 or 1, else 0."""
    perfect = (found.aucs > 1 - 1e-12) | (found.aucs < 1e-12)
    limit = score_limit(*_patients_of_classes(cases))
    return np.where(perfect, ((1 - limit) / Z) ** 2, 0.0)


def _patients_of_classes(cases: Cases) -> tuple[int, int]:
    diseased = cases.truth.astype(bool)
    return len(set(cases.patients[diseased].tolist())), len(set(cases.patients[~diseased].tolist()))


def _why_no_auroc(cases: Cases) -> str | None:
    return "images of one class only" if len(set(cases.truth.tolist())) < 2 else None


def _why_no_variance(cases: Cases) -> str | None:
    diseased, healthy = _patients_of_classes(cases)
    found = f"{diseased} diseased and {healthy} healthy patients, two of each needed"
    return found if min(diseased, healthy) < 2 else None
