"""Ridge regression in closed form: a probe without iterations, and measurements read off the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.methods.answers import balanced_weights, check_numbers, check_training, probabilities
from ultrafm.downstream.methods.probe import standard_of
from ultrafm.downstream.tasks import Turn
from ultrafm.errors import UltraFMError

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)  # per image, strongest first
DEFAULT_PENALTY = 10.0


@dataclass(frozen=True)
class RidgeProbe:
    """Fitted on answers coded -1 and 1: logits = 2 (weights . (features - mean) / deviation + intercepts)."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    exclusive: bool
    ordered: bool

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) probabilities, whose sharpness is not fitted: calibrate before reading them so."""
        check_numbers("features", features)
        values = (features - self.mean) / self.deviation @ self.weights.T + self.intercepts
        return probabilities(2 * values, self.exclusive, self.ordered)


@dataclass(frozen=True)
class RidgeRegression:
    """A fitted measurement: value = weights . (features - mean) / deviation + usual, in the unit of the truth."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    usual: float
    penalty: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N,) values, in the unit of the truth."""
        check_numbers("features", features)
        return (features - self.mean) / self.deviation @ self.weights + self.usual


def fit_ridge(
    features: np.ndarray, answers: np.ndarray, penalty: float, exclusive: bool = False, ordered: bool = False
) -> RidgeProbe:
    """Least squares on (N, F) features and (N, A) answers, classes weighing alike, with `penalty` N |w|^2.

    Raises UltraFMError when an answer is the same for all images, or features are not finite.
    """
    check_training(features, answers)
    features = np.asarray(features, dtype=np.float64)
    mean, deviation = standard_of(features)
    weights = balanced_weights(answers, exclusive, ordered).astype(np.float64)
    lines = [
        weighted_ridge((features - mean) / deviation, 2.0 * column - 1, weight, penalty)
        for column, weight in zip(answers.T, weights.T)
    ]
    return RidgeProbe(
        mean, deviation, np.stack([line for line, _ in lines]), np.array([shift for _, shift in lines]), exclusive,
        ordered,
    )  # fmt: skip


def weighted_ridge(
    standard: np.ndarray, target: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """(F,) line and intercept that minimise sum_i weights_i (line . x_i + intercept - t_i)^2 + penalty N |line|^2.

    By the smaller of the two Gram matrices: of features, or of images.
    """
    count, features = standard.shape
    centre = weights @ standard / weights.sum()
    usual = weights @ target / weights.sum()
    root = np.sqrt(weights)
    rows, aims = root[:, None] * (standard - centre), root * (target - usual)
    if features <= count:
        line = np.linalg.solve(rows.T @ rows + penalty * count * np.eye(features), rows.T @ aims)
    else:
        line = rows.T @ np.linalg.solve(rows @ rows.T + penalty * count * np.eye(count), aims)
    return line, float(usual - centre @ line)


def fit_measurement(features: np.ndarray, values: np.ndarray, penalty: float) -> RidgeRegression:
    """Ridge regression of (N,) values on (N, F) features, both standardised with these rows.

    Raises UltraFMError when features or values are not finite, or fewer than two images are given.
    """
    check_numbers("features of the training images", features)
    check_numbers("measured values of the training images", values)
    if len(values) < 2:
        raise UltraFMError("training images", f"{len(values)} measured", "at least 2", "give this part more patients")
    features = np.asarray(features, dtype=np.float64)
    mean, deviation = standard_of(features)
    spread = values.std() or 1.0
    target = (values - values.mean()) / spread
    line, _ = weighted_ridge((features - mean) / deviation, target, np.ones(len(values)), penalty)
    return RidgeRegression(mean, deviation, spread * line, float(values.mean()), penalty)


def measurement_turn(features: np.ndarray, values: np.ndarray, turn: Turn) -> RidgeRegression:
    """Choose the penalty by squared error on the held-out parts, ties to the stronger, then fit on the training images.

    Where nothing is held out, DEFAULT_PENALTY is used. The images of `turn.predict` take no part.
    """
    penalty = DEFAULT_PENALTY
    if turn.selection:
        errors = [
            sum(((fit_measurement(features[fit], values[fit], one).predict(features[held]) - values[held]) ** 2).sum()
                for fit, held in turn.selection)
            for one in PENALTIES
        ]  # fmt: skip
        penalty = PENALTIES[int(np.argmin(errors))]
    return fit_measurement(features[turn.train], values[turn.train], penalty)
