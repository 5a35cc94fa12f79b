"""What holds over tasks: the mean that is reported, and a critical look at it, task by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import (
    Estimates,
    Interval,
    auroc,
    draw_patients,
    interval,
    mean_value,
    pool,
    standard_errors,
)
from ultrafm.downstream.metrics.heterogeneity import Pooled
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, Comparison, comparisons
from ultrafm.downstream.records.rows import Measure, estimate, row
from ultrafm.downstream.tasks import patient_names

TASK, MEAN, RANDOM_EFFECTS, PREDICTION = "task", "mean over tasks", "random effects", "a further task"
COLUMNS = ["method", "encoder", "images", "kind", "task", "estimate", "ci_low", "ci_high", "weight", "ci_method"]


def pooled_table(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 2000,
    metric: str = "auroc",
) -> pd.DataFrame:
    """What a forest plot over tasks needs: a row a task, then the means over tasks, and where a further task may lie.

    table: predictions (metric "auroc") or scores of masks (metric "dice"). Columns COLUMNS; weight is the share of a
    task in the random-effects mean, NaN where it is left out of that (a value of 0 or 1, or without an error).
    """
    rows = []
    for one, tasks in _families(table, "score" if metric == "auroc" else metric, described):
        found = _measured(one, tasks, _measure(table, metric, generator, replicates))
        for place, encoder in enumerate(one.encoders):
            rows += _forest_rows(one, tasks, found, place, encoder)
    return pd.DataFrame(rows, columns=COLUMNS)


def pooled_records(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 2000,
    metric: str = "auroc",
    section: str = "diagnosis",
) -> list[dict[str, Any]]:
    """Records over tasks (task "macro_average") beside the plain mean, which `diagnosis_records` has.

    "auroc_random_effects"; "auroc_prediction", whose interval is where a further task is expected; "auroc_i2", the
    share of the spread of tasks that is not chance; "auroc_q_p", Cochran's test. With metric "dice" likewise.
    """
    rows = []
    for one, tasks in _families(table, "score" if metric == "auroc" else metric, described):
        found = _measured(one, tasks, _measure(table, metric, generator, replicates))
        for place, encoder in enumerate(one.encoders):
            pooled, reason = _pooled(found[1:], place)
            for name, value in _pooled_values(pooled, reason).items():
                rows.append(row(section, one, f"{metric}_{name}", encoder, None, value))
    return rows


def _families(
    table: pd.DataFrame, value: str, described: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Comparison, list[Comparison]]]:
    """(average, its tasks) for each method and kind of images."""
    found = list(comparisons(table, value, described)) if len(table) else []
    for average in (one for one in found if one.task == MACRO_AVERAGE):
        single = [one for one in found if one.task != MACRO_AVERAGE and one.level is None]
        yield average, [one for one in single if (one.method, one.reality) == (average.method, average.reality)]


def _measure(table: pd.DataFrame, metric: str, generator: np.random.Generator, replicates: int) -> Measure:
    if metric == "auroc":
        return lambda one: auroc(one.cases, one.weights)
    draws = draw_patients(patient_names(table), replicates, generator)
    return lambda one: mean_value(one.cases, draws, one.weights)


def _measured(one: Comparison, tasks: list[Comparison], measure: Measure) -> list[Estimates]:
    """Estimates of the average, then of each task."""
    return [estimate(each, measure) for each in (one, *tasks)]


def _pooled(found: Sequence[Estimates], place: int) -> tuple[Pooled | None, str]:
    """The random-effects mean of one encoder over the tasks that have an error, or why there is none."""
    usable = [(one.values[place], standard_errors(one)[place]) for one in found if _is_usable(one, place)]
    if len(usable) < 2:
        return None, f"{len(usable)} tasks with an error, two needed"
    return pool(*np.array(usable).T), ""


def _is_usable(one: Estimates, place: int) -> bool:
    return bool(0 < one.values[place] < 1 and standard_errors(one)[place] > 1e-9)


def _pooled_values(pooled: Pooled | None, reason: str) -> dict[str, Interval]:
    names = ("random_effects", "prediction", "i2", "q_p")
    if pooled is None:
        return {name: Interval(None, None, None, f"not defined: {reason}") for name in names}
    spread, ends = pooled.heterogeneity, (pooled.prediction_low, pooled.prediction_high)
    beyond = Interval(pooled.mean, *ends, "prediction interval of a further task, t")
    if np.isnan(ends[0]):
        beyond = Interval(pooled.mean, None, None, "not defined: two tasks, three needed")
    return {
        "random_effects": Interval(pooled.mean, pooled.low, pooled.high, "Paule-Mandel, Hartung-Knapp, logit"),
        "prediction": beyond,
        "i2": Interval(spread.i2, spread.i2_low, spread.i2_high, f"{spread.groups} tasks, logit scale, test-based"),
        "q_p": Interval(spread.p_value, None, None, f"{spread.groups} tasks, logit scale"),
    }


def _forest_rows(
    one: Comparison, tasks: list[Comparison], found: Sequence[Estimates], place: int, encoder: str
) -> list[dict]:
    unit = np.eye(len(one.encoders))[place]
    pooled, reason = _pooled(found[1:], place)
    shares = iter(pooled.weights) if pooled else iter(())
    values = _pooled_values(pooled, reason)
    lines = [(TASK, each.task, interval(each_found, unit)) for each, each_found in zip(tasks, found[1:])]
    weights = [next(shares) if pooled and _is_usable(each, place) else np.nan for each in found[1:]]
    lines += [(MEAN, MEAN, interval(found[0], unit)), (RANDOM_EFFECTS, RANDOM_EFFECTS, values["random_effects"])]
    lines += [(PREDICTION, PREDICTION, values["prediction"])]
    weights += [np.nan] * 3
    about = {"method": one.method, "encoder": encoder, "images": one.reality}
    return [
        about
        | {"kind": kind, "task": name, "estimate": value.estimate, "ci_low": value.low, "ci_high": value.high}
        | {"weight": weight, "ci_method": value.method}
        for (kind, name, value), weight in zip(lines, weights)
    ]
