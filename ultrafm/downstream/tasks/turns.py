"""Turns: what is trained on, chosen on and predicted, so that no patient is on two sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.tasks.data import FIXED_FOLDS, TaskData
from ultrafm.errors import UltraFMError


@dataclass(frozen=True)
class Turn:
    """One training and prediction: row numbers of a task's images.

    train: what the final model is fitted on. predict: what it is then asked, once.
    selection: pairs (fit, held) inside the training and validation images, on which hyper-parameters are chosen.
    fold: the name of the evaluation, "test" or "cross-validation".
    """

    train: np.ndarray
    selection: tuple[tuple[np.ndarray, np.ndarray], ...]
    predict: np.ndarray
    fold: str


def turns(data: TaskData) -> list[Turn]:
    """How the images are trained on and predicted.

    Fixed folds: one turn; choices on the validation fold, prediction of the test fold.
    Cross-validation: one turn a patient group; the other groups and the train fold train it, and choices are made by
    holding out each of those other groups in turn. Every evaluation image is predicted once, by a model that saw no
    image of its group. Raises UltraFMError for a task that is skipped.
    """
    if data.skipped:
        raise UltraFMError(f"task {data.task.name}", data.skipped, "a task that can be evaluated")
    fold = data.table["fold"].to_numpy()
    if data.design == FIXED_FOLDS:
        train, held, predict = (np.flatnonzero(fold == name) for name in ("train", "validation", "test"))
        return [Turn(train, ((train, held),), predict, "test")]
    group = np.where(fold == "evaluation", data.table["group"].to_numpy(), -1)
    return [_turn_of_group(group, one) for one in group_numbers(group)]


def group_numbers(group: np.ndarray) -> list[int]:
    """The groups that occur, in their order; -1 is none."""
    return sorted(int(one) for one in set(group[group >= 0]))


def _turn_of_group(group: np.ndarray, one: int) -> Turn:
    """The turn that predicts group `one`; the next group comes first among the pairs that choices are made on."""
    groups = group_numbers(group)
    start = groups.index(one)
    others = groups[start + 1 :] + groups[:start]
    train = np.flatnonzero(group != one)
    pairs = [(np.flatnonzero((group != one) & (group != held)), np.flatnonzero(group == held)) for held in others]
    return Turn(train, tuple(pair for pair in pairs if len(pair[0])), np.flatnonzero(group == one), "cross-validation")
