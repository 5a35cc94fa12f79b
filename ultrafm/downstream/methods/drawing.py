"""Drawing: from probabilities of pixels to outlines, and what thresholds and epochs are chosen by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.methods.answers import check_numbers
from ultrafm.downstream.tasks import TaskData, Turn

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
Shares = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Drawn:
    """Outlines of the images of a turn: `masks` (P, S, S), 0 background, c the c-th structure; and of the `held` rows
    (M,), which were not fitted on, `held_masks` (M, S, S): their threshold was chosen on them, so they are no result.
    """

    masks: np.ndarray
    held: np.ndarray
    held_masks: np.ndarray


def draw(shares_of: Shares, data: TaskData, turn: Turn) -> Drawn:
    """Outlines by `shares_of`, which gives the (P, C, S, S) probabilities of the C structures in images by their rows.

    The thresholds are chosen on the held-out rows of `fitting_rows`. Raises UltraFMError when they are not finite.
    """
    count, (fit, held) = len(data.answers), fitting_rows(turn)
    shares = shares_of(held)
    check_numbers("probabilities of pixels", shares)
    thresholds = choose_thresholds(shares, structure_masks(data.truth[held], count))
    fresh = ~np.isin(held, fit)
    masks = label_map(shares_of(turn.predict), thresholds)
    return Drawn(masks, held[fresh], label_map(shares, thresholds)[fresh])


def fitting_rows(turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """The images a segmentation model is fitted on, and those that its threshold and epoch are chosen on.

    Fixed folds: train and validation. Cross-validation: one of the other groups is held out for choosing. With two
    groups and no train fold nothing is left to hold out, and the choice is made on the fitted images themselves.
    """
    return turn.selection[0] if turn.selection else (turn.train, turn.train)


def dice(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice of each image, 2 |both| / (|prediction| + |truth|), 0 to 1; (..., S, S) 0/1 masks -> (...).

    Both empty: 1, because the prediction is right. One empty: 0. Tasks of one structure leave images without it out
    (see `select_task`), so there the first case does not arise and a missed structure counts as 0.
    """
    prediction, truth = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    both = (prediction & truth).sum(axis=(-2, -1))
    total = prediction.sum(axis=(-2, -1)) + truth.sum(axis=(-2, -1))
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)


def structure_masks(truth: np.ndarray, count: int) -> np.ndarray:
    """(N, S, S) numbered structures, 0 background -> (N, `count`, S, S) uint8 masks of 0 and 1."""
    return np.stack([truth == number for number in range(1, count + 1)], axis=1).astype(np.uint8)


def mean_dice(labels: np.ndarray, truth: np.ndarray, count: int) -> float:
    """Mean Dice over images and `count` structures of numbered masks (N, S, S)."""
    return float(dice(structure_masks(labels, count), structure_masks(truth, count)).mean())


def choose_threshold(shares: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the best mean Dice on (N, S, S) shares and truth 0/1; ties go to the one nearest 0.5."""
    found = {threshold: dice(shares >= threshold, truth).mean() for threshold in THRESHOLDS}
    return max(found, key=lambda threshold: (round(float(found[threshold]), 6), -abs(threshold - 0.5)))


def choose_thresholds(shares: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(C,) thresholds of C structures, each chosen by itself, from shares and masks (N, C, S, S)."""
    found = [choose_threshold(shares[:, number], masks[:, number]) for number in range(shares.shape[1])]
    return np.array(found)


def label_map(shares: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(N, S, S) uint8 numbered structures from (N, C, S, S) shares and (C,) thresholds.

    A pixel belongs to the structure that exceeds its threshold by most, to the background when none reaches it.
    """
    excess = shares - thresholds.astype(shares.dtype)[:, None, None]
    return np.where(excess.max(axis=1) >= 0, excess.argmax(axis=1) + 1, 0).astype(np.uint8)
