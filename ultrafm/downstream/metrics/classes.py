"""One class out of several, or a grade: top-1 and balanced accuracy, quadratic weighted kappa."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ultrafm.downstream.metrics.cases import Cases, Estimates, undefined
from ultrafm.downstream.metrics.decisions import confusions, share
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import one_of


def predicted_classes(scores: np.ndarray, ordered: bool) -> np.ndarray:
    """(..., K) class numbers from probabilities (..., K, A).

    Classes: the most probable of A; of equal ones the first. Grades (`ordered`): answer a says "at least grade a + 1",
    and the grade is the number of answers with a probability of at least 0.5, 0..A.
    """
    scores = np.asarray(scores, dtype=float)
    return (scores >= 0.5).sum(axis=-1) if ordered else scores.argmax(axis=-1)


def of_classes(name: str, tasks: Sequence[Cases], draws: Resampling, weights: np.ndarray | None = None) -> Estimates:
    """One of CLASS_MEASURES, of one task or averaged over several.

    tasks: `scores` (C, K) the class number that each encoder chose and `truth` (K,) the true one, from 0. "top_1":
    share of images whose class is right. "balanced_accuracy": mean over the classes that occur of the share that is
    right. "quadratic_kappa": Cohen's kappa with squared distances (Cohen, Psychological Bulletin 1968, 70:213), for
    grades. Not defined where all images are of one class.
    """
    one_of("measure of classes", name, CLASS_MEASURES)
    if not tasks or any(len(np.unique(cases.truth)) < 2 for cases in tasks):
        return undefined(tasks, "images of one class only" if tasks else "no task")

    def measure(cases: Cases, block: np.ndarray) -> np.ndarray:
        count = int(max(cases.scores.max(), cases.truth.max())) + 1
        rows = [confusions(row, cases.truth, count, block) for row in cases.scores]
        return CLASS_MEASURES[name](np.stack(rows, axis=1))

    return bootstrapped(tasks, draws, measure, weights)


def _top_1(counts: np.ndarray) -> np.ndarray:
    return share(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def _balanced(counts: np.ndarray) -> np.ndarray:
    hits, totals = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    rates = np.where(totals > 0, hits / np.maximum(totals, 1e-12), 0.0)
    return share(rates.sum(axis=-1), (totals > 0).sum(axis=-1))


def _quadratic_kappa(counts: np.ndarray) -> np.ndarray:
    grades = np.arange(counts.shape[-1])
    distance = (grades[:, None] - grades) ** 2
    by_chance = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    observed = (distance * counts).sum(axis=(-2, -1)) * counts.sum(axis=(-2, -1))
    return 1 - share(observed, (distance * by_chance).sum(axis=(-2, -1)))


CLASS_MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "top_1": _top_1,
    "balanced_accuracy": _balanced,
    "quadratic_kappa": _quadratic_kappa,
}
