"""What is chosen on validation scores: the threshold of a call, and the temperature that calibrates."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logit


def youden(scores: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity (Youden 1950); ties go to the one nearest one half.

    Candidates lie in the middle between neighbouring scores, beside one half itself. One class only: one half.
    """
    scores, truth = np.asarray(scores, dtype=float), np.asarray(truth) > 0
    if truth.all() or not truth.any():
        return 0.5
    values = np.unique(scores)
    candidates = np.append((values[:-1] + values[1:]) / 2, 0.5)
    called = scores[None] >= candidates[:, None]
    sums = called[:, truth].mean(axis=1) + (~called[:, ~truth]).mean(axis=1)
    best = candidates[sums >= sums.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def temperature_of(scores: np.ndarray, truth: np.ndarray) -> float:
    """What logits are divided by for the smallest log loss, classes weighted alike as in training (Guo et al. 2017).

    Between 1/20 and 20; 1 where the images have one class.
    """
    truth = np.asarray(truth) > 0
    if truth.all() or not truth.any():
        return 1.0
    logits = logit(np.clip(np.asarray(scores, dtype=float), 1e-12, 1 - 1e-12))
    weights = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    signed = np.where(truth, -logits, logits)

    def loss(log_temperature: float) -> float:
        return float((weights * np.logaddexp(0, signed / np.exp(log_temperature))).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-np.log(20), np.log(20)), method="bounded").x))
