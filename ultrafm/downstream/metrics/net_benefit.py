"""Decision curves: what acting on a probability is worth beside treating all patients or none.

Net benefit at threshold p counts true positives less false positives at the odds p / (1 - p), per image (Vickers and
Elkin, Medical Decision Making 2006, 26:565). Probabilities must be calibrated for the prevalence at hand first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.metrics.cases import LEVEL, Cases, Estimates, undefined, why_one_class
from ultrafm.downstream.metrics.means import check_probabilities
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import UltraFMError

THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 41))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over thresholds (T,) of the encoder, with pointwise 95 % interval, and of treating all; none is 0."""

    thresholds: np.ndarray
    model: np.ndarray
    low: np.ndarray
    high: np.ndarray
    treat_all: np.ndarray


def net_benefit(cases: Cases, threshold: float, draws: Resampling) -> Estimates:
    """Net benefit of C encoders, and as value C + 1 that of treating all, so that differences can be taken.

    threshold: probability from 0 to below 1 at which one would act. Not defined for one class.
    """
    _check(cases, threshold)
    if why_one_class(cases):
        return undefined([Cases(np.vstack([cases.scores, cases.scores[:1]]), cases.truth, cases.patients)],
                         why_one_class(cases))  # fmt: skip

    def measure(one: Cases, block: np.ndarray) -> np.ndarray:
        return block @ _worth(one, threshold).T / block.sum(axis=1, keepdims=True)

    return bootstrapped([cases], draws, measure)


def decision_curve(
    scores: np.ndarray, truth: np.ndarray, patients: np.ndarray, draws: Resampling, thresholds=THRESHOLDS
) -> DecisionCurve:
    """The decision curve of one encoder: scores (K,) calibrated probabilities, truth (K,) 0/1, patients (K,).

    Raises UltraFMError for one class or scores that are no probabilities.
    """
    cases = Cases(np.asarray(scores, dtype=float)[None], np.asarray(truth), np.asarray(patients))
    if why_one_class(cases):
        raise UltraFMError("decision curve", why_one_class(cases), "images of both classes")
    found = [net_benefit(cases, float(threshold), draws) for threshold in thresholds]
    ends = [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]
    spread = [
        np.full(2, np.nan) if one.replicates is None else np.nanquantile(one.replicates[:, 0], ends) for one in found
    ]
    values = np.array([one.values for one in found])
    return DecisionCurve(np.asarray(thresholds, dtype=float), values[:, 0], *np.array(spread).T, values[:, 1])


def _worth(cases: Cases, threshold: float) -> np.ndarray:
    """(C + 1, K) what acting on each image adds: 1 for a diseased one, minus the odds for a healthy one, 0 if not."""
    worth = np.where(cases.truth == 1, 1.0, -threshold / (1 - threshold))
    return np.vstack([(cases.scores >= threshold) * worth, worth])


def _check(cases: Cases, threshold: float) -> None:
    check_probabilities(cases.scores)
    if not 0 <= threshold < 1:
        raise UltraFMError("threshold of a decision curve", f"{threshold:g}", "a probability from 0 to below 1")
