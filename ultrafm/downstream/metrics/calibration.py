"""Do probabilities mean what they say: calibration curve, expected calibration error (ECE), and recalibration.

A probe that weighs both classes alike gives probabilities for a prevalence of one half. Temperature scaling (Guo et
al., ICML 2017) changes how sure they are and cannot mend that; with an intercept it can (logistic recalibration, Cox,
Biometrika 1958, 45:562; Platt 1999). Both are fitted here, on validation images, and shown beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from ultrafm.downstream.metrics.cases import LEVEL, Cases, Estimates, undefined, why_one_class
from ultrafm.downstream.metrics.means import check_probabilities
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import UltraFMError, one_of

BINNINGS = ("equal mass", "equal width")
BINS = 10
EDGE = 1e-6  # probabilities are held inside EDGE..1-EDGE before their logit is taken
SLOPES, INTERCEPTS = (0.02, 50.0), (-20.0, 20.0)  # where the fit stops when classes are separable


@dataclass(frozen=True)
class Recalibration:
    """New logit = intercept + logit / temperature. `at_bound`: the fit ran into a limit, as with separable classes."""

    temperature: float
    intercept: float
    at_bound: bool

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Recalibrated probabilities of any shape."""
        check_probabilities(scores)
        return expit(self.intercept + logits(scores) / self.temperature)


@dataclass(frozen=True)
class CalibrationCurve:
    """Per bin that holds an image: mean probability, share of diseased images, number of images, and the edges."""

    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray
    edges: np.ndarray


def logits(scores: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), with p held inside EDGE..1-EDGE."""
    return logit(np.clip(np.asarray(scores, dtype=float), EDGE, 1 - EDGE))


def fit_recalibration(scores: np.ndarray, truth: np.ndarray, intercept: bool) -> Recalibration:
    """Temperature, and an intercept where asked, with the least cross entropy on validation images.

    scores: (K,) probabilities; truth: (K,) 0/1. Raises UltraFMError for one class or scores that are no probabilities.
    """
    check_probabilities(scores)
    truth = np.asarray(truth, dtype=float)
    if len(set(truth.tolist())) < 2:
        raise UltraFMError("recalibration on validation", "images of one class only", "images of both classes")
    found = logits(scores)

    def loss(place: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.exp(place[0])
        new = place[1] + slope * found
        rest = expit(new) - truth
        entropy = (np.logaddexp(0, new) - truth * new).mean()
        return float(entropy), np.array([(rest * found).mean() * slope, rest.mean()])

    limits = [tuple(np.log(SLOPES)), INTERCEPTS if intercept else (0.0, 0.0)]
    best = minimize(
        loss, np.zeros(2), jac=True, bounds=limits, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}
    )
    near = any(low < high and min(x - low, high - x) < 1e-6 for x, (low, high) in zip(best.x, limits))
    return Recalibration(float(np.exp(-best.x[0])), float(best.x[1]), near)


def bin_edges(scores: np.ndarray, binning: str = BINNINGS[0], bins: int = BINS) -> np.ndarray:
    """Inner edges of at most `bins` bins of probabilities (K,).

    "equal mass": quantiles, so that bins hold about equally many images; equal edges fall together. "equal width":
    steps of 1 / bins. An image at an edge belongs to the bin above.
    """
    one_of("binning", binning, BINNINGS)
    shares = np.arange(1, bins) / bins
    return np.unique(np.quantile(scores, shares)) if binning == BINNINGS[0] else shares


def calibration_curve(
    scores: np.ndarray, truth: np.ndarray, binning: str = BINNINGS[0], bins: int = BINS
) -> CalibrationCurve:
    """Mean probability and share of diseased images per bin; see `bin_edges`. Empty bins are left out."""
    check_probabilities(scores)
    scores, truth = np.asarray(scores, dtype=float), np.asarray(truth, dtype=float)
    edges = bin_edges(scores, binning, bins)
    places = np.searchsorted(edges, scores, "right")
    count = np.bincount(places, minlength=len(edges) + 1)
    held = count > 0
    means = [np.bincount(places, values, len(edges) + 1)[held] / count[held] for values in (scores, truth)]
    return CalibrationCurve(*means, count[held], edges)


def observed_intervals(
    curve: CalibrationCurve, scores: np.ndarray, truth: np.ndarray, patients: np.ndarray, draws: Resampling
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of pointwise 95 % intervals of `curve.observed`, over patients drawn as in `draws`."""
    places = np.searchsorted(curve.edges, scores, "right")
    inside = (places[:, None] == np.unique(places)).astype(float)
    counts = np.concatenate([block @ np.hstack([inside, inside * truth[:, None]]) for block in draws.blocks(patients)])
    held, ill = np.split(counts, 2, axis=1)
    ends = np.nanquantile(ill / np.where(held > 0, held, np.nan), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return ends[0], ends[1]


def calibration_error(
    tasks: Sequence[Cases],
    draws: Resampling,
    binning: str = BINNINGS[0],
    bins: int = BINS,
    weights: np.ndarray | None = None,
) -> Estimates:
    """Expected calibration error (Naeini et al., AAAI 2015) of each encoder: mean distance of the bins from the truth.

    Bins keep the edges that the whole sample gave. The error of a finite sample is biased upwards, that of a replicate
    once more, so an interval may lie above the true error: compare errors of samples of one size only.
    """
    reason = next((why for why in map(why_one_class, tasks) if why), "no task" if not tasks else None)
    if reason:
        return undefined(tasks, reason)
    for cases in tasks:
        check_probabilities(cases.scores)

    def measure(cases: Cases, block: np.ndarray) -> np.ndarray:
        return np.stack([_error(row, cases.truth, block, binning, bins) for row in cases.scores], axis=1)

    found = bootstrapped(tasks, draws, measure, weights)
    return replace(found, method=f"{found.method}, biased upwards") if found.reason is None else found


def _error(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray, binning: str, bins: int) -> np.ndarray:
    """(B,) ECE: sum over bins of |sum of weighted (probability - truth)| over the weight of all images."""
    places = np.searchsorted(bin_edges(scores, binning, bins), scores, "right")
    inside = np.zeros((len(scores), bins))
    inside[np.arange(len(scores)), places] = scores - truth
    return np.abs(weights @ inside).sum(axis=1) / weights.sum(axis=1)
