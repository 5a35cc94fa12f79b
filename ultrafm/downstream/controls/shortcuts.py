"""The shortcut control: how well the answers are told from what is not tissue, beside how well a model tells them.

It is fitted and asked by the task's own turns, so no patient is on both sides and its AUROC is paired with the
model's. A control that ranks as well as the model shows that the task can be solved without looking at tissue; it does
not show that the model does so, nor does a control at chance prove that there is no shortcut of another kind. In a
cross-validation of few patients the folds are tied to one another: a control that knows nothing strays farther from 0.5
than its interval over patients says, to either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from ultrafm.downstream.controls.without_tissue import features_without_tissue
from ultrafm.downstream.designs.choosing import choose_penalty
from ultrafm.downstream.methods.jobs import joined
from ultrafm.downstream.methods.probe import fit_probe
from ultrafm.downstream.metrics import Cases, auroc, interval
from ultrafm.downstream.tasks import TaskData, Turn, patient_names, turns
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import FEWEST_PATIENTS, record

SHORTCUT = "shortcut"
CHANCE = 0.5
COLUMNS = ("task", "method", "encoder", "answer", "image_id", "site", "patient", "fold", "truth", "score")
TABLE_COLUMNS = (
    *("task", "group", "control", "control_low", "control_high", "model", "model_low", "model_high"),
    *("margin", "margin_low", "margin_high", "images", "patients", "warning"),
)


def shortcut_predictions(data: TaskData, features: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Out-of-sample scores of every group of features (COLUMNS, with method "shortcut" and the group as encoder).

    features: as `features_without_tissue` gives. One row an image, answer and group.
    """
    answers, parts = data.answer_truth, []
    for group, seen in features.items():
        for turn in turns(data):
            kept = data.table.iloc[turn.predict][["image_id", "site", "patient"]].reset_index(drop=True)
            for number, answer in enumerate(data.answers):
                truth = answers[:, number]
                rows = kept.assign(task=data.task.name, method=SHORTCUT, encoder=group, answer=answer, fold=turn.fold)
                parts.append(rows.assign(truth=truth[turn.predict], score=control_scores(seen, truth, turn)))
    return pd.concat(parts, ignore_index=True)[[*COLUMNS]]


def check_shortcuts(
    curated: Path, tasks: Mapping[str, TaskData], predictions: pd.DataFrame, encoder: str = "federated"
) -> pd.DataFrame:
    """The whole control: `control_table` of several tasks, from their stores and the study's predictions."""
    found = [shortcut_predictions(data, features_without_tissue(curated, data)) for data in tasks.values()]
    return control_table(predictions, joined(found, COLUMNS), encoder=encoder)


