"""Choosing on validation images: settings of a classifier, and the scores that thresholds are fixed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from ultrafm.downstream.methods.answers import has_both, mean_auroc
from ultrafm.downstream.tasks import Turn

Setting = TypeVar("Setting")


class Classifier(Protocol):
    """What every fitted classifier of this room can do."""

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) probabilities."""
        ...


Fit = Callable[[np.ndarray, np.ndarray, Setting], Classifier]


def usable_pairs(answers: np.ndarray, turn: Turn) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs (fit, held) of `turn.selection` whose fitting part has every answer both as 0 and as 1."""
    return [(fit, held) for fit, held in turn.selection if has_both(answers[fit])]


def choose_setting(
    fit: Fit[Setting],
    settings: Sequence[Setting],
    default: Setting,
    features: np.ndarray,
    answers: np.ndarray,
    turn: Turn,
) -> Setting:
    """The setting with the best mean AUROC over the held-out parts of `turn.selection`; ties go to the first.

    Pairs whose fitting part lacks a class are passed over; when the held-out images have one class in every answer,
    nothing can be chosen and `default` is used. The images of `turn.predict` take no part.
    answers: (N, A), or one as (N,).
    """
    pairs = usable_pairs(answers, turn)
    truth = np.concatenate([answers[held] for _, held in pairs]) if pairs else answers[:0]
    if not len(truth) or (truth == truth[0]).all():
        return default
    found = []
    for setting in settings:
        scores = [fit(features[rows], answers[rows], setting).score(features[held]) for rows, held in pairs]
        found.append(mean_auroc(truth, np.concatenate(scores)))
    return settings[int(np.argmax(found))]


def held_out_scores(
    fit: Fit[Setting], setting: Setting, features: np.ndarray, answers: np.ndarray, turn: Turn
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (M,) and scores (M, A) of the held-out images of a turn, by classifiers that were not fitted on them.

    Fixed folds: the validation images. Cross-validation: every inner group, by a model of the others. The setting was
    chosen on these very images, so their scores serve to fix a threshold and a temperature, never to report.
    """
    pairs = usable_pairs(answers, turn)
    if not pairs:
        return np.zeros(0, dtype=int), np.zeros((0, *answers.shape[1:]))
    scores = [fit(features[rows], answers[rows], setting).score(features[held]) for rows, held in pairs]
    return np.concatenate([held for _, held in pairs]), np.concatenate(scores)
