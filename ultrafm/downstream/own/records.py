"""Records of own weights: each encoder's measures with intervals, and the own one minus each other, paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.methods.aggregation import aggregate
from ultrafm.downstream.metrics import (
    Cases,
    Estimates,
    Interval,
    Resampling,
    auprc,
    auroc,
    call,
    decision,
    draw_patients,
    interval,
    mean_value,
)
from ultrafm.downstream.review.mistakes import turn_thresholds
from ultrafm.downstream.tasks import CLASSIFYING, TaskData, patient_names
from ultrafm.reporting.records import FEWEST_PATIENTS, record

SECTION = "own_weights"


def own_records(
    data: TaskData, predictions: pd.DataFrame, validation: pd.DataFrame, own: str, generator: np.random.Generator,
    replicates: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Records of one task from the tables of `evaluate`: classes, outlines or measurements, whichever it asks for.

    Classes, of the task's unit (image, clip or patient): AUROC and AUPRC, averaged over answers; sensitivity and
    specificity at thresholds fixed on `validation`, unless answers exclude each other. Outlines: Dice and IoU.
    Measurements: mean absolute error.
    """
    if predictions.empty:
        return []
    draws = draw_patients(patient_names(predictions), replicates, generator)
    if data.kind in CLASSIFYING:
        predictions, validation = (aggregate(table, data.task.unit) for table in (predictions, validation))
        predictions = predictions.assign(threshold=turn_thresholds(predictions, validation))
    return [
        row
        for method, rows in predictions.groupby("method", sort=False)
        for metric, encoders, estimates in _measured(data, rows, draws)
        for row in _rows(data, method, metric, encoders, estimates, own, rows)
    ]


def own_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The records as a table for reading: task, method, metric, encoder (or "own - other"), estimate with interval."""
    rows = []
    for found in records:
        method, encoder = found["method"].split("/")
        other = f" − {found['comparator'].split('/')[1]}" if found["comparator"] else ""
        rows.append(
            {"task": found["task"], "method": method, "metric": found["metric"], "encoder": encoder + other}
            | {name: found[name] for name in ("estimate", "ci_low", "ci_high", "n", "n_patients", "fold", "images")}
        )
    return pd.DataFrame(rows)


def _measured(
    data: TaskData, rows: pd.DataFrame, draws: Resampling
) -> Iterator[tuple[str, tuple[str, ...], Estimates]]:
    """Metric, encoders and their estimates, of one method."""
    encoders = tuple(dict.fromkeys(rows["encoder"]))
    answers = [rows[rows["answer"] == name] for name in dict.fromkeys(rows["answer"])]
    if data.kind == "segmentation":
        for metric in ("dice", "iou"):
            yield metric, encoders, mean_value([_cases(one, metric, encoders) for one in answers], draws)
        return
    if data.kind == "measurement":
        errors = [one.assign(error=(one["score"] - one["truth"]).abs()) for one in answers]
        yield "mean_absolute_error", encoders, mean_value([_cases(one, "error", encoders) for one in errors], draws)
        return
    cases = [_cases(one, "score", encoders) for one in answers]
    yield "auroc", encoders, auroc(cases)
    yield "auprc", encoders, auprc(cases, draws)
    if not data.exclusive:
        called = [
            call(case, _cases(one, "threshold", encoders).scores) for case, one in zip(cases, answers, strict=True)
        ]
        for name in ("sensitivity", "specificity"):
            yield name, encoders, decision(name, called, draws)


def _cases(rows: pd.DataFrame, value: str, encoders: Sequence[str]) -> Cases:
    """The images of one answer in the order of their names, with one value of each encoder."""
    wide = rows.pivot(index="image_id", columns="encoder", values=value).reindex(columns=list(encoders))
    first = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
    truth = first["truth"].to_numpy(dtype=float) if "truth" in first else np.ones(len(first))
    return Cases(wide.to_numpy(dtype=float).T, truth, patient_names(first).astype(str), str(first["answer"].iloc[0]))


def _rows(
    data: TaskData, method: str, metric: str, encoders: tuple[str, ...], estimates: Estimates, own: str,
    table: pd.DataFrame,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    units = np.eye(len(encoders))
    contrasts = [(name, None, unit) for name, unit in zip(encoders, units)]
    if own in encoders:
        mine = units[encoders.index(own)]
        contrasts += [(own, name, mine - unit) for name, unit in zip(encoders, units) if name != own]
    patients, images = len(set(patient_names(table))), table["image_id"].nunique()
    for name, other, contrast in contrasts:
        found = interval(estimates, contrast)
        if patients < FEWEST_PATIENTS:
            found = Interval(found.estimate, None, None, f"not defined: too few patients ({patients})")
        yield record(
            section=SECTION, task=data.task.name, method=f"{method}/{name}",
            comparator=f"{method}/{other}" if other else None, metric=metric, fold=table["fold"].iloc[0],
            estimate=found.estimate, ci_low=found.low, ci_high=found.high, ci_method=found.method, n=images,
            n_patients=patients, images="simulated" if data.simulated else "real",
            unit=data.task.measured_in if data.kind == "measurement" else None,
        )  # fmt: skip
