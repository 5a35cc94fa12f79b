"""Records of how well scores rank: AUROC, AUPRC, and p-values of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import Interval, Resampling, auprc, auroc, auroc_bootstrap, draw_patients, holm, p_value
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, Comparison, comparisons, contrasts
from ultrafm.downstream.records.rows import Measure, estimate, measured, row
from ultrafm.downstream.tasks import patient_names
from ultrafm.reporting.records import FEWEST_PATIENTS


def diagnosis_records(
    predictions: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 1000,
    section: str = "diagnosis",
    reference: str | None = None,
) -> list[dict[str, Any]]:
    """Records of AUROC and AUPRC from the predictions of `evaluate_diagnosis`.

    For each task and method: one record an encoder (method "linear_probe/federated"), one for each difference federated
    minus another encoder (comparator), and the same for the average over tasks (task "macro_average"). A task with
    several answers is the mean over them, with each answer beside it (level "answer NAME"). With a `reference`, the
    differences are every other encoder minus that one instead.
    described: what `describe_tasks` says. generator: draws the patients of the bootstrap.
    """
    if predictions.empty:
        return []
    draws = draw_patients(patient_names(predictions), replicates, generator)
    measures: dict[str, Measure] = {
        "auroc": lambda one: auroc(one.cases, one.weights),
        "auprc": lambda one: auprc(one.cases, draws, one.weights),
    }
    return [
        found
        for one in comparisons(predictions, "score", described)
        for name, measure in measures.items()
        for found in measured(section, one, name, measure, reference)
    ]


def p_value_records(
    predictions: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 2000,
    section: str = "diagnosis",
) -> list[dict[str, Any]]:
    """AUROC by patient bootstrap ("auroc_bootstrap") and p-values of its differences.

    "auroc_p": of each difference, from the clustered DeLong covariance; "auroc_bootstrap_p": from the bootstrap. For
    single tasks also "auroc_p_holm", adjusted by Holm over the tasks that are compared by one method with one encoder.
    Patients are drawn inside their site and class.
    """
    if predictions.empty:
        return []
    draws = draw_inside_classes(predictions, replicates, generator)
    compared = list(comparisons(predictions, "score", described))
    by_bootstrap: Measure = lambda one: auroc_bootstrap(one.cases, draws, one.weights)  # noqa: E731
    by_delong: Measure = lambda one: auroc(one.cases, one.weights)  # noqa: E731
    rows = [found for one in compared for found in measured(section, one, "auroc_bootstrap", by_bootstrap)]
    rows += [found for one in compared for _, found in _p_values(section, one, "auroc_bootstrap_p", by_bootstrap)]
    plain = [(one, *found) for one in compared for found in _p_values(section, one, "auroc_p", by_delong)]
    rows += [found for _, _, found in plain]
    return rows + _adjusted(section, [found for found in plain if _is_single_task(found[0])])


def draw_inside_classes(predictions: pd.DataFrame, replicates: int, generator: np.random.Generator) -> Resampling:
    """Draws of patients inside their site and their class: the answers that are true of their images, in all tasks."""
    first = predictions.drop_duplicates([name for name in ("task", "answer", "image_id") if name in predictions])
    answer = first["answer"].astype(str) if "answer" in first else ""
    said = first["task"].astype(str) + " " + answer + "=" + first["truth"].astype(str)
    images = said.groupby(first["image_id"]).agg(lambda lines: "; ".join(sorted(lines)))
    patients = first.drop_duplicates("image_id").set_index("image_id").loc[images.index]
    return draw_patients(patient_names(patients), replicates, generator, images.to_numpy())


def _p_values(section: str, one: Comparison, metric: str, measure: Measure) -> list[tuple[tuple[str, str], dict]]:
    """((encoder, comparator), record) of each difference's p-value; none of fewer patients than an interval needs."""
    estimates, rows = estimate(one, measure), []
    for encoder, other, contrast in contrasts(one):
        if other is not None:
            value = p_value(estimates, contrast) if one.patients >= FEWEST_PATIENTS else None
            why = f"not defined: {estimates.reason or 'no spread between patients'}" if value is None else None
            found = Interval(value, None, None, why or f"two-sided, {estimates.method}")
            rows.append(((encoder, other), row(section, one, metric, encoder, other, found)))
    return rows


def _adjusted(section: str, plain: Sequence[tuple[Comparison, tuple[str, str], dict]]) -> list[dict[str, Any]]:
    """Holm over the tasks of each method and pair of encoders; real and simulated images are families of their own."""
    rows = []
    for family in dict.fromkeys((one.method, one.reality, pair) for one, pair, _ in plain):
        members = [found for found in plain if (found[0].method, found[0].reality, found[1]) == family]
        for (one, pair, _), value in zip(members, holm([found["estimate"] for _, _, found in members])):
            tests = sum(found["estimate"] is not None for _, _, found in members)
            found = Interval(value, None, None, f"Holm over {tests} tasks" if value is not None else "not defined")
            rows.append(row(section, one, "auroc_p_holm", *pair, found))
    return rows


def _is_single_task(one: Comparison) -> bool:
    return one.task != MACRO_AVERAGE and one.level is None
