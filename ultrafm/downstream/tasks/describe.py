"""Tasks in words and counts, for reports."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ultrafm.downstream.tasks.answers import answer_names
from ultrafm.downstream.tasks.data import FOLDS, TaskData
from ultrafm.manifests.question import CLASSIFYING
from ultrafm.manifests.schema import Task


def describe_tasks(tasks: Mapping[str, TaskData]) -> dict[str, dict[str, object]]:
    """What tasks.json says of each task: what it asks, whether its images are real, its design, why it is skipped."""
    return {
        name: {
            "disease": data.task.disease or " and ".join(data.answers),
            "kind": data.kind,
            "answers": list(data.answers),
            "unit": data.task.unit,
            "metric": data.task.headline,
            "averaged": is_averaged(data.task),
            "images": "simulated" if data.simulated else "real",
            "design": data.design,
            "skipped": data.skipped,
        }
        for name, data in tasks.items()
    }


def is_averaged(task: Task) -> bool:
    """Does a task count in the average over tasks: one answer about each image?

    Tasks of several answers, and tasks about clips and patients, ask the same patients again.
    """
    return len(answer_names(task)) == 1 and task.unit == "image"


def count_tasks(tasks: Mapping[str, TaskData]) -> pd.DataFrame:
    """A table for reading: sites, images and patients per fold (and images per class), images left out."""
    return pd.DataFrame([_counts(name, data) for name, data in tasks.items()]).fillna("")


def _counts(name: str, data: TaskData) -> dict[str, object]:
    table = data.table.assign(patient=data.patients)
    row: dict[str, object] = {"task": name, "images": "simulated" if data.simulated else "real"}
    row |= {"sites": table["site"].nunique(), "design": data.design}
    for fold in FOLDS:
        inside = (table["fold"] == fold).to_numpy()
        row[fold] = f"{inside.sum()} / {table.loc[inside, 'patient'].nunique()}" if inside.any() else "–"
    if data.kind in CLASSIFYING:
        row["classes"] = _class_counts(data)
    row["left out"] = sum(data.left_out.values())
    return row | {"skipped": data.skipped or ""}


def _class_counts(data: TaskData) -> str:
    """Images of each class: "normal 12, benign 40"."""
    if data.task.is_binary:
        return f"positive {int(data.truth.sum())}, negative {int((data.truth == 0).sum())}"
    if data.task.several:
        counts = data.truth.sum(axis=0)
    else:
        counts = [(data.truth == number).sum() for number in range(len(data.task.classes))]
    return ", ".join(f"{name} {int(count)}" for name, count in zip(data.task.classes, counts))
