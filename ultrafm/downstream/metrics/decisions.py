"""Decisions at a threshold: chosen on validation images, then applied to test images, never chosen on those.

An image is called positive when its score is at or above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ultrafm.downstream.metrics.cases import Cases, Estimates, undefined, why_one_class
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import UltraFMError, one_of


@dataclass(frozen=True)
class Threshold:
    """A threshold, the rule that chose it, and what it gave on the validation images that it was chosen on."""

    value: float
    rule: str
    sensitivity: float
    specificity: float


def choose_threshold(scores: np.ndarray, truth: np.ndarray, sensitivity: float | None = None) -> Threshold:
    """The threshold for scores (K,) of validation images with truth (K,) 0/1.

    Candidates are the scores that occur. Without `sensitivity`: the one with the largest sensitivity + specificity - 1
    (Youden, Cancer 1950, 3:32); of equal ones the lowest, which has the higher sensitivity. With `sensitivity` (0..1):
    the highest threshold that reaches it, which has the best specificity. Counts are compared as whole numbers, so that
    ties are exact. Raises UltraFMError for one class, for NaN and for a sensitivity outside 0..1.
    """
    scores, truth = np.asarray(scores, dtype=float), np.asarray(truth)
    reason = why_one_class(Cases(scores[None], truth, np.arange(len(truth))))
    if reason:
        raise UltraFMError("threshold on validation", reason, "images of both classes")
    candidates, places = np.unique(scores, return_inverse=True)
    ill = np.cumsum(np.bincount(places, truth == 1)[::-1])[::-1].round().astype(int)
    well = np.cumsum(np.bincount(places, truth != 1)[::-1])[::-1].round().astype(int)
    if sensitivity is None:
        best, rule = int(np.argmax(ill * well[0] - well * ill[0])), "Youden"
    else:
        if not 0 < sensitivity <= 1:
            raise UltraFMError("sensitivity to be reached", f"{sensitivity:g}", "above 0, at most 1")
        best = int(np.flatnonzero(ill >= math.ceil(sensitivity * ill[0] - 1e-9))[-1])
        rule = f"sensitivity at least {sensitivity:g}"
    return Threshold(float(candidates[best]), rule, float(ill[best] / ill[0]), float(1 - well[best] / well[0]))


def call(cases: Cases, thresholds: np.ndarray) -> Cases:
    """The same images with 1 (called positive) and 0 in place of scores.

    thresholds: (C,) one for each encoder, or (C, K) where images were scored by models with thresholds of their own.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    limits = thresholds[:, None] if thresholds.ndim == 1 else thresholds
    return replace(cases, scores=(cases.scores >= limits).astype(float))


def decision(name: str, tasks: Sequence[Cases], draws: Resampling, weights: np.ndarray | None = None) -> Estimates:
    """One of DECISIONS for images that were called 0 or 1 (see `call`), of one task or averaged over several.

    "sensitivity", "specificity", "balanced_accuracy" (their mean) and "f1" (0 when nothing diseased is called).
    Not defined where the images are of one class.
    """
    one_of("measure of decisions", name, DECISIONS)
    reason = next((why for why in map(why_one_class, tasks) if why), "no task" if not tasks else None)
    if reason:
        return undefined(tasks, reason)

    def measure(cases: Cases, block: np.ndarray) -> np.ndarray:
        counts = np.stack([confusions(row, cases.truth, 2, block) for row in cases.scores], axis=1)
        return DECISIONS[name](counts)

    return bootstrapped(tasks, draws, measure, weights)


def confusions(called: np.ndarray, truth: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """(B, Q, Q) weight of the images of each class (rows) that were called each class (columns), Q classes.

    called and truth: (K,) class numbers 0..Q-1; weights: (B, K). Raises UltraFMError for another class number.
    """
    pairs = np.stack([np.asarray(truth), np.asarray(called)]).astype(int)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= classes):
        raise UltraFMError("classes", f"numbers from {pairs.min()} to {pairs.max()}", f"0 to {classes - 1}")
    cells = np.zeros((pairs.shape[1], classes * classes))
    cells[np.arange(pairs.shape[1]), pairs[0] * classes + pairs[1]] = 1
    return (weights @ cells).reshape(-1, classes, classes)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; NaN where the whole is 0."""
    return part / np.where(whole > 0, whole, np.nan)


def _sensitivity(counts: np.ndarray) -> np.ndarray:
    return share(counts[..., 1, 1], counts[..., 1, :].sum(axis=-1))


def _specificity(counts: np.ndarray) -> np.ndarray:
    return share(counts[..., 0, 0], counts[..., 0, :].sum(axis=-1))


def _f1(counts: np.ndarray) -> np.ndarray:
    return share(2 * counts[..., 1, 1], counts[..., 1, :].sum(axis=-1) + counts[..., :, 1].sum(axis=-1))


DECISIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "balanced_accuracy": lambda counts: (_sensitivity(counts) + _specificity(counts)) / 2,
    "f1": _f1,
}