def control_scores(features: np.ndarray, truth: np.ndarray, turn: Turn) -> np.ndarray:
    """(P,) scores 0..1 of `turn.predict`: the mean of a linear probe, for few patients, and of gradient boosting.

    Where the training images have one answer, nothing can be learnt and all score the same.
    """
    if len(set(truth[turn.train])) < 2:
        return np.full(len(turn.predict), CHANCE)
    penalty = choose_penalty(features, truth[:, None], turn)
    linear = fit_probe(features[turn.train], truth[turn.train], penalty).score(features[turn.predict])
    leaf = max(2, min(20, len(turn.train) // 20))
    model = HistGradientBoostingClassifier(
        max_depth=3, learning_rate=0.05, max_iter=150, min_samples_leaf=leaf, random_state=0, early_stopping=False
    )
    model.fit(features[turn.train], truth[turn.train])
    return (linear + model.predict_proba(features[turn.predict])[:, 1]) / 2


def control_table(
    predictions: pd.DataFrame, controls: pd.DataFrame, method: str = "linear_probe", encoder: str = "federated"
) -> pd.DataFrame:
    """Every group's AUROC beside that of a model, a row a task and group; a task's answers are averaged.

    Columns task, group, control, control_low, control_high, model, model_low, model_high, margin (model - control,
    paired over the same images), margin_low, margin_high, images, patients, warning. Intervals are 95 %, clustered by
    patient; None for fewer than FEWEST_PATIENTS patients. predictions: of the study (PREDICTION_COLUMNS); controls: of
    `shortcut_predictions`.

    Raises UltraFMError when the model did not answer for the images that the controls did.
    """
    wanted = predictions[(predictions["method"] == method) & (predictions["encoder"] == encoder)]
    rows = []
    for task, own in controls.groupby("task", sort=True):
        model = wanted[wanted["task"] == task]
        cases = [_paired(model[model["answer"] == answer], part) for answer, part in own.groupby("answer", sort=False)]
        rows += _task_rows(str(task), list(dict.fromkeys(own["encoder"])), cases)
    return pd.DataFrame(rows, columns=[*TABLE_COLUMNS])


def _paired(model: pd.DataFrame, control: pd.DataFrame) -> Cases:
    """Scores of the model, then of every group, over the same images of one answer."""
    groups = list(dict.fromkeys(control["encoder"]))
    wide = control.pivot(index="image_id", columns="encoder", values="score")[groups]
    if sorted(model["image_id"]) != sorted(wide.index):
        found = f"{len(model)} images of the model, {len(wide)} of the control"
        raise UltraFMError(f"controls of task {control['task'].iloc[0]}", found, "the same images, each once")
    first = model.set_index("image_id").loc[wide.index].reset_index()
    scores = np.vstack([first["score"].to_numpy(dtype=float)[None], wide.to_numpy(dtype=float).T])
    return Cases(scores, first["truth"].to_numpy(dtype=int), patient_names(first).astype(str))


def _task_rows(task: str, groups: Sequence[str], cases: Sequence[Cases]) -> list[dict[str, Any]]:
    estimates, units = auroc(cases), np.eye(len(groups) + 1)
    patients = set().union(*(one.patients.tolist() for one in cases))
    rows = []
    for number, group in enumerate(groups, start=1):
        row: dict[str, Any] = {"task": task, "group": group}
        contrasts = {"control": units[number], "model": units[0], "margin": units[0] - units[number]}
        for name, contrast in contrasts.items():
            found = interval(estimates, contrast)
            low, high = (found.low, found.high) if len(patients) >= FEWEST_PATIENTS else (None, None)
            row |= {name: found.estimate, f"{name}_low": low, f"{name}_high": high}
        row |= {"images": len(cases[0].truth), "patients": len(patients)}
        rows.append(row | {"warning": warning(row)})
    return rows


def warning(row: Mapping[str, Any]) -> str:
    """What a reader has to know of a control, or "": it tells clearly more than chance, or the model not clearly more.

    Clearly: the 95 % interval leaves 0.5, or no difference, out. That the model is not clearly ahead counts only where
    the model is clearly above chance itself, since there is nothing to explain otherwise.
    """
    if any(row[name] is None for name in ("control_low", "model_low", "margin_low")):
        return f"The control by {row['group']} has no interval, so it shows nothing."
    said = []
    if row["control_low"] > CHANCE:
        said.append(f"{row['group']} alone ranks clearly better than chance")
    if row["model_low"] > CHANCE and row["margin_low"] <= 0:
        said.append(f"the model is not clearly better than {row['group']} alone")
    return f"Warning: {'; '.join(said)}." if said else ""


def control_records(table: pd.DataFrame, data: Mapping[str, TaskData], encoder: str) -> list[dict[str, Any]]:
    """The controls' AUROCs and the model's margins over them, as records."""
    rows = []
    for one in table.to_dict("records"):
        asked = data[one["task"]]
        common = {
            "section": "controls", "task": one["task"], "metric": "auroc", "n": one["images"],
            "n_patients": one["patients"], "images": "simulated" if asked.simulated else "real",
            "fold": turns(asked)[0].fold,
        }  # fmt: skip
        name = f"{SHORTCUT}/{one['group']}"
        rows.append(record(**common, method=name, **_limits(one, "control")))
        rows.append(record(**common, method=f"linear_probe/{encoder}", comparator=name, **_limits(one, "margin")))
    return rows


def _limits(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An estimate of a row of `control_table` with its interval; a control that never varies has none of its own."""
    way = None if pd.isna(row[f"{name}_low"]) else "clustered DeLong over patients"
    return {"estimate": row[name], "ci_low": row[f"{name}_low"], "ci_high": row[f"{name}_high"], "ci_method": way}
