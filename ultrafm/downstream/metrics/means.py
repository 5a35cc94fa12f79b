"""Measures that are a mean over images: Dice and other values of single images, Brier score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ultrafm.downstream.metrics.cases import Cases, Estimates, undefined
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import UltraFMError


def mean_value(tasks: Sequence[Cases], draws: Resampling, weights: np.ndarray | None = None) -> Estimates:
    """Mean over images of `scores`, the value of each image (Dice, a distance), of one task or averaged over several.

    Patients are drawn as in `draws`; `weights` (T,) of the tasks, all alike when None.
    """
    if not tasks or any(cases.scores.shape[1] == 0 for cases in tasks):
        return undefined(tasks, "no image")
    return bootstrapped(tasks, draws, _weighted_mean, weights)


def brier(tasks: Sequence[Cases], draws: Resampling, weights: np.ndarray | None = None) -> Estimates:
    """Mean squared difference of probability and truth (Brier 1950), 0 perfect, 1 worst; 0.25 for always 0.5.

    Raises UltraFMError for a score that is no probability.
    """
    for cases in tasks:
        check_probabilities(cases.scores)
    return mean_value([replace(cases, scores=(cases.scores - cases.truth) ** 2) for cases in tasks], draws, weights)


def check_probabilities(scores: np.ndarray) -> None:
    """Raise UltraFMError, with the row, for a score outside 0..1 or that is no number."""
    scores = np.asarray(scores, dtype=float)
    wrong = np.argwhere(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        found = f"{scores[tuple(wrong[0])]:g}"
        raise UltraFMError(f"probabilities, row {wrong[0][-1]}", found, "a number from 0 to 1")


def _weighted_mean(cases: Cases, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return weights @ cases.scores.T / np.where(total > 0, total, np.nan)
