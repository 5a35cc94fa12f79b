"""ROC curves by disease: the AI, the readers, the mean curve of each level, and their operating points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ultrafm.readers.design import Crossed, cross
from ultrafm.readers.figures.words import images_words
from ultrafm.readers.names import level_order
from ultrafm.readers.ratings import check_ratings, find_ai, reader_values
from ultrafm.readers.study import reader_modalities
from ultrafm.reporting.figures import INK, MARKERS, PALETTE, QUIET, new_figure

GRID = np.linspace(0, 1, 201)
PANELS = 8


def roc_figure(
    ratings: pd.DataFrame,
    ai: str,
    readers_are: str | None = None,
    images: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """ROC curves by disease: the AI, every reader (thin) and the mean curve of each level (sensitivity averaged).

    ratings: a ratings table with one modality of readers; at most eight diseases are drawn. threshold: a rating of at
    least this is a positive call; then the readers are points at their sensitivity and false positive rate, small, and
    the level's average is a large one, and their thin curves are left out. Raises UltraFMError as `analyse` does.
    """
    table = check_ratings(ratings)
    curves = [find_ai(table, ai), *reader_modalities(table, ai)]
    groups = reader_values(table, "level") if "level" in table else {}
    levels = [groups.get(reader, "readers") for reader, _ in curves[1:]]
    diseases = cross(table, curves)[:PANELS]
    columns = min(len(diseases), 4)
    lines = -(-len(diseases) // columns)
    kind = "simulated readers" if readers_are == "simulated" else "readers"
    title = f"ROC curves: AI and {kind}{images_words(images)}"
    points = "" if threshold is None else f" Points: readers at the threshold {threshold:g}; large: mean of a level."
    figure = new_figure(max(3.1 * columns, 5.2), 3.2 * lines + 0.9, f"{title}; {len(diseases)} diseases.{points}")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(diseases) :]:
        axes.set_visible(False)
    for axes, disease in zip(grid, diseases, strict=False):
        _panel(axes, disease, levels, threshold)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small", frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=INK)
    return figure


def roc_curve(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate and sensitivity of every threshold, from (0, 0) to (1, 1); ties make slanted steps."""
    values, diseased = np.asarray(scores, dtype=float), np.asarray(truth, dtype=bool)
    thresholds = np.unique(values)[::-1]
    hits = diseased.sum() - np.searchsorted(np.sort(values[diseased]), thresholds, "left")
    alarms = (~diseased).sum() - np.searchsorted(np.sort(values[~diseased]), thresholds, "left")
    return np.concatenate([[0], alarms / (~diseased).sum()]), np.concatenate([[0], hits / diseased.sum()])


def operating_points(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate and sensitivity of each of C curves where a rating of at least `threshold` is positive."""
    positive = scores >= threshold
    return positive[:, ~truth].mean(axis=1), positive[:, truth].mean(axis=1)


def _panel(axes: Axes, disease: Crossed, levels: Sequence[str], threshold: float | None) -> None:
    """One disease: chance, readers, means of levels, AI."""
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=0.8)
    ai, *curves = [roc_curve(row, disease.truth) for row in disease.scores]
    for number, level in enumerate(level_order(levels), start=1):
        members = np.array([place for place, name in enumerate(levels) if name == level])
        style = {"color": PALETTE[number % len(PALETTE)]}
        _mean_curve(axes, [curves[place] for place in members], level, style, threshold is None)
        if threshold is not None:
            places = operating_points(disease.scores[1:][members], disease.truth, threshold)
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(*places, linestyle="", marker=marker, markersize=4, alpha=0.6, markeredgecolor="none", **style)
            middle = [[one.mean()] for one in places]
            axes.plot(*middle, linestyle="", marker=marker, markersize=9, markeredgecolor=INK, zorder=4, **style)
    axes.plot(*ai, color=PALETTE[0], linewidth=2.4, label="AI")
    cases = f"{int(disease.truth.sum())} diseased, {int((~disease.truth).sum())} healthy"
    axes.set_title(f"{disease.disease}\n{cases}", fontsize="small", loc="left")
    axes.set(xlabel="false positive rate", ylabel="sensitivity", xlim=(-0.02, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.label_outer()


def _mean_curve(axes: Axes, members: Sequence, level: str, style: dict[str, str], thin: bool) -> None:
    """The mean curve of a level, over thin ones of its readers where wanted."""
    for alarms, hits in members if thin else []:
        axes.plot(alarms, hits, linewidth=0.5, alpha=0.35, **style)
    mean = np.mean([np.interp(GRID, alarms, hits) for alarms, hits in members], axis=0)
    label = f"{level}, mean of {len(members)}"
    axes.plot(np.append(0, GRID), np.append(0, mean), linewidth=1.8, label=label, **style)
