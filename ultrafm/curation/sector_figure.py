"""The scan conversion shown on one picture: the sector found, its beams as a rectangle, and the way back."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ultrafm.errors import UltraFMError
from ultrafm.geometry.pixels import SectorInPixels
from ultrafm.geometry.published import published_to_sector
from ultrafm.geometry.sectors import rectangle_to_sector, sector_to_rectangle
from ultrafm.reporting.figures import PALETTE, new_figure

SAMPLES, LINES = 320, 320


def conversion_figure(picture: np.ndarray, sector: SectorInPixels | None) -> Figure:
    """Four panels of a grey picture (H, W) uint8: with the sector found; its beams, depth down; the sector again from
    those beams; and what the published conversion makes of the same beams.

    Raises UltraFMError when there is no sector.
    """
    if sector is None:
        raise UltraFMError("conversion figure", "no sector", "a picture in which find_scan_area finds its geometry")
    height, width = picture.shape
    beams = sector_to_rectangle(picture, sector, SAMPLES, LINES)
    again = rectangle_to_sector(beams, sector, height, width)
    inside = sector.inside(np.arange(width), np.arange(height))
    difference = float(np.abs(again.astype(float) - picture)[inside].mean())
    figure = new_figure(11, 3.6 * min(1.2, max(0.8, height / width)) + 0.6, _describe(sector, difference))
    axes = figure.subplots(1, 4)
    _show(axes[0], picture, "A  picture and the sector found", "column (pixels)", "row (pixels)")
    _draw_sector(axes[0], sector, picture.shape)
    _show(axes[1], beams, "B  its beams: depth down", "beam, left to right", "sample, skin to depth")
    title = f"C  sector again from B\n(mean difference {difference:.1f} grey values)"
    _show(axes[2], again, title, "column (pixels)", "row (pixels)")
    title = "D  B by the published code:\nskin at the far rim, mirrored"
    _show(axes[3], published_to_sector(beams), title, "column (pixels)", "row (pixels)")
    return figure


def _show(axes: Axes, picture: np.ndarray, title: str, across: str, down: str) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize="small")
    axes.set_xlabel(across, fontsize="small")
    axes.set_ylabel(down, fontsize="small")
    axes.tick_params(labelsize="x-small")


def _draw_sector(axes: Axes, sector: SectorInPixels, shape: tuple[int, ...]) -> None:
    """The sector's edge as a line, clipped to the picture."""
    along, start, end = np.linspace(0, 1, 60), np.zeros(60), np.ones(60)
    edges = ((along, start), (end, along), (along[::-1], end), (start, along[::-1]))
    places = [sector.to_pixels(depth, line) for depth, line in edges]
    axes.plot(*(np.concatenate(parts) for parts in zip(*places)), color=PALETTE[1], linewidth=1.5)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))


def _describe(sector: SectorInPixels, difference: float) -> str:
    return (
        f"Scan conversion of one picture: the sector found (apex at column {sector.apex_column:.0f}, row"
        f" {sector.apex_row:.0f}, radii {sector.inner_radius:.0f} and {sector.outer_radius:.0f} pixels, from"
        f" {sector.left_angle:.0f} to {sector.right_angle:.0f} degrees); its beams as a rectangle with the skin at the"
        f" top; the sector again, {difference:.1f} grey values from the picture in the mean; and the published"
        " conversion of the same beams, with the skin at the far rim and left and right exchanged."
    )
