"""From the predictions of the diagnosis step to the cases of a reader study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.errors import NothingToDo, UltraFMError, nearest

PREDICTIONS = ("task", "method", "encoder", "image_id", "patient", "truth", "score")


@dataclass(frozen=True)
class StudyCases:
    """Cases that readers are shown: `cases` has one row per case and disease, with the AI's score.

    images: "real" or "simulated" for each disease; dropped: a sentence for each task that was left out.
    """

    cases: pd.DataFrame
    images: dict[str, str]
    dropped: tuple[str, ...]

    def overall_images(self) -> str:
        """ "real" only if the images of every disease are."""
        return "real" if set(self.images.values()) == {"real"} else "simulated"

    def table(self) -> pd.DataFrame:
        """How many cases, diseased and healthy, and patients each disease has."""
        groups = self.cases.groupby("disease")
        table = groups.agg(
            cases=("case", "nunique"),
            diseased=("truth", "sum"),
            patients=("patient", "nunique"),
            sites=("site", "nunique"),
        )
        return table.assign(images=[self.images[disease] for disease in table.index]).reset_index()


def read_predictions(folder: Path) -> pd.DataFrame:
    """The predictions of the diagnosis step in `folder`. Raises NothingToDo when it had nothing to predict."""
    path = folder / "predictions.parquet"
    if not path.exists():
        raise NothingToDo("without a diagnosis task that can be evaluated there are no cases to read")
    return pd.read_parquet(path)


def study_cases(
    predictions: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]], encoder: str, method: str
) -> StudyCases:
    """The out-of-sample predictions of one encoder and method as cases, one disease per task.

    predictions: the columns of the diagnosis step (task, method, encoder, image_id, site, patient, truth, score,
    difficulty); tasks: what `describe_tasks` says of each. Two tasks of one disease are two diseases here, since their
    scores come from two classifiers. A task needs two patients of each class, one answer and images as its unit, else
    it is dropped with its reason. Raises UltraFMError for a missing column, an encoder or method without predictions, a
    task that `tasks` does not know, and NothingToDo when nothing is left.
    """
    rows = _chosen(predictions, encoder, method)
    unknown = sorted(set(rows["task"]) - set(tasks))
    if unknown:
        raise UltraFMError(
            "predictions of the diagnosis step", f"the task {unknown[0]!r}", f"one of {', '.join(tasks)}"
        )
    names = _disease_names(tasks)
    kept, dropped = [], []
    for task, group in rows.groupby("task", sort=True):
        reason = _not_to_rate(tasks[str(task)]) or _too_few(group)
        if reason:
            dropped.append(f"{names[str(task)]} is left out: {reason}")
        else:
            kept.append(group.assign(disease=names[str(task)]))
    if not kept:
        raise NothingToDo(f"no task has cases enough for a reader study ({'; '.join(dropped)})")
    cases = pd.concat(kept, ignore_index=True).rename(columns={"image_id": "case"})
    cases = cases.reindex(columns=["case", "truth", "disease", "patient", "site", "difficulty", "score"])
    images = {names[task]: about["images"] for task, about in tasks.items() if names[task] in set(cases["disease"])}
    return StudyCases(cases, images, tuple(dropped))


def _chosen(predictions: pd.DataFrame, encoder: str, method: str) -> pd.DataFrame:
    """Rows of one encoder and method, with the optional columns site and difficulty."""
    missing = [name for name in PREDICTIONS if name not in predictions]
    if missing:
        raise UltraFMError("predictions of the diagnosis step", f"no column {missing[0]!r}", ", ".join(PREDICTIONS))
    for column, wanted in (("encoder", encoder), ("method", method)):
        known = sorted(set(predictions[column].astype(str)))
        if wanted not in known:
            found = repr(wanted) + nearest(wanted, known)
            raise UltraFMError(f"parameter {column}", found, f"one of {', '.join(known)}", "see the diagnosis step")
    rows = predictions[(predictions["encoder"] == encoder) & (predictions["method"] == method)].copy()
    if rows.empty:
        raise UltraFMError("predictions of the diagnosis step", f"none for {encoder} with {method}", "at least one")
    rows["site"] = rows.get("site", "")
    rows["truth"] = rows["truth"].astype(int)
    return rows


def _disease_names(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A different name for each task: its disease, and the task too where a disease has several that can be rated."""
    rated = {task: about["disease"] for task, about in tasks.items() if _not_to_rate(about) is None}
    times = Counter(rated.values())
    return {
        task: about["disease"] if task in rated and times[about["disease"]] == 1 else f"{about['disease']} ({task})"
        for task, about in tasks.items()
    }


def _not_to_rate(about: Mapping[str, Any]) -> str | None:
    """Why readers, who give each image one rating, are not asked a task; None when they can be."""
    answers, unit = about.get("answers", ()), about.get("unit", "image")
    if len(answers) > 1:
        return f"it has {len(answers)} answers, and readers give one rating"
    return None if unit == "image" else f"it is about a whole {unit}, and readers rate images"


def _too_few(rows: pd.DataFrame) -> str | None:
    """Why a task cannot be analysed, or None."""
    patients = {truth: rows.loc[rows["truth"] == truth, "patient"].nunique() for truth in (0, 1)}
    if min(patients.values()) >= 2:
        return None
    return f"{patients[1]} diseased and {patients[0]} healthy patients out of sample, and each class needs two"
