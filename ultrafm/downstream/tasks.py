"""Tasks: the labelled or outlined images of a question, and how they are dealt into training, choosing and testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.errors import NothingToDo, UltraFMError
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.schema import Task
from ultrafm.manifests.tasks import FEWEST_IN_FOLDS, FEWEST_IN_TURNS

FOLDS = ("train", "validation", "test", "evaluation")
FIXED_FOLDS, CROSS_VALIDATION, NO_DESIGN = "fixed folds", "cross-validation", "none"
COLUMNS = ("image_id", "site", "patient", "fold", "group", "difficulty", "simulated")


@dataclass(frozen=True)
class TaskData:
    """The images of one task.

    images: (N, S, S) uint8; sectors: (N, S, S) bool, True inside the scan sector.
    truth: diagnosis (N,) 0 or 1; segmentation (N, S, S) 0 or 1.
    table: N rows with the columns of COLUMNS.
    left_out: why an image of the task's sites is not here -> how many.
    skipped: why the task cannot be evaluated, or None.
    """

    task: Task
    design: str
    images: np.ndarray
    sectors: np.ndarray
    truth: np.ndarray
    table: pd.DataFrame
    left_out: dict[str, int]
    skipped: str | None

    @property
    def patients(self) -> np.ndarray:
        """(N,) "site/patient" of each image: the unit that is never split and over which intervals are made."""
        return patient_names(self.table)

    @property
    def simulated(self) -> bool:
        """True when any image is simulated."""
        return bool(self.table["simulated"].any())


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


def patient_names(table: pd.DataFrame) -> np.ndarray:
    """(N,) "site/patient" of each row, so that two sites never share a patient by accident."""
    return (table["site"].astype(str) + "/" + table["patient"].astype(str)).to_numpy(dtype=object)


def select_tasks(curated: Path, tasks: Mapping[str, TaskAtSites], kind: str) -> dict[str, TaskData]:
    """The data of every task of one kind ("diagnosis" or "segmentation"), in the order of their names."""
    return {name: select_task(curated, tasks[name]) for name in sorted(tasks) if tasks[name].task.kind == kind}


def require_tasks(asked: Mapping[str, TaskData], kind: str) -> None:
    """Raise NothingToDo, with the reasons, when none of the tasks can be evaluated."""
    if all(data.skipped for data in asked.values()):
        reasons = "; ".join(f"{name}: {data.skipped}" for name, data in asked.items()) or "no site has such a task"
        raise NothingToDo(f"no {kind} task can be evaluated ({reasons})")


def select_task(curated: Path, asked: TaskAtSites) -> TaskData:
    """The images of one task from the curated stores in `curated`; see TaskData.

    Left out and counted: images of another organ, of sites that only pre-train, and images without an answer (a label
    that is neither positive nor negative; no mask, or a mask in which the structure does not occur). A task that cannot
    be evaluated comes back with the reason in `skipped`.
    """
    from ultrafm.curation import load_masks, load_pictures

    task = asked.task
    pictures = load_pictures(curated, asked.sites, FOLDS)
    table = pictures.table.reset_index(drop=True)
    if task.kind == "diagnosis":
        truth, answered = label_truth(table["label"], task)
        without_answer = "label neither positive nor negative"
    else:
        masks, has_mask = load_masks(curated, asked.sites, FOLDS, task.structure)
        truth, answered = masks.astype(np.uint8), has_mask & masks.any(axis=(1, 2))
        without_answer = f"{task.structure} not outlined or not in the image"
    reasons = {
        "another organ": (table["organ"] != task.organ).to_numpy(),
        "site only pre-trains": _only_trains(table),
        without_answer: ~np.asarray(answered),
    }
    keep, left_out = _leave_out(reasons, len(table))
    kept = table.loc[keep, list(COLUMNS)].reset_index(drop=True)
    design, skipped = _design(kept, task, truth[keep], left_out)
    return TaskData(task, design, pictures.images[keep], pictures.sectors[keep], truth[keep], kept, left_out, skipped)


def label_truth(labels: Sequence[str | None], task: Task) -> tuple[np.ndarray, np.ndarray]:
    """(N,) 1 for a positive label, else 0; and (N,) False where the label is neither positive nor negative."""
    positive = np.array([label in task.positive for label in labels], dtype=bool)
    negative = np.array([label in task.negative for label in labels], dtype=bool)
    return positive.astype(np.int64), positive | negative


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
    return [_turn_of_group(group, one) for one in _groups(group)]


def describe_tasks(tasks: Mapping[str, TaskData]) -> dict[str, dict[str, str | None]]:
    """What tasks.json says of each task: what it asks, whether its images are real, its design, why it is skipped."""
    return {
        name: {
            "disease": data.task.disease or data.task.structure,
            "images": "simulated" if data.simulated else "real",
            "design": data.design,
            "skipped": data.skipped,
        }
        for name, data in tasks.items()
    }


def count_tasks(tasks: Mapping[str, TaskData]) -> pd.DataFrame:
    """A table for reading: sites, images and patients per fold (and class, for diagnosis), images left out."""
    return pd.DataFrame([_counts(name, data) for name, data in tasks.items()])


def _counts(name: str, data: TaskData) -> dict[str, object]:
    table = data.table.assign(patient=data.patients)
    row: dict[str, object] = {"task": name, "images": describe_tasks({name: data})[name]["images"]}
    row |= {"sites": table["site"].nunique(), "design": data.design}
    for fold in FOLDS:
        inside = (table["fold"] == fold).to_numpy()
        row[fold] = f"{inside.sum()} / {table.loc[inside, 'patient'].nunique()}" if inside.any() else "–"
    if data.task.kind == "diagnosis":
        row["positive : negative"] = f"{int(data.truth.sum())} : {int((data.truth == 0).sum())}"
    row["left out"] = sum(data.left_out.values())
    return row | {"skipped": data.skipped or ""}


def _only_trains(table: pd.DataFrame) -> np.ndarray:
    evaluates = table["fold"].ne("train").groupby(table["site"]).any()
    return ~table["site"].map(evaluates).to_numpy(dtype=bool)


def _leave_out(reasons: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, dict[str, int]]:
    """(N,) True for rows that stay; each row that goes is counted under its first reason."""
    keep, left_out = np.ones(count, dtype=bool), {}
    for reason, goes in reasons.items():
        if (goes & keep).any():
            left_out[reason] = int((goes & keep).sum())
        keep &= ~goes
    return keep, left_out


def _design(table: pd.DataFrame, task: Task, truth: np.ndarray, left_out: Mapping[str, int]) -> tuple[str, str | None]:
    folds = set(table["fold"])
    if not folds & {"validation", "test", "evaluation"}:
        why = ", ".join(f"{count} images: {reason}" for reason, count in left_out.items())
        return NO_DESIGN, "no image to evaluate" + (f" ({why})" if why else "")
    if "evaluation" in folds and folds & {"validation", "test"}:
        return NO_DESIGN, "its sites mix fixed folds and cross-validation; give them the same split rule"
    answers = truth if truth.ndim == 1 else np.ones(len(table), dtype=int)
    names = {1: "positive ", 0: "negative "} if task.kind == "diagnosis" else {1: ""}
    if "evaluation" in folds:
        return CROSS_VALIDATION, _why_no_groups(table, answers, names)
    return FIXED_FOLDS, _why_no_folds(table, answers, names)


def _why_no_folds(table: pd.DataFrame, answers: np.ndarray, names: Mapping[int, str]) -> str | None:
    for fold, least in FEWEST_IN_FOLDS.items():
        inside = (table["fold"] == fold).to_numpy()
        reason = _too_few(table[inside], answers[inside], names, least, f"fold {fold!r}")
        if reason:
            return reason
    return None


def _why_no_groups(table: pd.DataFrame, answers: np.ndarray, names: Mapping[int, str]) -> str | None:
    evaluation = (table["fold"] == "evaluation").to_numpy()
    group = np.where(evaluation, table["group"].to_numpy(), -1)
    if len(_groups(group)) < 2:
        return "all patients of the evaluation fold fall into one group; cross-validation needs at least 2"
    reason = _too_few(table[evaluation], answers[evaluation], names, FEWEST_IN_TURNS, "the evaluation fold")
    for one in _groups(group):
        others = group != one
        part = f"the training part of group {one}"
        reason = reason or _too_few(table[others], answers[others], names, FEWEST_IN_TURNS, part)
    return reason


def _too_few(table: pd.DataFrame, answers: np.ndarray, names: Mapping[int, str], least: int, where: str) -> str | None:
    for answer, name in names.items():
        patients = len(set(patient_names(table[answers == answer])))
        if patients < least:
            return f"{where} holds {patients} {name}patients; at least {least} needed"
    return None


def _groups(group: np.ndarray) -> list[int]:
    return sorted(int(one) for one in set(group[group >= 0]))


def _turn_of_group(group: np.ndarray, one: int) -> Turn:
    """The turn that predicts group `one`; the next group comes first among the pairs that choices are made on."""
    groups = _groups(group)
    start = groups.index(one)
    others = groups[start + 1 :] + groups[:start]
    train = np.flatnonzero(group != one)
    pairs = [(np.flatnonzero((group != one) & (group != held)), np.flatnonzero(group == held)) for held in others]
    return Turn(train, tuple(pair for pair in pairs if len(pair[0])), np.flatnonzero(group == one), "cross-validation")
