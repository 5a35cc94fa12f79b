"""Figures over the records of a whole study: encoders side by side, their differences, and model against readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ultrafm.reporting.figures import interval_plot
from ultrafm.reporting.tables import AVERAGES, ORDER, record_frame

MEASURES = {
    "auroc": ("AUROC", "AUROC (0.5 is chance, 1 is perfect)", 0.5),
    "auprc": ("AUPRC", "area under the precision-recall curve", None),
    "dice": ("Dice", "Dice (1 is perfect overlap)", None),
}


def section_figures(records: Sequence[Mapping[str, Any]], section: str, metric: str, differences: bool) -> list[Figure]:
    """One figure for each model ("linear probe") and kind of images: every task, and the average over tasks last.

    Values have one mark for each encoder; differences (federated minus another encoder) have a line at zero. A section
    without such records gives no figure. `metric` is "auroc", "auprc" or "dice".
    """
    frame = record_frame(records, section, metric, differences)
    # Single answers of a task stand on the page of their step; here a task is one row.
    frame = frame[~frame["level"].fillna("").astype(str).str.startswith("answer ")]
    name, unit, chance = MEASURES[metric]
    made = []
    for (images, model), rows in frame.groupby(["images", "model"], sort=True):
        title = f"{section.capitalize()}, {model}: {name}{' differences' if differences else ''} ({images} images)"
        rows = rows.iloc[rows["encoder"].map(_place).argsort(kind="stable")]
        rows = rows.sort_values("task", key=lambda tasks: tasks == "average over tasks", kind="stable")
        unit_shown = f"difference in {name}, above 0 favours federated" if differences else unit
        reference = 0.0 if differences else chance
        columns = ("estimate", "ci_low", "ci_high", "task", "encoder")
        made.append(interval_plot(rows, *columns, title, unit_shown, reference))
    return made


def reader_figure(records: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """AUROC of the model minus that of the readers, for all readers and each level; [] without a reader study."""
    found = [row for row in records if row["section"] == "reader_study" and row["metric"] == "auroc"]
    found = [row for row in found if row["task"] in AVERAGES and row["comparator"] == "readers"]
    rows = [{**row, "level": "all readers" if row["level"] == "all" else row["level"]} for row in found]
    rows = [row for row in rows if row["level"] in ("all readers", *ORDER)]
    if not rows:
        return []
    rows.sort(key=lambda row: _place(row["level"]))
    title = f"Model minus readers: AUROC ({rows[0]['images']} images, {rows[0]['readers']} readers)"
    unit = "difference in AUROC, above 0 favours the model"
    return [interval_plot(pd.DataFrame(rows), "estimate", "ci_low", "ci_high", "level", None, title, unit, 0.0)]


def _place(name: str) -> int:
    """Where an encoder, a difference or a level stands in a figure; the last word of a difference decides."""
    last = name.rsplit(" − ", 1)[-1]
    return ORDER.index(last) if last in ORDER else -1
