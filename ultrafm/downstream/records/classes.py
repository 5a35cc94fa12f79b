"""Records of one class out of several, and of grades: what was chosen, right or how far off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import draw_patients, of_classes, predicted_classes
from ultrafm.downstream.records.comparisons import comparisons
from ultrafm.downstream.records.rows import Measure, measured
from ultrafm.downstream.tasks import patient_names

SEVERITY = "severity"
MEASURES = {
    "top_1": "top_1", "class_balanced_accuracy": "balanced_accuracy", "quadratic_kappa": "quadratic_kappa",
}  # fmt: skip


def class_records(
    predictions: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 2000,
    section: str = "diagnosis",
) -> list[dict[str, Any]]:
    """Records of tasks with several answers of which one is true of each image, and of tasks of kind "severity".

    Classes: "top_1" and "class_balanced_accuracy" (mean of the classes' shares that are right). Severity: these of the
    grade, and "quadratic_kappa". Several classes that may be true together have none of these.
    described: as in `diagnosis_records`; "kind" says which tasks are of severity, "exclusive" which have one class an
    image.
    """
    table = chosen_classes(predictions, described)
    if table.empty:
        return []
    draws = draw_patients(patient_names(table), replicates, generator, table["truth"].astype(int))
    graded = [name for name in described if described[name].get("kind") == SEVERITY]
    rows = []
    for name, measure_name in MEASURES.items():
        asked = table if name != "quadratic_kappa" else table[table["task"].isin(graded)]
        measure: Measure = lambda one, of=measure_name: of_classes(of, one.cases, draws)  # noqa: E731
        rows += [
            found for one in comparisons(asked, "chosen", described) for found in measured(section, one, name, measure)
        ]
    return rows


def chosen_classes(predictions: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row an image, method and encoder with the number of the class that was `chosen`, and of the true one.

    Only of tasks that have one class an image; classes are numbered in the order of their first rows.
    """
    if predictions.empty or "answer" not in predictions:
        return pd.DataFrame()
    parts = []
    for (task, _, _), rows in predictions.groupby(["task", "method", "encoder"], sort=False):
        graded = described[task].get("kind") == SEVERITY
        if not (graded or described[task].get("exclusive")):
            continue
        answers = list(dict.fromkeys(rows["answer"]))
        scores, truth = (
            rows.pivot(index="image_id", columns="answer", values=name)[answers].to_numpy(dtype=float)
            for name in ("score", "truth")
        )
        first = rows.drop_duplicates("image_id").sort_values("image_id").drop(columns="answer")
        number = truth.sum(axis=1) if graded else truth.argmax(axis=1)
        parts.append(first.assign(chosen=predicted_classes(scores, graded).astype(float), truth=number.astype(int)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
