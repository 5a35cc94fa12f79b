"""Answers: the classes of a task as names, as numbers, and as columns of 0 and 1 that classifiers are fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ultrafm.errors import UltraFMError
from ultrafm.manifests.question import CLASSIFYING
from ultrafm.manifests.schema import Task


def answer_names(task: Task) -> tuple[str, ...]:
    """What is asked of each image: the disease; each class; of severity "at least GRADE" for all but the mildest.

    Of a segmentation the structures, of a measurement the quantity.
    """
    if task.kind == "segmentation":
        return task.outlined
    if task.kind == "measurement":
        return (task.quantity,)
    if task.is_binary:
        return (task.disease,)
    if task.kind == "severity":
        return tuple(f"at least {grade}" for grade in [*task.classes][1:])
    return tuple(task.classes)


def class_truth(words: Sequence[str | None], task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Truth (see TaskData) of images with these labels (or organs), and (N,) False where a word answers nothing.

    Of several classes an image has each that lists its label; a label that no class lists is an answer too: none.
    """
    if task.is_binary:
        positive, negative = _is_in(words, task.positive), _is_in(words, task.negative)
        return positive.astype(np.int64), positive | negative
    belongs = np.stack([_is_in(words, listed) for listed in task.classes.values()], axis=1)
    if task.several:
        return belongs.astype(np.int64), np.array([isinstance(word, str) for word in words], dtype=bool)
    return belongs.argmax(axis=1), belongs.any(axis=1)


def answer_truth(task: Task, truth: np.ndarray) -> np.ndarray:
    """(N, A) int 0 or 1: is each answer of `answer_names` true? `truth` as in TaskData.

    One disease A = 1; K classes A = K, of which one is 1; several classes A = K; K grades A = K - 1, "at least grade k"
    (Frank and Hall 2001, "A simple approach to ordinal classification"). Raises UltraFMError for other kinds.
    """
    if task.kind not in CLASSIFYING:
        raise UltraFMError(f"task {task.name}", f"the kind {task.kind}", f"one of {', '.join(CLASSIFYING)}")
    truth = np.asarray(truth, dtype=np.int64)
    if task.is_binary:
        return truth[:, None]
    if task.several:
        return truth
    numbers = np.arange(len(task.classes))
    if task.kind == "severity":
        return (truth[:, None] >= numbers[1:]).astype(np.int64)
    return (truth[:, None] == numbers).astype(np.int64)


def _is_in(words: Sequence[str | None], listed: Sequence[str]) -> np.ndarray:
    return np.array([word in listed for word in words], dtype=bool)
