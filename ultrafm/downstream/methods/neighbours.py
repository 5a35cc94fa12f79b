"""k-nearest neighbours: images that look alike to the encoder vote (Caron et al. 2021, arXiv 2104.14294, section 4.1).

No training at all: what it finds lies in the features as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.methods.answers import balanced_weights, check_numbers, check_training
from ultrafm.downstream.methods.probe import standard_of

# (how many neighbours, temperature of their votes): the smoothest first.
SETTINGS = tuple((count, temperature) for count in (50, 20, 10, 5) for temperature in (0.3, 0.1, 0.03))
DEFAULT_SETTING = (20, 0.1)
NO_OPINION = 0.1  # weight of a vote that says nothing, in units of the nearest neighbour's: no score is quite 0 or 1


@dataclass(frozen=True)
class Neighbours:
    """Directions (N, F) of the training images, with their answers (N, A) and weights (N, A)."""

    mean: np.ndarray
    deviation: np.ndarray
    directions: np.ndarray
    answers: np.ndarray
    weights: np.ndarray
    count: int
    temperature: float
    exclusive: bool

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) share of the votes, each exp(cosine / temperature), classes weighing alike."""
        check_numbers("features", features)
        cosines = directions_of(features, self.mean, self.deviation) @ self.directions.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : self.count]
        near = np.take_along_axis(cosines, nearest, axis=1)
        votes = np.exp((near - near[:, :1]) / self.temperature)[:, :, None] * self.weights[nearest]
        nothing = 1 / self.answers.shape[1] if self.exclusive and self.answers.shape[1] > 1 else 0.5
        total = votes.sum(axis=1) + NO_OPINION
        return ((votes * self.answers[nearest]).sum(axis=1) + NO_OPINION * nothing) / total


def fit_neighbours(
    features: np.ndarray,
    answers: np.ndarray,
    setting: tuple[int, float],
    exclusive: bool = False,
    ordered: bool = False,
) -> Neighbours:
    """Keep (N, F) features and (N, A) answers; setting: how many neighbours vote, and the temperature of their votes.

    Features are standardised with these rows' mean and deviation, so that no single feature decides the cosine.
    Raises UltraFMError when an answer is the same for all images, or features are not finite.
    """
    check_training(features, answers)
    mean, deviation = standard_of(np.asarray(features, dtype=np.float64))
    weights = balanced_weights(answers, exclusive, ordered).astype(np.float64)
    directions = directions_of(features, mean, deviation)
    return Neighbours(mean, deviation, directions, answers.astype(float), weights, *setting, exclusive)


def directions_of(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """(N, F) standardised features of length 1; zeros where a row is the mean itself."""
    standard = (features - mean) / deviation
    return standard / np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-12)
