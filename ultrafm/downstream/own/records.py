"""Records of own weights: each encoder's measures with intervals, and the own one minus each other, paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.methods.aggregation import aggregate
from ultrafm.downstream.metrics import (
    Cases,
    Estimates,
    Resampling,
    auprc,
    auroc,
    call,
    decision,
    draw_patients,
    mean_value,
)
from ultrafm.downstream.records.comparisons import Comparison, comparisons
from ultrafm.downstream.records.rows import Measure, measured
from ultrafm.downstream.review.mistakes import turn_thresholds
from ultrafm.downstream.tasks import TaskData, patient_names

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
    unit = data.task.measured_in if data.kind == "measurement" else None
    return [
        row
        for metric, one, measure in _measures(data, predictions, validation, draws)
        for row in measured(SECTION, one, metric, measure, unit=unit, main=own)
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


def _measures(
    data: TaskData, predictions: pd.DataFrame, validation: pd.DataFrame, draws: Resampling
) -> Iterator[tuple[str, Comparison, Measure]]:
    """Each metric of each method, what is compared, and how it is measured."""
    if data.kind == "segmentation":
        for metric in ("dice", "iou"):
            for one in _whole(data, predictions, metric):
                yield metric, one, lambda one: mean_value(one.cases, draws, one.weights)
    elif data.kind == "measurement":
        errors = predictions.assign(error=(predictions["score"] - predictions["truth"]).abs())
        for one in _whole(data, errors, "error"):
            yield "mean_absolute_error", one, lambda one: mean_value(one.cases, draws, one.weights)
    else:
        yield from _of_classes(data, predictions, validation, draws)


def _of_classes(
    data: TaskData, predictions: pd.DataFrame, validation: pd.DataFrame, draws: Resampling
) -> Iterator[tuple[str, Comparison, Measure]]:
    predictions, validation = (aggregate(table, data.task.unit) for table in (predictions, validation))
    predictions = predictions.assign(threshold=turn_thresholds(predictions, validation))
    for one, fixed in zip(_whole(data, predictions, "score"), _whole(data, predictions, "threshold"), strict=True):
        yield "auroc", one, lambda one: auroc(one.cases, one.weights)
        yield "auprc", one, lambda one: auprc(one.cases, draws, one.weights)
        if not data.exclusive:
            called = [call(case, at.scores) for case, at in zip(one.cases, fixed.cases, strict=True)]
            for name in ("sensitivity", "specificity"):
                yield name, one, partial(_decided, name, called, draws)


def _decided(name: str, called: Sequence[Cases], draws: Resampling, one: Comparison) -> Estimates:
    return decision(name, called, draws, one.weights)


def _whole(data: TaskData, table: pd.DataFrame, value: str) -> list[Comparison]:
    """The task by each method, all answers together."""
    described = {data.task.name: {"images": "simulated" if data.simulated else "real", "averaged": False}}
    return [one for one in comparisons(table, value, described) if one.level is None]
