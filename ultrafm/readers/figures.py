"""Figures of a reader study: each reader's AUROC, the differences AI minus readers, and the ROC curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ultrafm.readers.design import Crossed, cross
from ultrafm.readers.names import level_order, natural_order
from ultrafm.readers.ratings import check_ratings, find_ai
from ultrafm.reporting.figures import INK, PALETTE, QUIET, interval_plot, new_figure

GRID = np.linspace(0, 1, 201)
PANELS = 8


def said(found: Mapping[str, Any], many: str = "readers") -> str:
    """ "simulated readers" where they are simulated."""
    return f"simulated {many}" if found["readers"] == "simulated" else many


def reader_forest(found: Mapping[str, Any], images: str | None = None) -> Figure:
    """AUROC of each reader with its interval, coloured by level, against the AI's line and band.

    found: what `analyse` returned for AI against readers; images: "real" or "simulated", told in the title where given.
    """
    ai = found["ai_versus_readers"]["ai"]
    rows = [_auc_row(entry["reader"], entry.get("level"), entry["value"]) for entry in found["individual_readers"]]
    table = pd.DataFrame([_auc_row(found["ai"], found["ai"], ai), *rows])
    title = f"AI and {said(found)}{_images(images)}"
    unit = (
        f"{found['endpoint']}\n{found['confidence']:.0%} interval, {found['covariance_name']}; band: the AI's interval"
    )
    figure = interval_plot(table, "auc", "low", "high", "reader", "level", title, unit, reference=ai["estimate"])
    if ai["ci_low"] is not None:
        figure.axes[0].axvspan(ai["ci_low"], ai["ci_high"], color=PALETTE[0], alpha=0.10, linewidth=0, zorder=0)
    return figure


def difference_plot(found: Mapping[str, Any], images: str | None = None) -> Figure:
    """AI minus readers with interval: all readers, each level, each disease; zero and the margin are marked."""
    rows = [_difference_row("all readers (primary)", "all readers", found["ai_versus_readers"])]
    by = found["by"] or "level"
    rows += [
        _difference_row(f"{level} ({entry['readers']} readers)", f"by {by}", entry["ai_versus_readers"])
        for level, entry in found["levels"].items()
    ]
    if len(found["diseases"]) > 1:
        rows += [_difference_row(entry["disease"], "by disease", entry["difference"]) for entry in found["diseases"]]
    title = f"AI minus {said(found)}{_images(images)}"
    unit = f"difference of AUROC, AI minus readers, {found['confidence']:.0%} interval"
    table = pd.DataFrame(rows)
    figure = interval_plot(table, "estimate", "low", "high", "label", "group", title, unit, reference=0.0)
    if found["non_inferiority"] is not None:
        margin = found["non_inferiority"]["margin"]
        figure.axes[0].axvline(-margin, color=PALETTE[1], linestyle=":", linewidth=1.6, zorder=1)
        figure.axes[0].set_xlabel(f"{unit}\ndotted line: non-inferiority margin -{margin}")
    return figure


def roc_figure(ratings: pd.DataFrame, ai: str, readers_are: str | None = None, images: str | None = None) -> Figure:
    """ROC curves by disease: the AI, every reader (thin) and the mean curve of each level (sensitivity averaged).

    ratings: a ratings table with one modality of readers; at most eight diseases are drawn. Raises UltraFMError as
    `analyse` does.
    """
    table = check_ratings(ratings)
    name, modality = find_ai(table, ai)
    others = (
        table[(table["reader"] != ai).to_numpy()].drop_duplicates("reader").astype({"reader": str, "modality": str})
    )
    others = others.set_index("reader")
    readers = natural_order(others.index)
    curves = [(name, modality)] + [(reader, others.loc[reader, "modality"]) for reader in readers]
    levels = [str(others.loc[reader, "level"]) if "level" in others else "readers" for reader in readers]
    diseases = cross(table, curves)[:PANELS]
    columns = min(len(diseases), 4)
    lines = -(-len(diseases) // columns)
    kind = "simulated readers" if readers_are == "simulated" else "readers"
    title = f"ROC curves: AI and {kind}{_images(images)}"
    figure = new_figure(max(3.1 * columns, 5.2), 3.2 * lines + 0.9, f"{title}; {len(diseases)} diseases.")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(diseases) :]:
        axes.set_visible(False)
    for axes, disease in zip(grid, diseases, strict=False):
        _roc_panel(axes, disease, levels)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=INK)
    return figure


def roc_curve(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate and sensitivity of every threshold, from (0, 0) to (1, 1); ties make slanted steps."""
    values, diseased = np.asarray(scores, dtype=float), np.asarray(truth, dtype=bool)
    thresholds = np.unique(values)[::-1]
    hits = diseased.sum() - np.searchsorted(np.sort(values[diseased]), thresholds, "left")
    alarms = (~diseased).sum() - np.searchsorted(np.sort(values[~diseased]), thresholds, "left")
    return np.concatenate([[0], alarms / (~diseased).sum()]), np.concatenate([[0], hits / diseased.sum()])


def _roc_panel(axes: Axes, disease: Crossed, levels: Sequence[str]) -> None:
    """One disease: chance, readers, means of levels, AI."""
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=0.8)
    curves = [roc_curve(row, disease.truth) for row in disease.scores]
    for number, level in enumerate(level_order(levels), start=1):
        colour = PALETTE[number % len(PALETTE)]
        members = [curve for curve, name in zip(curves[1:], levels, strict=True) if name == level]
        for alarms, hits in members:
            axes.plot(alarms, hits, color=colour, linewidth=0.5, alpha=0.35)
        mean = np.mean([np.interp(GRID, alarms, hits) for alarms, hits in members], axis=0)
        axes.plot(
            np.append(0, GRID),
            np.append(0, mean),
            color=colour,
            linewidth=1.8,
            label=f"{level}, mean of {len(members)}",
        )
    axes.plot(*curves[0], color=PALETTE[0], linewidth=2.4, label="AI")
    cases = f"{int(disease.truth.sum())} diseased, {int((~disease.truth).sum())} healthy"
    axes.set_title(f"{disease.disease}\n{cases}", fontsize="small", loc="left")
    axes.set(xlabel="false positive rate", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.label_outer()


def _auc_row(reader: str, level: str | None, entry: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"low": _nan(entry["ci_low"]), "high": _nan(entry["ci_high"])}
    return {"reader": reader, "level": level or "reader", "auc": entry["estimate"]} | ends


def _difference_row(label: str, group: str, found: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"low": _nan(found["ci_low"]), "high": _nan(found["ci_high"])}
    return {"label": label, "group": group, "estimate": found["difference"]} | ends


def _nan(value: float | None) -> float:
    return np.nan if value is None else value


def _images(images: str | None) -> str:
    """What the title says about the images."""
    return "" if images is None else f" ({images} images)"
