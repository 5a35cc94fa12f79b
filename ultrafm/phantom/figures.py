"""Figures of simulated pictures: galleries, what gives a disease away, how hard lesions are, how like real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.phantom.observer import WIDEST, best_auroc
from ultrafm.phantom.shortcut import Told
from ultrafm.reporting.figures import PALETTE, QUIET, interval_plot, new_figure, picture_grid

BESIDE = 6  # scans of each kind that are shown
Scan = tuple[np.ndarray, np.ndarray]


def gallery(shown: tuple[Sequence[np.ndarray], Sequence[str]], title: str, columns: int) -> Figure:
    """Simulated pictures in rows, each with what it shows."""
    pictures, titles = shown
    return picture_grid(list(pictures), list(titles), f"{title} (simulated)", columns, 1.5)


def shortcut_table(told: Mapping[str, Mapping[str, Told]]) -> pd.DataFrame:
    """One row for each set ("fair", "confounded") and disease, with the AUROC without tissue and its interval."""
    rows = [
        (disease, name, found.auroc, found.low, found.high, found.patients)
        for name, diseases in told.items()
        for disease, found in diseases.items()
    ]
    return pd.DataFrame(rows, columns=["disease", "set", "auroc", "low", "high", "patients"])


def shortcut_figure(table: pd.DataFrame) -> Figure:
    """How well each disease is told without tissue, in the fair and in the confounded set."""
    title = "Told by border, text, size and grey values alone (simulated)"
    return interval_plot(table, "auroc", "low", "high", "disease", "set", title, "AUROC; 0.5 is guessing", 0.5)


def difficulty_figure(observed: Mapping[float, float]) -> Figure:
    """The ideal observer's AUROC against how far the kinds lie apart; dots: `observed`, separation -> AUROC drawn."""
    figure = new_figure(7, 3.4, "The best reachable AUROC grows from 0.5 as the kinds are drawn further apart")
    axes = figure.add_subplot()
    places = np.linspace(0, WIDEST, 60)
    axes.plot(places, [best_auroc(place) for place in places], color=PALETTE[0], label="by formula")
    axes.scatter(list(observed), list(observed.values()), color=PALETTE[1], zorder=3, label="on drawn lesions")
    axes.axhline(0.5, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel="separation of the traits' means; 1 is that of the usual lesions", ylabel="AUROC, ideal observer")
    axes.set_title("How well benign and malignant can be told at best (simulated)")
    axes.legend()
    return figure


def beside_figure(organ: str, scan_mode: str, real: Sequence[Scan], simulated: Sequence[Scan]) -> Figure:
    """Real scans in the first row, simulated ones of the same organ and probe in the second."""
    count = min(BESIDE, len(real), len(simulated))
    pictures = [np.where(inside, grey, 0).astype(np.uint8) for grey, inside in (*real[:count], *simulated[:count])]
    titles = [*["real"] * count, *["simulated"] * count]
    return picture_grid(pictures, titles, f"{organ}, {scan_mode}", count, 1.6)


def apart_figure(table: pd.DataFrame) -> Figure:
    """How well each measure alone tells simulated from real scans, organ by organ; `table` joins `Twins.table`s."""
    places = table.assign(where=table["organ"] + ",\n" + table["scan_mode"])
    grid = places.pivot_table(index="measure", columns="where", values="apart", sort=False)
    figure = new_figure(2.6 + 1.35 * grid.shape[1], 0.9 + 0.36 * len(grid), "AUROC of telling simulated from real")
    axes = figure.add_subplot()
    shown = axes.imshow(grid.to_numpy(), cmap="Blues", vmin=0.5, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        ink = "white" if value > 0.8 else "#222222"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize="small")
    axes.set_xticks(range(grid.shape[1]), grid.columns, fontsize="small")
    axes.set_yticks(range(len(grid)), grid.index, fontsize="small")
    axes.spines[:].set_visible(False)
    axes.set_title("Told apart by one measure: 0.5 alike, 1 never alike")
    figure.colorbar(shown, ax=axes, label="AUROC, simulated against real")
    return figure
