"""Each reader's line from one modality to the other, by level: who gains, and who is harmed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ultrafm.errors import UltraFMError
from ultrafm.readers.figures.words import images_words, said
from ultrafm.readers.names import level_order
from ultrafm.reporting.figures import INK, MARKERS, PALETTE, QUIET, new_figure

HARMED = PALETTE[1]


def paired_lines(
    found: Mapping[str, Any], images: str | None = None, first: str | None = None, second: str | None = None
) -> Figure:
    """Lines from `first` to `second` modality (default: unaided to aided, else in order of name), a panel per level.

    found: what `analyse` returned for two modalities read by the same readers. Thick: the mean of the level; a reader
    whose value falls is drawn dashed in another colour. Raises UltraFMError where no reader has both.
    """
    names = [entry["modality"] for entry in found.get("modalities", [])]
    first, second = _order(names, first, second)
    values = {(row["reader"], row["modality"]): row.get("auc", row.get("value")) for row in _rows(found)}
    readers = [entry for entry in found["reader_differences"] if {(entry["reader"], name) in values for name in names}]
    if not readers or (readers[0]["reader"], first) not in values or (readers[0]["reader"], second) not in values:
        raise UltraFMError("paired lines", f"the modalities {', '.join(names)}", "two, read by the same readers")
    levels = [entry.get("level") or "readers" for entry in readers]
    order = level_order(levels)
    harmed = sum(values[entry["reader"], second] < values[entry["reader"], first] for entry in readers)
    title = f"{said(found).capitalize()}, {first} to {second}{images_words(images)}"
    figure = new_figure(max(2.6 * len(order), 4.5), 4.2, "")
    grid = figure.subplots(1, len(order), squeeze=False, sharey=True).ravel()
    told = []
    for axes, level in zip(grid, order, strict=True):
        members = [entry["reader"] for entry, own in zip(readers, levels, strict=True) if own == level]
        ends = np.array([[values[reader, first], values[reader, second]] for reader in members])
        _panel(axes, ends, level, (first, second))
        told.append(f"{level} {ends[:, 0].mean():.3f} to {ends[:, 1].mean():.3f}")
    grid[0].set_ylabel("\n".join(textwrap.wrap(found["endpoint"], 32)), fontsize="small")
    words = f"{harmed} of {len(readers)} readers are lower with {second} (dashed)"
    figure.suptitle(f"{title}\n{words}", x=0.01, ha="left", fontsize="medium", color=INK)
    figure.alt = f"{title}: {'; '.join(told)}; {words}."
    return figure


def _order(names: list[str], first: str | None, second: str | None) -> tuple[str, str]:
    """Which modality stands left and which right."""
    if first is not None and second is not None:
        return first, second
    if set(names) == {"aided", "unaided"}:
        return "unaided", "aided"
    return (names[0], names[-1]) if names else ("", "")


def _rows(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return found.get("auc") or found["values"]


def _panel(axes: Axes, ends: np.ndarray, level: str, names: tuple[str, str]) -> None:
    """The readers of one level."""
    for before, after in ends:
        style = {"color": HARMED, "linestyle": "--"} if after < before else {"color": QUIET, "linestyle": "-"}
        axes.plot([0, 1], [before, after], marker="o", markersize=4, linewidth=1.2, **style)
    axes.plot([0, 1], ends.mean(axis=0), color=PALETTE[0], marker=MARKERS[2], markersize=8, linewidth=3, zorder=4)
    axes.set_title(f"{level} ({len(ends)})", fontsize="small", loc="left")
    axes.set_xticks([0, 1], names)
    axes.set_xlim(-0.25, 1.25)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
