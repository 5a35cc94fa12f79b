"""Rows of results.json from the estimates of one comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ultrafm.downstream.metrics import Estimates, Interval, interval
from ultrafm.downstream.records.comparisons import MAIN, Comparison, contrasts
from ultrafm.reporting.records import FEWEST_PATIENTS, record

Measure = Callable[[Comparison], Estimates]


def measured(
    section: str,
    one: Comparison,
    metric: str,
    measure: Measure,
    reference: str | None = None,
    unit: str | None = None,
    main: str = MAIN,
) -> Iterator[dict[str, Any]]:
    """A row for each encoder and each difference (see `contrasts`), by one measure; a reason where not defined."""
    estimates = estimate(one, measure)
    for encoder, other, contrast in contrasts(one, reference, main):
        yield row(section, one, metric, encoder, other, interval(estimates, contrast), unit)


def estimate(one: Comparison, measure: Measure) -> Estimates:
    """What the measure says of a comparison, or the comparison's own reason that nothing can be measured."""
    if one.reason:
        return Estimates(np.full(len(one.encoders), np.nan), "none", reason=one.reason)
    return measure(one)


def row(
    section: str,
    one: Comparison,
    metric: str,
    encoder: str,
    other: str | None,
    found: Interval,
    unit: str | None = None,
    level: str | None = None,
) -> dict[str, Any]:
    """One record; with fewer than FEWEST_PATIENTS patients it has no interval. `level` in place of the comparison's."""
    patients = one.patients
    if patients < FEWEST_PATIENTS:
        found = Interval(found.estimate, None, None, f"not defined: too few patients ({patients})")
    return record(
        section=section, task=one.task, metric=metric, fold=one.fold, level=level or one.level, images=one.reality,
        method=f"{one.method}/{encoder}", comparator=f"{one.method}/{other}" if other else None,
        estimate=found.estimate, ci_low=found.low, ci_high=found.high, ci_method=found.method,
        n=one.images, n_patients=patients, unit=unit,
    )  # fmt: skip
