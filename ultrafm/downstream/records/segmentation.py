"""Records of masks: Dice, and where they were measured IoU, HD95 and normalised surface distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import draw_patients, mean_value
from ultrafm.downstream.metrics.overlap import TOLERANCES
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, Comparison, comparisons
from ultrafm.downstream.records.rows import measured
from ultrafm.downstream.tasks import patient_names

OF_AREAS, OF_OUTLINES = ("dice", "iou"), ("hd95", "nsd")


def segmentation_records(
    scores: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 1000,
) -> list[dict[str, Any]]:
    """Records of mean Dice, and of "iou", "hd95" and "nsd" where `scores` has these columns; as `diagnosis_records`.

    hd95 and nsd need the column unit ("mm" or "pixels"). Distances in millimetres and in pixels are not averaged with
    each other; where that would be needed, the row says so. With a column answer (the structure), a task is the mean
    over its structures. Empty masks: see `metrics.overlap`.
    """
    if scores.empty:
        return []
    draws = draw_patients(patient_names(scores), replicates, generator)
    rows = []
    for name in (name for name in (*OF_AREAS, *OF_OUTLINES) if name in scores):
        for one in comparisons(scores, name, described):
            unit, reason = _unit(one, name, scores, described)
            asked = replace(one, reason=one.reason or reason)
            measure = lambda each: mean_value(each.cases, draws, each.weights)  # noqa: E731
            rows += measured("segmentation", asked, name, measure, unit=unit)
    return rows


def _unit(
    one: Comparison, name: str, scores: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]
) -> tuple[str | None, str | None]:
    """The unit of a measure of outlines, or why there is none."""
    if name in OF_AREAS:
        return None, None
    tasks = [task for task in described if described[task]["images"] == one.reality]
    found = sorted(set(scores.loc[scores["task"].isin(tasks if one.task == MACRO_AVERAGE else [one.task]), "unit"]))
    if len(found) > 1:
        return None, f"images in {' and in '.join(found)}"
    return (found[0] if name == "hd95" else f"share within {TOLERANCES[found[0]]:g} {found[0]}"), None
