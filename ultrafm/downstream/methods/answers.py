"""Answers: what a classifier is asked of each image, as columns of 0 and 1, and how the columns hang together.

A question has answers (N, A). One column: yes or no. Several: labels that may come together; or classes of which one
is right (`exclusive`: one 1 in each row); or grades of severity (`ordered`: column k says "at least grade k + 1", so
that no row has a 1 after a 0).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score

from ultrafm.errors import UltraFMError


def balanced_weights(answers: np.ndarray, exclusive: bool = False, ordered: bool = False) -> np.ndarray:
    """(N, A) float32 weight of each image in each answer, so that classes weigh alike; the mean of a column is 1.

    Labels: yes and no weigh alike in each column. Classes and grades: each of them weighs alike, in all columns.
    """
    answers = np.asarray(answers, dtype=np.float32)
    if answers.shape[1] == 1 or not (exclusive or ordered):
        share = answers.mean(axis=0, dtype=np.float32)
        return np.where(answers > 0, np.float32(0.5) / share, np.float32(0.5) / (1 - share))
    classes = class_numbers(answers, exclusive)
    counts = np.bincount(classes)
    weights = len(classes) / ((counts > 0).sum() * counts[classes])
    return np.repeat(weights.astype(np.float32)[:, None], answers.shape[1], axis=1)


def class_numbers(answers: np.ndarray, exclusive: bool) -> np.ndarray:
    """(N,) number of the class of each image: which column is 1 (`exclusive`), or how many are (grades)."""
    return answers.argmax(axis=1) if exclusive else answers.sum(axis=1).astype(int)


def probabilities(logits: np.ndarray, exclusive: bool = False, ordered: bool = False) -> np.ndarray:
    """(N, A) logits -> (N, A) probabilities: they add up to 1 (`exclusive`), or never rise with the grade (`ordered`).

    In double precision, so that sure scores are not tied at 1.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if exclusive and logits.shape[1] > 1:
        return softmax(logits, axis=1)
    return never_rising(expit(logits)) if ordered else expit(logits)


def never_rising(scores: np.ndarray) -> np.ndarray:
    """(N, A) scores of grades, each cut to the one before it: "at least 2" is never likelier than "at least 1"."""
    return np.minimum.accumulate(scores, axis=1)


def mean_auroc(answers: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the answers of the area under the ROC curve; answers that all images share are passed over."""
    answers, scores = (values.reshape(len(values), -1) for values in (answers, scores))
    both = [column for column in range(answers.shape[1]) if len(set(answers[:, column])) == 2]
    return float(np.mean([roc_auc_score(answers[:, column], scores[:, column]) for column in both]))


def has_both(answers: np.ndarray) -> bool:
    """Does every answer, (N, A) or one as (N,), occur as 0 and as 1?"""
    return len(answers) > 0 and bool(((answers.min(axis=0) == 0) & (answers.max(axis=0) == 1)).all())


def check_training(features: np.ndarray, answers: np.ndarray) -> None:
    """Raise UltraFMError when nothing can be fitted: an answer that all images share, or features that are no numbers.

    features (N, F), answers (N, A).
    """
    check_numbers("features of the training images", features)
    if not has_both(answers):
        same = [str(column) for column in range(answers.shape[1]) if not has_both(answers[:, column : column + 1])]
        found = f"one class only ({len(answers)} images, answer number {', '.join(same)})"
        raise UltraFMError("training images", found, "images of both classes", "give this part more patients")


def check_numbers(where: str, values: np.ndarray) -> None:
    """Raise UltraFMError when a row of (N, ...) values has NaN or infinite numbers; says which."""
    good = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not good.all():
        rows = np.flatnonzero(~good)
        found = f"NaN or infinite numbers in {len(rows)} of {len(values)} rows (the first: row {rows[0]})"
        raise UltraFMError(where, found, "finite numbers", "look for broken weights or broken pictures")
