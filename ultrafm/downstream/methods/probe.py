"""The linear probe: how much of the answer can be read off the features by one straight line.

Standardised features, logistic regression with an L2 penalty and classes weighted alike, so that the scores of models
trained on different shares of positive cases (the turns of a cross-validation) can be put side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.tasks import Turn

# Inverse strength of the penalty (scikit-learn's C), strongest first.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DEFAULT_PENALTY = 1e-3


@dataclass(frozen=True)
class Probe:
    """A fitted probe: score = expit(weights . (features - mean) / deviation + intercept)."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float
    penalty: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N,) probability of a positive case, were both classes equally common."""
        return expit((features - self.mean) / self.deviation @ self.weights + self.intercept)


def fit_probe(features: np.ndarray, truth: np.ndarray, penalty: float) -> Probe:
    """Fit on (N, F) features and (N,) truth 0/1; mean and deviation come from these rows only."""
    features = np.asarray(features, dtype=np.float64)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-8, deviation, 1.0)
    model = LogisticRegression(C=penalty, class_weight="balanced", solver="lbfgs", max_iter=1000)
    model.fit((features - mean) / deviation, truth)
    return Probe(mean, deviation, model.coef_[0], float(model.intercept_[0]), penalty)


def choose_penalty(features: np.ndarray, truth: np.ndarray, turn: Turn) -> float:
    """The penalty with the best AUROC over the held-out parts of `turn.selection`; ties go to the stronger penalty.

    Pairs whose fitting part has one class are passed over; when the held-out images have one class, nothing can be
    chosen and DEFAULT_PENALTY is used. The images of `turn.predict` take no part.
    """
    pairs = [(fit, held) for fit, held in turn.selection if len(set(truth[fit])) == 2]
    answers = np.concatenate([truth[held] for _, held in pairs]) if pairs else np.array([])
    if len(set(answers)) < 2:
        return DEFAULT_PENALTY
    aurocs = []
    for penalty in PENALTIES:
        scores = [fit_probe(features[fit], truth[fit], penalty).score(features[held]) for fit, held in pairs]
        aurocs.append(roc_auc_score(answers, np.concatenate(scores)))
    return PENALTIES[int(np.argmax(aurocs))]


def probe_turn(features: np.ndarray, truth: np.ndarray, turn: Turn) -> Probe:
    """Choose the penalty on validation, then fit on the turn's training images only."""
    return fit_probe(features[turn.train], truth[turn.train], choose_penalty(features, truth, turn))


def steady_probe(features: np.ndarray, truth: np.ndarray, turn: Turn, chosen: float) -> Probe:
    """A probe of the turn's training images to start fine-tuning from: its penalty is at least the default one.

    A weakly penalised probe leans on features that hardly vary; as soon as the encoder moves, its scores go anywhere.
    """
    return fit_probe(features[turn.train], truth[turn.train], min(chosen, DEFAULT_PENALTY))
