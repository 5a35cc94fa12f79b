"""Records of measurements: bias, limits of agreement, mean absolute error and intraclass correlation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import Interval, draw_patients, limits_of_agreement, measurement
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, Comparison, comparisons
from ultrafm.downstream.records.rows import Measure, measured, row
from ultrafm.downstream.tasks import patient_names
from ultrafm.errors import UltraFMError


def measurement_records(
    predictions: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    units: Mapping[str, str],
    generator: np.random.Generator,
    replicates: int = 2000,
) -> list[dict[str, Any]]:
    """Records of each measurement from predictions whose score is the measured and truth the true number.

    units: task -> unit ("mm", "pixels", "degrees"). "bias" (measured minus true), "limit_lower" and "limit_upper" (95 %
    limits of agreement) with intervals that heed patients measured repeatedly; "mean_absolute_error" and
    "intraclass_correlation" also as differences, as in `diagnosis_records`. Tasks are not averaged: units differ.
    """
    if predictions.empty:
        return []
    draws = draw_patients(patient_names(predictions), replicates, generator)
    rows = []
    for one in comparisons(predictions, "score", described):
        if one.task == MACRO_AVERAGE or len(one.cases) > 1:
            continue
        rows += _limits(one, units[one.task])
        for name, unit in (("mean_absolute_error", units[one.task]), ("intraclass_correlation", None)):
            measure: Measure = lambda each, of=name: measurement(of, each.cases, draws)  # noqa: E731
            rows += measured("measurement", one, name, measure, unit=unit)
    return rows


def _limits(one: Comparison, unit: str) -> Iterator[dict[str, Any]]:
    """Bias and limits of agreement of each encoder."""
    cases = one.cases[0]
    for encoder, values in zip(one.encoders, cases.scores):
        try:
            found = limits_of_agreement(values, cases.truth, cases.patients)
        except UltraFMError as error:
            rows = {name: Interval(None, None, None, f"not defined: {error.found}") for name in ("bias",)}
        else:
            how = f"Bland and Altman, {found.clusters} patients"
            rows = {
                "bias": Interval(found.bias, found.bias_low, found.bias_high, how),
                "limit_lower": Interval(found.lower, found.lower_low, found.lower_high, how),
                "limit_upper": Interval(found.upper, found.upper_low, found.upper_high, how),
            }
        for name, interval in rows.items():
            yield row("measurement", one, name, encoder, None, interval, unit)
