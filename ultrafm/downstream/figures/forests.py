"""Forests: a task by task look at a mean over tasks, and a value subgroup by subgroup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ultrafm.downstream.figures.words import kind_of, nothing, words
from ultrafm.downstream.records.over_tasks import MEAN, PREDICTION, RANDOM_EFFECTS, TASK
from ultrafm.reporting.figures import INK, PALETTE, QUIET, interval_plot, new_figure
from ultrafm.reporting.records import interval_text


def draw_forest(table: pd.DataFrame, method: str, encoder: str, unit: str) -> Figure:
    """Every task with its interval, the two means over tasks as diamonds, and where a further task is expected.

    table: `records.pooled_table`; unit: "AUROC" or "Dice". A square's area is the task's weight in the random-effects
    mean; a hollow square has none (a value of 0 or 1, or no interval).
    """
    rows = table[(table["method"] == method) & (table["encoder"] == encoder)]
    title = f"{unit} by task: {words(encoder)}, {words(method)}"
    if rows.empty:
        return nothing(title)
    rows = rows[rows["images"] == rows["images"].iloc[0]].reset_index(drop=True)
    figure = new_figure(8, 1.3 + 0.36 * len(rows), "")
    axes = figure.add_subplot()
    for place, row in enumerate(rows.itertuples()):
        _forest_line(axes, place + (0 if row.kind == TASK else 0.4), row)
    axes.set_yticks([place + (0 if kind == TASK else 0.4) for place, kind in enumerate(rows["kind"])])
    axes.set_yticklabels([words(name) for name in rows["task"]])
    mean = rows.loc[rows["kind"] == MEAN, "estimate"].iloc[0]
    axes.axvline(mean, color=QUIET, linestyle="--", linewidth=1, zorder=0)
    axes.set(
        xlabel=f"{unit}, 95 % intervals over patients\nshares: weight in the random-effects mean",
        ylim=(len(rows) + 0.2, -0.7),
    )
    axes.set_title(f"{title}{kind_of(rows['images'])}")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    lines = [f"{row.task} {_said(row, 3)}" for row in rows.itertuples()]
    figure.alt = f"{title}: {'; '.join(lines)}."
    return figure


def draw_subgroups(records: Sequence[Mapping[str, Any]], task: str, method: str, metric: str, by: str) -> Figure:
    """The subgroups of one task with their intervals, and what the test of heterogeneity says.

    records: of `records.subgroup_records`; method: "linear_probe/federated"; by: "device", as the subgroups are named.
    """
    found = [row for row in records if row["task"] == task and row["method"] == method and row["comparator"] is None]
    rows = [row for row in found if row["metric"] == metric and str(row["level"]).startswith(f"{by}: ")]
    title = f"{words(task)} by {words(by)}\n{words(method)}"
    if not rows:
        return nothing(title)
    table = pd.DataFrame(rows)
    table["name"] = [
        f"{row['level'].removeprefix(f'{by}: ')} ({row['n']} images, {row['n_patients']} patients)" for row in rows
    ]
    differ = {row["metric"]: row for row in found if row["level"] == by}
    unit = f"{metric.upper()}, 95 % intervals over patients\n{_heterogeneity_words(differ, metric)}"
    return interval_plot(
        table.astype({"estimate": float, "ci_low": float, "ci_high": float}),
        "estimate", "ci_low", "ci_high", "name", None, f"{title}{kind_of(table['images'])}", unit,
    )  # fmt: skip


def draw_all_subgroups(records: Sequence[Mapping[str, Any]], method: str, metric: str) -> list[Figure]:
    """A figure for each task and grouping that the records hold (see `draw_subgroups`)."""
    found = [row for row in records if row["method"] == method and row["metric"] == metric and ": " in row["level"]]
    pairs = dict.fromkeys((row["task"], row["level"].partition(": ")[0]) for row in found)
    return [draw_subgroups(records, task, method, metric, by) for task, by in pairs]


def _forest_line(axes: Axes, place: float, row: Any) -> None:
    low, high, estimate = (float(np.nan if end is None else end) for end in (row.ci_low, row.ci_high, row.estimate))
    if row.kind in (MEAN, RANDOM_EFFECTS) and not np.isnan([low, high]).any():
        corners = [(low, place), (estimate, place - 0.22), (high, place), (estimate, place + 0.22)]
        axes.add_patch(Polygon(corners, color=PALETTE[0] if row.kind == MEAN else PALETTE[1]))
    elif not np.isnan([low, high]).any():
        colour = PALETTE[1] if row.kind == PREDICTION else PALETTE[0]
        axes.plot([low, high], [place, place], color=colour, linewidth=4 if row.kind == PREDICTION else 1.8)
    if row.kind == TASK and not np.isnan(estimate):
        weighs = not np.isnan(row.weight)
        size = 25 + 220 * (row.weight if weighs else 0)
        axes.scatter(estimate, place, s=size, marker="s", color=PALETTE[0] if weighs else "white", edgecolor=PALETTE[0])
    share = f"  {row.weight:.0%}" if row.kind == TASK and not np.isnan(row.weight) else ""
    text, beside = _said(row, 2) + share, axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=beside, va="center", fontsize="small", color=INK)


def _said(row: Any, digits: int) -> str:
    """The numbers of a line; of a further task only where it is expected."""
    text = interval_text(row.estimate, row.ci_low, row.ci_high, digits)
    return text if row.kind != PREDICTION else text.partition(" ")[2] or "not defined"


def _heterogeneity_words(differ: Mapping[str, Mapping[str, Any]], metric: str) -> str:
    test = differ.get(f"{metric}_q_p")
    if test is None or test["estimate"] is None:
        return f"heterogeneity {test['ci_method'] if test else 'not tested'}"
    share = differ[f"{metric}_i2"]
    text = interval_text(share["estimate"], share["ci_low"], share["ci_high"], 2)
    return f"heterogeneity: Cochran's Q {differ[f'{metric}_q']['estimate']:.2f}, p {test['estimate']:.3f}; I² {text}"
