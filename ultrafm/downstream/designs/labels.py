"""How many labels are needed: a probe of a share of the training patients, or of a few patients of each class.

Draws are nested (the patients at 5 % are among those at 10 %), alike for all encoders, and repeated. All images of a
drawn patient are labelled. Validation images are not read: see `asking`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.asking import (
    Look,
    ask_inner,
    joined,
    patient_classes,
    prediction_rows,
    why_not_trainable,
)
from ultrafm.downstream.tasks import TaskData, turns
from ultrafm.seeds import spawn

SHARE_COLUMNS, SHOT_COLUMNS = ("share", "labelled", "repeat"), ("shots", "labelled", "repeat")


def patient_order(classes: pd.Series, generator: np.random.Generator) -> np.ndarray:
    """The patients (index of `classes`) in a random order of which every beginning holds the classes evenly.

    Within a class the order is random; the i-th of n stands at (i + 1/2) / n of the whole, so a beginning holds each
    class's share of patients to within one.
    """
    shuffled = classes.iloc[generator.permutation(len(classes))]
    place = (shuffled.groupby(shuffled).cumcount() + 0.5) / shuffled.map(shuffled.value_counts())
    return place.sort_values(kind="stable").index.to_numpy()


def first_share(order: np.ndarray, inside: np.ndarray, share: float) -> np.ndarray:
    """The first `share` (0 to 1) of those patients of `order` that are among `inside`; halves are rounded up."""
    found = order[np.isin(order, inside)]
    return found[: int(np.floor(share * len(found) + 0.5))]


def first_of_each(order: np.ndarray, inside: np.ndarray, classes: pd.Series, count: int) -> np.ndarray:
    """The first `count` patients of each class, of those patients of `order` that are among `inside`."""
    found = pd.Series(order[np.isin(order, inside)])
    return found[found.groupby(classes[found].to_numpy()).cumcount() < count].to_numpy()


def label_draws(data: TaskData, repeat: int, seed: int) -> tuple[np.ndarray, pd.Series]:
    """The order in which patients are labelled in one repeat, and the class of each; no encoder has a say in it."""
    classes = patient_classes(data.answer_truth, data.patients)
    return patient_order(classes, spawn(seed, "label draws", data.task.name, repeat)), classes


def why_not_share(data: TaskData, share: float, repeats: int, seed: int) -> str | None:
    """None when this share of the training patients has two with and without each answer in all turns and repeats."""
    answers, patients = data.answer_truth, data.patients
    for repeat in range(repeats):
        order, _ = label_draws(data, repeat, seed)
        for turn in turns(data):
            chosen = np.isin(patients, first_share(order, patients[turn.train], share))
            rows = turn.train[chosen[turn.train]]
            if reason := why_not_trainable(answers[rows], patients[rows]):
                return reason
    return None


def why_not_shots(data: TaskData, shots: int) -> str | None:
    """None when each class has so many training patients in all turns, and an image one answer; else the reason."""
    answers, patients = data.answer_truth, data.patients
    classes = patient_classes(answers, patients)
    if classes.max() > answers.shape[1]:
        return "images have several answers at once, so there are no classes to draw from"
    for turn in turns(data):
        found = classes[np.unique(patients[turn.train])].value_counts().reindex(range(classes.max() + 1), fill_value=0)
        if found.min() < shots:
            return f"{found.min()} training patients in a class, {shots} needed"
    return None


def label_efficiency(look: Look, shares: Sequence[float], repeats: int, seed: int) -> pd.DataFrame:
    """Predictions by probes of a share of the training patients, `repeats` draws of each; the whole is asked once.

    Columns of `asking`, then share (0 to 1), labelled (patients), repeat. A share that leaves fewer than two patients
    with or without an answer, in any turn or repeat, is left out: `why_not_share` tells.
    """
    possible = [share for share in shares if why_not_share(look.data, share, repeats, seed) is None]
    parts = []
    for repeat in range(repeats):
        order, _ = label_draws(look.data, repeat, seed)
        for share in possible:
            if share < 1 or repeat == 0:
                parts += _answers_by(look, partial(first_share, order, share=share), repeat, share=share)
    return joined(parts, SHARE_COLUMNS)


def few_shot(look: Look, shots: Sequence[int], repeats: int, seed: int) -> pd.DataFrame:
    """Predictions by probes of 1, 2, ... patients of each class, `repeats` draws of each.

    Columns of `asking`, then shots (patients a class), labelled (patients), repeat. With one patient a class the
    penalty cannot be chosen and is the probe's default. A number that a class does not have is left out:
    `why_not_shots` tells.
    """
    possible = [count for count in shots if why_not_shots(look.data, count) is None]
    parts = []
    for repeat in range(repeats):
        order, classes = label_draws(look.data, repeat, seed)
        for count in possible:
            take = partial(first_of_each, order, classes=classes, count=count)
            parts += _answers_by(look, take, repeat, shots=count)
    return joined(parts, SHOT_COLUMNS)


def _answers_by(look: Look, take: Callable[[np.ndarray], np.ndarray], repeat: int, **own: float) -> list[pd.DataFrame]:
    """The rows of one draw: in every turn a probe of the patients that `take` takes of the training patients."""
    patients, parts = look.data.patients, []
    for turn in turns(look.data):
        chosen = take(np.unique(patients[turn.train]))
        rows = turn.train[np.isin(patients[turn.train], chosen)]
        scores = ask_inner(look, rows, turn.predict, turn.fold)
        made = {**own, "labelled": len(chosen), "repeat": repeat}
        parts.append(prediction_rows(look, turn.predict, scores, turn.fold, **made))
    return parts


def left_out_labels(
    data: TaskData, shares: Sequence[float], shots: Sequence[int], repeats: int, seed: int
) -> dict[str, str]:
    """What label efficiency and few-shot cannot ask of a task -> why."""
    found = {f"{share:.0%} of patients": why_not_share(data, share, repeats, seed) for share in shares}
    found |= {f"{count} patients a class": why_not_shots(data, count) for count in shots}
    return {what: why for what, why in found.items() if why}
