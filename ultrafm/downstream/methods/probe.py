"""The linear probe: how much of the answers can be read off the features by straight lines.

Standardised features, logistic regression with an L2 penalty and classes weighted alike, so that the scores of models
trained on different shares of positive cases (the turns of a cross-validation) can be put side by side. Labels: one
line each. Classes: one softmax. Grades: one line with several thresholds (see `ordinal`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from ultrafm.downstream.methods.answers import check_numbers, check_training, probabilities
from ultrafm.downstream.methods.choosing import choose_setting
from ultrafm.downstream.methods.ordinal import fit_grades
from ultrafm.downstream.tasks import Turn

# Inverse strength of the penalty (scikit-learn's C), strongest first.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DEFAULT_PENALTY = 1e-3


@dataclass(frozen=True)
class Probe:
    """A fitted probe: logits = weights . (features - mean) / deviation + intercepts.

    mean, deviation (F,); weights (A, F); intercepts (A,). `single`: it was fitted on one answer given as (N,).
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    penalty: float
    exclusive: bool = False
    ordered: bool = False
    single: bool = False

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) probability of each answer, were all classes equally common; (N,) if `single`."""
        check_numbers("features", features)
        standard = (features - self.mean) / self.deviation
        logits = [standard @ line + intercept for line, intercept in zip(self.weights, self.intercepts)]
        scores = probabilities(np.stack(logits, axis=1), self.exclusive, self.ordered)
        return scores[:, 0] if self.single else scores


def fit_probe(
    features: np.ndarray, answers: np.ndarray, penalty: float, exclusive: bool = False, ordered: bool = False
) -> Probe:
    """Fit on (N, F) features and answers 0/1, (N, A) or one as (N,); mean and deviation come from these rows only.

    Raises UltraFMError when an answer is the same for all images, or features are not finite.
    """
    single, answers = answers.ndim == 1, answers.reshape(len(answers), -1)
    check_training(features, answers)
    features = np.asarray(features, dtype=np.float64)
    mean, deviation = standard_of(features)
    standard = (features - mean) / deviation
    if ordered and answers.shape[1] > 1:
        lines = fit_grades(standard, answers, penalty)
    elif exclusive and answers.shape[1] > 1:
        lines = _softmax_lines(_logistic(standard, answers.argmax(axis=1), penalty))
    else:
        fitted = [_logistic(standard, column, penalty) for column in answers.T]
        lines = np.stack([one.coef_[0] for one in fitted]), np.array([one.intercept_[0] for one in fitted])
    return Probe(mean, deviation, *lines, penalty, exclusive, ordered, single)


def standard_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) mean and deviation of (N, F) features; 1 in place of the deviation of a feature that does not vary."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    return mean, np.where(deviation > 1e-8, deviation, 1.0)


def choose_penalty(
    features: np.ndarray, answers: np.ndarray, turn: Turn, exclusive: bool = False, ordered: bool = False
) -> float:
    """The penalty with the best mean AUROC over the held-out parts of `turn.selection`; ties go to the stronger one."""

    def fit(part: np.ndarray, own: np.ndarray, penalty: float) -> Probe:
        return fit_probe(part, own, penalty, exclusive, ordered)

    return choose_setting(fit, PENALTIES, DEFAULT_PENALTY, features, answers, turn)


def probe_turn(
    features: np.ndarray, answers: np.ndarray, turn: Turn, exclusive: bool = False, ordered: bool = False
) -> Probe:
    """Choose the penalty on validation, then fit on the turn's training images only."""
    penalty = choose_penalty(features, answers, turn, exclusive, ordered)
    return fit_probe(features[turn.train], answers[turn.train], penalty, exclusive, ordered)


def steady_probe(
    features: np.ndarray,
    answers: np.ndarray,
    turn: Turn,
    chosen: float,
    exclusive: bool = False,
    ordered: bool = False,
) -> Probe:
    """A probe of the turn's training images to start fine-tuning from: its penalty is at least the default one.

    A weakly penalised probe leans on features that hardly vary; as soon as the encoder moves, its scores go anywhere.
    """
    return fit_probe(features[turn.train], answers[turn.train], min(chosen, DEFAULT_PENALTY), exclusive, ordered)


def _logistic(standard: np.ndarray, classes: np.ndarray, penalty: float) -> LogisticRegression:
    model = LogisticRegression(C=penalty, class_weight="balanced", solver="lbfgs", max_iter=1000)
    return model.fit(standard, classes)


def _softmax_lines(fitted: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Weights (A, F) and intercepts (A,) of a softmax; scikit-learn gives one line for two classes, halved here."""
    if len(fitted.classes_) > 2:
        return fitted.coef_, fitted.intercept_
    half = np.array([-0.5, 0.5])
    return half[:, None] * fitted.coef_, half * fitted.intercept_
