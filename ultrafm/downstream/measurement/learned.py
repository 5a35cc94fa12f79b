"""A measurement read off frozen features by ridge regression, with its strength chosen on other patients."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ultrafm.downstream.tasks import Turn

STRENGTHS = (1e5, 1e4, 1e3, 1e2, 1e1, 1e0)  # of the penalty, the strongest first
DEFAULT_STRENGTH = 1e3


def fit_ridge(features: np.ndarray, values: np.ndarray, strength: float) -> Pipeline:
    """Ridge regression of (N,) values on (N, F) features, standardised with these rows."""
    return make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(features.astype(np.float64), values)


def choose_strength(features: np.ndarray, values: np.ndarray, turn: Turn) -> float:
    """The strength with the least mean absolute error over the held-out parts of `turn.selection`.

    Ties go to the stronger penalty; without a pair to choose on it is DEFAULT_STRENGTH.
    """
    pairs = [(fit, held) for fit, held in turn.selection if len(fit) > 1 and len(held)]
    if not pairs:
        return DEFAULT_STRENGTH
    errors = [
        np.concatenate(
            [np.abs(predict(fit_ridge(features[fit], values[fit], one), features[held]) - values[held])
             for fit, held in pairs]
        ).mean()
        for one in STRENGTHS
    ]  # fmt: skip
    return STRENGTHS[int(np.argmin(np.round(errors, 9)))]


def predict(model: Pipeline, features: np.ndarray) -> np.ndarray:
    """(N,) values from (N, F) features."""
    return model.predict(features.astype(np.float64))


def ridge_turn(features: np.ndarray, values: np.ndarray, turn: Turn) -> np.ndarray:
    """(P,) values of the images of `turn.predict`, by a model chosen and fitted on other patients only."""
    strength = choose_strength(features, values, turn)
    return predict(fit_ridge(features[turn.train], values[turn.train], strength), features[turn.predict])
