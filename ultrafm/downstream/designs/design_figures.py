"""Figures of the designs: curves with intervals, a matrix of sites, and what perturbations look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ultrafm.downstream.designs.perturbations import PERTURBATIONS, perturb, scanned
from ultrafm.downstream.designs.settings import ALONE, POOLED
from ultrafm.downstream.records import MACRO_AVERAGE
from ultrafm.downstream.tasks import TaskData
from ultrafm.geometry.frames import ScanFrames
from ultrafm.reporting.figures import (
    LINES,
    MARKERS,
    PALETTE,
    QUIET,
    colour_places,
    interval_plot,
    new_figure,
    picture_grid,
)
from ultrafm.reporting.records import interval_text

SPREAD = 0.03  # of the axis, between the intervals of neighbouring encoders


def curve_figure(summary: pd.DataFrame, condition: str, title: str, unit: str, ticks: str = "{:g}") -> Figure:
    """AUROC of every encoder over the values of `condition`, evenly spaced: a panel a task and one for their average.

    summary: of `condition_table`. `unit` labels the horizontal axis, `ticks` formats its values.
    """
    values = summary[summary["against"].isna()]
    if values.empty:
        return nothing(title)
    tasks = [*sorted(set(values["task"]) - {MACRO_AVERAGE}), MACRO_AVERAGE]
    tasks = [task for task in tasks if (values["task"] == task).any()]
    levels = sorted(values[condition].unique())
    figure = new_figure(2.9 * len(tasks) + 0.6, 3.6, f"{title}: AUROC over {unit}, for {', '.join(tasks)}")
    grid = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(grid, tasks):
        _draw_curves(axes, values[values["task"] == task], condition, levels)
        axes.set_xticks(range(len(levels)), [ticks.format(level) for level in levels], fontsize="small")
        axes.set_title("average" if task == MACRO_AVERAGE else _words(task), fontsize="small")
        axes.set_xlabel(unit, fontsize="small")
    return _finish(figure, grid, values, title)


def robustness_figure(summary: pd.DataFrame, title: str) -> Figure:
    """Small multiples: AUROC averaged over tasks, by level, a panel for each kind of perturbation."""
    values = summary[summary["against"].isna() & (summary["task"] == MACRO_AVERAGE)]
    if values.empty:
        return nothing(title)
    kinds = [kind for kind in PERTURBATIONS if (values["perturbation"] == kind).any()]
    columns = min(3, len(kinds))
    figure = new_figure(3.2 * columns + 0.6, 2.9 * -(-len(kinds) // columns) + 0.6, f"{title}: {', '.join(kinds)}")
    grid = figure.subplots(-(-len(kinds) // columns), columns, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(grid, kinds):
        rows = values[values["perturbation"] == kind]
        levels = sorted(rows["level"].unique())
        _draw_curves(axes, rows, "level", levels)
        axes.axvline(levels.index(0.0), color=QUIET, linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(levels)), [f"{level:g}".replace("-", "−") for level in levels], fontsize="small")
        axes.set_xlabel(PERTURBATIONS[kind].unit, fontsize="x-small")
        axes.set_title(PERTURBATIONS[kind].words.split(":")[0], fontsize="small")
    for axes in grid[len(kinds) :]:
        axes.set_axis_off()
    return _finish(figure, grid[::columns], values, title)


def matrix_figure(summary: pd.DataFrame, encoder: str, title: str) -> Figure:
    """Trained at one site (rows), asked at another (columns): AUROC of one encoder, a heat map a task.

    Each cell says AUROC, its interval, and the patients that were asked about.
    """
    values = summary[summary["against"].isna() & (summary["encoder"] == encoder) & (summary["task"] != MACRO_AVERAGE)]
    if values.empty:
        return nothing(title)
    tasks = sorted(values["task"].unique())
    most = max(rows["train_site"].nunique() for _, rows in values.groupby("task"))
    figure = new_figure(1.35 * most * len(tasks) + 2.4, 1.0 * most + 1.7, f"{title}: {_described(values)}")
    grid = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(grid, tasks):
        shown = _draw_matrix(axes, values[values["task"] == task], _words(task))
    figure.colorbar(shown, ax=list(grid), label="AUROC", shrink=0.8)
    figure.suptitle(f"{title} ({_kind(values)} images)", x=0.01, ha="left", fontsize="medium")
    return figure


def difference_figure(
    summary: pd.DataFrame, labels: Sequence[str], title: str, unit: str, average: bool = True
) -> Figure:
    """Intervals of a summary's differences, those averaged over tasks or of single tasks; a line each.

    labels: what each row of `summary` is called; rows of one label stand together, encoders in colour.
    """
    rows = summary.assign(label=list(labels))
    chosen = (rows["task"] == MACRO_AVERAGE) == average
    rows = rows[rows["against"].notna() & chosen & rows["estimate"].notna()]
    if rows.empty:
        return nothing(title)
    if not average:
        rows = rows.assign(label=rows["task"].map(_words) + ", " + rows["label"])
    pairs = rows["encoder"].nunique() == 1 and rows["against"].nunique() > 1
    group = rows["encoder"] + " − " + rows["against"] if pairs else rows["encoder"]
    rows = rows.assign(group=group.map(_words)).reset_index(drop=True)
    return interval_plot(
        rows, "estimate", "ci_low", "ci_high", "label", "group", f"{title} ({_kind(rows)} images)", unit, 0.0
    )


def tuning_figure(summary: pd.DataFrame, what: str, unit: str) -> Figure:
    """Federated against pooled and alone, each encoder a line, averaged over tasks; summary: of `tuning_table`."""
    rows = summary[summary["against"].isin([POOLED, ALONE])]
    return difference_figure(rows, "federated − " + rows["against"].astype(str), f"Together or alone, {what}", unit)


def values_style(summary: pd.DataFrame, conditions: Sequence[str]) -> Styler:
    """The values of a summary for reading: a line a task and condition, a column an encoder, with 95 % intervals."""
    values = summary[summary["against"].isna()]
    texts = [interval_text(*row, 2) for row in values[["estimate", "ci_low", "ci_high"]].astype(float).to_numpy()]
    shown = values.assign(AUROC=texts, task=values["task"].map(_words), patients=values["n_patients"])
    keys = ["task", *conditions, "patients"]
    wide = shown.pivot(index=keys, columns="encoder", values="AUROC").reset_index()
    return wide.rename(columns=_words).rename_axis(columns=None).style.hide(axis="index")


def perturbations_figure(data: TaskData, frames: ScanFrames, row: int, generator: torch.Generator) -> Figure:
    """One image of a task, clean and with every kind of perturbation at the ends of its range."""
    one = slice(row, row + 1)
    scans = scanned(data.images[one], data.sectors[one], frames[one])
    images, titles = [data.images[row]], ["clean"]
    for kind, made in PERTURBATIONS.items():
        for level in sorted({min(made.levels), max(made.levels)} - {0.0}):
            images.append(perturb(kind, level, scans, generator)[0])
            titles.append(f"{_words(kind)} {level:g}".replace("-", "−"))
    kind = "simulated" if data.simulated else "real"
    return picture_grid(images, titles, f"{_words(data.task.name)} at both ends of each range ({kind} image)", 5, 1.7)


def nothing(title: str) -> Figure:
    """A figure that says that there is nothing to show."""
    figure = new_figure(7, 0.9, f"{title}: nothing to show")
    figure.text(
        0.02, 0.5, f"{title}: no task allows it (the table of what is left out says why)", va="center", fontsize="small"
    )
    return figure


def _draw_curves(axes: Axes, rows: pd.DataFrame, condition: str, levels: Sequence[float]) -> None:
    axes.axhline(0.5, color=QUIET, linestyle="--", linewidth=1, zorder=0)
    places = colour_places(list(dict.fromkeys(rows["encoder"].map(_words))))
    for number, (name, colour) in enumerate(places.items()):
        own = rows[rows["encoder"].map(_words) == name].sort_values(condition)
        across = own[condition].map(list(levels).index) + SPREAD * len(levels) * (number - (len(places) - 1) / 2) / 2
        ends = own[["ci_low", "ci_high"]].astype(float).to_numpy()
        style = {"color": PALETTE[colour], "marker": MARKERS[colour], "linestyle": LINES[colour % len(LINES)]}
        axes.plot(across, own["estimate"].astype(float), markersize=4.5, linewidth=1.3, label=name, **style)
        axes.vlines(across, ends[:, 0], ends[:, 1], color=PALETTE[colour], linewidth=1, alpha=0.8)
    axes.set_ylim(top=1.01)


def _draw_matrix(axes: Axes, rows: pd.DataFrame, title: str):
    sites = sorted(rows["train_site"].unique())
    cells = rows.set_index(["train_site", "test_site"])
    values = np.array([[float(cells.loc[(one, other), "estimate"]) for other in sites] for one in sites])
    shown = axes.imshow(values, vmin=0.4, vmax=1.0, cmap="cividis")
    for down, one in enumerate(sites):
        for right, other in enumerate(sites):
            cell = cells.loc[(one, other)]
            value, ends = interval_text(*(cell[name] for name in ("estimate", "ci_low", "ci_high")), 2).split(" ", 1)
            colour = "black" if values[down, right] > 0.72 else "white"
            text = f"{value}\n{ends}\n{cell['n_patients']} patients"
            axes.text(right, down, text, ha="center", va="center", fontsize="x-small", color=colour)
    short = [_words(site.removeprefix("site_")) for site in sites]
    axes.set_xticks(range(len(sites)), short, rotation=20, ha="right", fontsize="x-small")
    axes.set_yticks(range(len(sites)), short, fontsize="x-small")
    axes.set_xlabel("asked at", fontsize="small")
    axes.set_ylabel("trained at", fontsize="small")
    axes.set_title(title, fontsize="small")
    return shown


def _finish(figure: Figure, first: Sequence[Axes], values: pd.DataFrame, title: str) -> Figure:
    for axes in first:
        axes.set_ylabel("AUROC", fontsize="small")
        if axes is not first[0] and len(first) == len(figure.axes):
            axes.set_ylabel("")
    handles, names = first[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{title} ({_kind(values)} images)", x=0.01, ha="left", fontsize="medium")
    return figure


def _described(values: pd.DataFrame) -> str:
    rows = values.itertuples()
    return "; ".join(f"{_words(row.task)}, {row.train_site} to {row.test_site} {row.estimate:.2f}" for row in rows)


def _kind(rows: pd.DataFrame) -> str:
    return " and ".join(sorted(rows["images"].unique()))


def _words(name: str) -> str:
    return str(name).replace("_", " ")
