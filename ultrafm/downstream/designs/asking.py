"""What all designs share: a task seen through one encoder, the probe that is asked, and the rows that come out.

Wherever a design picks training images of its own, the probe's penalty is chosen inside those very images, by inner
groups of their patients; validation images are then not read at all. A large validation fold beside a few labelled
patients would be labels that a design with few labels does not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.choosing import choose_penalty
from ultrafm.downstream.evaluate import LINEAR_PROBE
from ultrafm.downstream.methods.probe import fit_probe, probe_turn
from ultrafm.downstream.tasks import TaskData, Turn

INNER_GROUPS = 4  # of the training patients, at most, to choose the penalty on
FEWEST = 2  # patients with and without each answer, without which nothing is trained
COLUMNS = (
    "task",
    "method",
    "encoder",
    "answer",
    "image_id",
    "clip",
    "site",
    "patient",
    "fold",
    "truth",
    "score",
    "difficulty",
)


@dataclass(frozen=True)
class Look:
    """A task as one encoder sees it: `features` (N, F), one row an image, computed once for all designs."""

    data: TaskData
    encoder: str
    features: np.ndarray

    @property
    def answers(self) -> np.ndarray:
        """(N, A) 0 or 1: is each answer true of each image?"""
        return self.data.answer_truth


def patterns(answers: np.ndarray) -> np.ndarray:
    """(N,) a number for each different row of answers (N, A): the class, or the set of findings, of each image."""
    return np.unique(answers, axis=0, return_inverse=True)[1].reshape(-1)


def patient_classes(answers: np.ndarray, patients: np.ndarray) -> pd.Series:
    """The class of each patient (index: sorted names), the number of `patterns` that most of its images have.

    Of equally many, the one that is rarer over all images.
    """
    found = patterns(answers)
    rarity = np.argsort(np.argsort(np.bincount(found), kind="stable"), kind="stable")
    counted = pd.DataFrame({"patient": patients, "class": found}).value_counts().rename("images").reset_index()
    counted = counted.assign(rarity=rarity[counted["class"]])
    best = counted.sort_values(["images", "rarity"], ascending=[False, True]).drop_duplicates("patient")
    return best.set_index("patient")["class"].sort_index()


def why_not_trainable(answers: np.ndarray, patients: np.ndarray, least: int = FEWEST) -> str | None:
    """None when each answer is true for `least` patients and false for as many; else what is missing."""
    for column in answers.T:
        for value, words in ((1, "with"), (0, "without")):
            found = len(set(patients[column == value]))
            if found < least:
                return f"{found} patient{'s' * (found != 1)} {words} the finding, at least {least} needed"
    return None


def inner_turn(answers: np.ndarray, patients: np.ndarray, train: np.ndarray, predict: np.ndarray, fold: str) -> Turn:
    """Train on the images `train`, whose patients are dealt into inner groups on which the penalty is chosen.

    The groups are as alike in classes as can be, at most INNER_GROUPS and no more than the rarest answer has patients.
    With a single such patient nothing can be held out, and the probe takes its default penalty.
    """
    classes = patient_classes(answers[train], patients[train]).sort_values(kind="stable")
    counts = [len(set(patients[train][column == value])) for column in answers[train].T for value in (0, 1)]
    groups = min(INNER_GROUPS, *counts)
    if groups < 2:
        return Turn(train, (), predict, fold)
    group = pd.Series(np.arange(len(classes)) % groups, index=classes.index)[patients[train]].to_numpy()
    pairs = tuple((train[group != one], train[group == one]) for one in range(groups))
    return Turn(train, pairs, predict, fold)


def ask(look: Look, turn: Turn, asked: np.ndarray | None = None) -> np.ndarray:
    """(P, A) scores 0 to 1 of the images of `turn.predict` by the study's linear probe of `turn`.

    asked: (P, F) features of these images where they are not those of `look` (perturbed pictures).
    """
    asked = look.features[turn.predict] if asked is None else asked
    return probe_turn(look.features, look.answers, turn, **look.data.relation).score(asked)


def ask_inner(look: Look, train: np.ndarray, predict: np.ndarray, fold: str) -> np.ndarray:
    """(P, A) scores of the images `predict` by a probe of the images `train`, its penalty chosen inside `train`."""
    turn = inner_turn(look.answers, look.data.patients, train, predict, fold)
    penalty = choose_penalty(look.features, look.answers, turn)
    probe = fit_probe(look.features[train], look.answers[train], penalty, **look.data.relation)
    return probe.score(look.features[predict])


def prediction_rows(
    look: Look, rows: np.ndarray, scores: np.ndarray, fold: str, method: str = LINEAR_PROBE, **own: object
) -> pd.DataFrame:
    """The table of predictions (COLUMNS, then the design's `own`), one row for each of the images `rows` and answers.

    scores: (P, A).
    """
    truth = look.answers
    images = look.data.table.iloc[rows]
    about = {"task": look.data.task.name, "method": method, "encoder": look.encoder, "fold": fold}
    parts = [
        images.assign(**about, answer=name, truth=truth[rows, number], score=scores[:, number], **own)
        for number, name in enumerate(look.data.answers)
    ]
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, *own]]


def joined(parts: list[pd.DataFrame], own: tuple[str, ...]) -> pd.DataFrame:
    """The parts of a design as one table; an empty one with the right columns where nothing could be asked."""
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*COLUMNS, *own)})
    return pd.concat(parts, ignore_index=True)
