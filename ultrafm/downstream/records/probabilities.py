"""Records of decisions and probabilities: what was fixed on validation images, applied to test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import (
    Estimates,
    Resampling,
    brier,
    calibration_error,
    choose_threshold,
    decision,
    fit_recalibration,
    interval,
    net_benefit,
)
from ultrafm.downstream.metrics.calibration import BINNINGS
from ultrafm.downstream.metrics.decisions import DECISIONS
from ultrafm.downstream.records.comparisons import Comparison, comparisons
from ultrafm.downstream.records.diagnosis import draw_inside_classes
from ultrafm.downstream.records.rows import Measure, estimate, measured, row

KEYS = ("task", "method", "encoder", "answer", "turn")
FORMS = {"": "score", "_temperature": "tempered", "_recalibrated": "recalibrated"}
ACTING = (0.1, 0.2, 0.3, 0.5)  # probabilities at which one would act


def fixed_on_validation(
    predictions: pd.DataFrame, validation: pd.DataFrame, sensitivity: float | None = None
) -> pd.DataFrame:
    """`predictions` with what validation images fixed, for each task, method, encoder, answer and turn.

    validation: the columns of predictions, for images that the same models were not fitted on. Added columns: called
    (0/1, at the threshold by Youden, or that reaches `sensitivity`), tempered (probability after temperature scaling),
    recalibrated (after temperature and intercept), unbounded (True where validation images are separable, so that the
    latter two have no finite fit and stand at its bound), unmeasurable (why the rest of the row means nothing, or
    None).
    """
    keys = [name for name in KEYS if name in predictions and (name in validation or validation.empty)]
    groups = dict(list(validation.groupby(keys))) if len(validation) else {}
    parts = [_fixed(found, groups.get(key), sensitivity) for key, found in predictions.groupby(keys, sort=False)]
    if not parts:
        return predictions.assign(**dict.fromkeys(("called", "tempered", "recalibrated", "unbounded", "unmeasurable")))
    return pd.concat(parts).loc[predictions.index]


def probability_records(
    predictions: pd.DataFrame,
    validation: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 2000,
    section: str = "diagnosis",
    sensitivity: float | None = None,
) -> list[dict[str, Any]]:
    """Records of decisions at a threshold fixed on validation, of calibration, and of net benefit.

    "sensitivity", "specificity", "balanced_accuracy" and "f1" at the threshold by Youden; with a stated `sensitivity`
    of 0.9 these at that one, and nothing else ("f1_at_0.9" and so on). "brier", "ece" (equal mass) and "ece_width"
    (equal width) of scores as they are, with "_temperature" after temperature scaling and with "_recalibrated" after
    temperature and intercept; for single tasks "net_benefit" of recalibrated probabilities (level "acting at 0.1"),
    also less that of treating all (comparator "treat_all").
    Otherwise as `diagnosis_records`, with patients drawn inside their site and class.
    """
    if predictions.empty:
        return []
    table = fixed_on_validation(predictions, validation, sensitivity)
    draws = draw_inside_classes(table, replicates, generator)
    rows = _decisions(section, table, described, draws, sensitivity)
    if sensitivity is not None:
        return rows
    for ending, column in FORMS.items():
        compared = list(comparisons(table, column, described))
        for name, measure in _calibration(draws).items():
            noted = _noted(measure, table) if ending else measure
            rows += [found for one in compared for found in measured(section, one, name + ending, noted)]
    single = [one for one in compared if len(one.cases) == 1 and one.weights is None]
    return rows + [found for one in single for at in ACTING for found in _net_benefit(section, one, at, draws)]


def _fixed(found: pd.DataFrame, held: pd.DataFrame | None, sensitivity: float | None) -> pd.DataFrame:
    """The rows of one model with what its validation images fix."""
    truth = np.zeros(0, dtype=int) if held is None else held["truth"].to_numpy(dtype=int)
    if len(set(truth.tolist())) < 2:
        why = "no validation image" if not truth.size else "validation images of one class only"
        scores = found["score"]
        return found.assign(called=0.0, tempered=scores, recalibrated=scores, unbounded=False, unmeasurable=why)
    seen, scores = held["score"].to_numpy(dtype=float), found["score"].to_numpy(dtype=float)
    fits = [fit_recalibration(seen, truth, intercept) for intercept in (False, True)]
    return found.assign(
        called=(scores >= choose_threshold(seen, truth, sensitivity).value).astype(float),
        tempered=fits[0](scores),
        recalibrated=fits[1](scores),
        unbounded=any(fit.at_bound for fit in fits),
        unmeasurable=None,
    )


def _decisions(
    section: str,
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    draws: Resampling,
    sensitivity: float | None,
) -> list[dict[str, Any]]:
    ending = "" if sensitivity is None else f"_at_{sensitivity:g}"
    rule = ", threshold of validation images"

    def measure_of(name: str) -> Measure:
        def measure(one: Comparison) -> Estimates:
            found = decision(name, one.cases, draws, one.weights)
            return replace(found, method=found.method + rule)

        return measure

    compared: Sequence[Comparison] = list(comparisons(table, "called", described))
    return [
        found
        for one in compared
        for name in DECISIONS
        for found in measured(section, one, name + ending, measure_of(name))
    ]


def _calibration(draws: Resampling) -> dict[str, Measure]:
    equal_mass, equal_width = BINNINGS
    return {
        "brier": lambda one: brier(one.cases, draws, one.weights),
        "ece": lambda one: calibration_error(one.cases, draws, equal_mass, weights=one.weights),
        "ece_width": lambda one: calibration_error(one.cases, draws, equal_width, weights=one.weights),
    }


def _noted(measure: Measure, table: pd.DataFrame) -> Measure:
    """The measure, whose method says where a recalibration had no finite fit."""
    rows = table[table["unbounded"].astype(bool)]
    unbounded = set(zip(rows["task"], rows["method"]))

    def asked(one: Comparison) -> Estimates:
        found = measure(one)
        if (one.task, one.method) not in unbounded or found.reason:
            return found
        return replace(found, method=f"{found.method}; validation images separable, recalibration at its bound")

    return asked


def _net_benefit(section: str, one: Comparison, acting: float, draws: Resampling) -> list[dict[str, Any]]:
    """Net benefit of each encoder and its difference from treating all, for a task with one answer."""
    found = estimate(one, lambda each: net_benefit(each.cases[0], acting, draws))
    level = f"{f'{one.level}, ' if one.level else ''}acting at {acting:g}"
    units = np.eye(len(one.encoders) + 1)[:, : len(found.values)]
    rows = []
    for encoder, unit in zip(one.encoders, units):
        for other, contrast in ((None, unit), ("treat_all", unit - units[-1])):
            rows.append(row(section, one, "net_benefit", encoder, other, interval(found, contrast), level=level))
    return rows
