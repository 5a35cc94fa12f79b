"""Figures and tables of the distance to the ideal observer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ultrafm.downstream.designs.distance import ENCODERS, SeedValues, distance_table
from ultrafm.reporting.figures import INK, MARKERS, PALETTE, QUIET, colour_places, interval_plot, new_figure
from ultrafm.reporting.records import interval_text

LIMITS = ("estimate", "low", "high")


def auroc_figure(found: Mapping[str, SeedValues], images: str) -> Figure:
    """AUROC of every seed (small) and their mean with its interval, by encoder and level; the ideal observer dashed."""
    best = next(iter(found.values())).best
    figure = new_figure(
        8, 4.2, f"Mean AUROC by encoder and labels, {images} images; the ideal observer reaches {best:.3f}"
    )
    axes, places = figure.add_subplot(), colour_places(ENCODERS)
    table = distance_table(found).set_index(["level", "number"])
    for column, level in enumerate(found):
        for number, name in enumerate(ENCODERS):
            row, across = table.loc[(level, f"AUROC, {name}")], column + 0.25 * (number - 1)
            colour, marker = PALETTE[places[name]], MARKERS[places[name]]
            values = found[level].values[:, number]
            axes.plot(
                across + np.linspace(-0.07, 0.07, len(values)), values, marker, color=colour, alpha=0.4, markersize=3
            )
            axes.plot([across] * 2, [row["low"], row["high"]], color=colour, linewidth=2)
            label = name if column == 0 else None
            axes.plot([across], [row["estimate"]], marker, color=colour, markeredgecolor=INK, markersize=8, label=label)
    axes.axhline(best, color=QUIET, linestyle="--", linewidth=1, label="ideal observer")
    axes.set_xticks(range(len(found)), list(found))
    axes.set(ylabel="AUROC, mean over tasks", xlabel="labelled training patients")
    axes.set_title(f"Small: each pre-training seed; large: their mean, 95% interval ({images} images)")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    return figure


def shares_figure(found: Mapping[str, SeedValues], images: str) -> Figure:
    """The share of the distance that each pre-trained encoder closes, with its interval."""
    rows = distance_table(found)
    rows = rows[rows["number"].str.startswith("share closed")]
    rows = rows.assign(encoder=rows["number"].str.removeprefix("share closed, "), low=rows["low"].astype(float),
                       high=rows["high"].astype(float))  # fmt: skip
    title = f"Share of the distance from random to ideal that is closed ({images} images)"
    return interval_plot(rows, *LIMITS, "level", "encoder", title, "share closed; 0: as random, 1: as ideal", 0.0)


def differences_figure(found: Mapping[str, SeedValues], images: str) -> Figure:
    """The differences of AUROC between encoders, with their intervals."""
    rows = distance_table(found)
    rows = rows[rows["number"].str.contains(" − ")].astype({"low": float, "high": float})
    title = f"Differences of AUROC between encoders ({images} images)"
    return interval_plot(rows, *LIMITS, "number", "level", title, "difference of AUROC, mean over tasks", 0.0)


def distance_style(found: Mapping[str, SeedValues]) -> Styler:
    """All numbers of the design as a table for reading, a column a level."""
    table = distance_table(found)
    texts = [interval_text(*row) for row in table[[*LIMITS]].astype(float).itertuples(index=False)]
    shown = table.assign(text=texts).pivot(index="number", columns="level", values="text")
    return shown.loc[list(dict.fromkeys(table["number"])), list(found)].rename_axis(index=None, columns=None).style


def gate_style(gate: pd.DataFrame) -> Styler:
    """The gate as a table for reading."""
    shown = pd.DataFrame(
        {
            "planted": gate["planted"],
            "truth": [f"{value:.3f}" for value in gate["truth"]],
            "mean estimate": [f"{value:.3f}" for value in gate["mean"]],
            "95% intervals that hold the truth": [
                interval_text(*row) for row in gate[["covered", "covered_low", "covered_high"]].itertuples(index=False)
            ],
            "intervals that exclude zero": [f"{value:.0%}" for value in gate["detected"]],
            "made studies": gate["studies"],
        }
    )
    return shown.style.hide(axis="index")
