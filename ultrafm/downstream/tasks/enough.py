"""Whether there are patients enough for a task: how its folds make a design, and why it is skipped if so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks.data import CROSS_VALIDATION, FIXED_FOLDS, NO_DESIGN, patient_names
from ultrafm.downstream.tasks.turns import group_numbers
from ultrafm.manifests.schema import Task
from ultrafm.manifests.tasks import FEWEST_IN_FOLDS, FEWEST_IN_TURNS

Needed = Mapping[str, np.ndarray]  # "positive patients" -> (N,) which images are theirs


def design_of(
    table: pd.DataFrame, task: Task, truth: np.ndarray, left_out: Mapping[str, int]
) -> tuple[str, str | None]:
    """The design, and why the task is skipped or None."""
    folds = set(table["fold"])
    if not folds & {"validation", "test", "evaluation"}:
        why = ", ".join(f"{count} images: {reason}" for reason, count in left_out.items())
        return NO_DESIGN, "no image to evaluate" + (f" ({why})" if why else "")
    if "evaluation" in folds and folds & {"validation", "test"}:
        return NO_DESIGN, "its sites mix fixed folds and cross-validation; give them the same split rule"
    needed = needed_patients(task, truth)
    if "evaluation" in folds:
        return CROSS_VALIDATION, _why_no_groups(table, needed)
    return FIXED_FOLDS, _why_no_folds(table, needed)


def needed_patients(task: Task, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Who must be in every fold, in words -> (N,) which images are theirs; `truth` as in TaskData."""
    if task.kind == "measurement":
        return {"patients": np.ones(len(truth), dtype=bool)}
    if task.kind == "segmentation":
        inside = {name: (truth == number).any(axis=(1, 2)) for number, name in enumerate(task.outlined, start=1)}
        several = len(inside) > 1
        return {f"patients with {name}" if several else "patients": found for name, found in inside.items()}
    if task.is_binary:
        return {"positive patients": truth == 1, "negative patients": truth == 0}
    if task.several:
        sides = {"with": 1, "without": 0}
        return {
            f"patients {word} {name!r}": truth[:, number] == side
            for number, name in enumerate(task.classes)
            for word, side in sides.items()
        }
    return {f"patients of class {name!r}": truth == number for number, name in enumerate(task.classes)}


def _why_no_folds(table: pd.DataFrame, needed: Needed) -> str | None:
    for fold, least in FEWEST_IN_FOLDS.items():
        inside = (table["fold"] == fold).to_numpy()
        reason = _too_few(table, inside, needed, least, f"fold {fold!r}")
        if reason:
            return reason
    return None


def _why_no_groups(table: pd.DataFrame, needed: Needed) -> str | None:
    evaluation = (table["fold"] == "evaluation").to_numpy()
    group = np.where(evaluation, table["group"].to_numpy(), -1)
    if len(group_numbers(group)) < 2:
        return "all patients of the evaluation fold fall into one group; cross-validation needs at least 2"
    reason = _too_few(table, evaluation, needed, FEWEST_IN_TURNS, "the evaluation fold")
    for one in group_numbers(group):
        part = f"the training part of group {one}"
        reason = reason or _too_few(table, group != one, needed, FEWEST_IN_TURNS, part)
    return reason


def _too_few(table: pd.DataFrame, inside: np.ndarray, needed: Needed, least: int, where: str) -> str | None:
    for words, theirs in needed.items():
        patients = len(set(patient_names(table[inside & theirs])))
        if patients < least:
            return f"{where} holds {patients} {words}; at least {least} needed"
    return None
