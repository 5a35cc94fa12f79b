"""The beams of a simulated device: where each sample lies, and how a view moves the body under the probe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ultrafm.geometry import CurvedGeometry, Geometry, LinearGeometry
from ultrafm.manifests.schema import Device

LINES = 128  # beams, at most
SAMPLES = 320  # along a beam, at most
LINEAR_MODES = ("linear", "unknown")


@dataclass(frozen=True)
class View:
    """How one picture looks at the body: a shift in shares of the depth, a magnification, and a turn in radians.

    `slice` is the distance of the scan plane from the lesion's middle, in radii of the lesion (3-D sweeps). `mirrored`
    swaps left and right.
    """

    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.0
    turn: float = 0.0
    slice: float = 0.0
    mirrored: bool = False


STILL = View()


@dataclass(frozen=True)
class Grid:
    """Where the samples of the beams lie in the body. Lengths are shares of the scan's depth, so organs fill any scan.

    x, y: (samples, lines), right and down; `depth` (samples, 1) along the beam and `line` (1, lines) across the
    probe, both from 0 to 1; `half_width` of the scan halfway down; `cm_per_sample` along a beam.
    """

    x: np.ndarray
    y: np.ndarray
    depth: np.ndarray
    line: np.ndarray
    half_width: float
    cm_per_sample: float


def sampling_of(device: Device) -> tuple[int, int]:
    """Samples along a beam, and beams: what a picture of the device's size can show, up to the largest numbers."""
    samples = min(SAMPLES, math.ceil(device.picture_height * SAMPLES / 256))
    return samples, min(LINES, math.ceil(device.picture_width * LINES / 256))


def geometry_of(device: Device) -> Geometry:
    """The scan geometry of a device: parallel beams for a linear array, a sector for all others."""
    if device.scan_mode in LINEAR_MODES:
        return LinearGeometry(device.width_mm, device.depth_mm)
    return CurvedGeometry(device.radius_mm, device.half_angle_degrees, device.depth_mm)


def line_spacing_mm(geometry: Geometry, depth_mm: np.ndarray, lines: int = LINES) -> np.ndarray:
    """Distance between neighbouring ones of `lines` beams at each depth, in millimetres."""
    if isinstance(geometry, LinearGeometry):
        return np.full_like(depth_mm, geometry.width_mm / (lines - 1))
    return (geometry.radius_mm + depth_mm) * math.radians(2 * geometry.half_angle_degrees) / (lines - 1)


@lru_cache(maxsize=32)
def _still_grid(geometry: Geometry, samples: int, lines: int) -> Grid:
    depth = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
    line = np.linspace(0, 1, lines, dtype=np.float32)[None, :]
    x, y = geometry.to_mm(depth, line)
    x, y = (np.ascontiguousarray(axis / geometry.depth_mm, dtype=np.float32) for axis in (x, y))
    half_width = float(np.abs(x[samples // 2]).max())
    return Grid(x, y, depth, line, half_width, geometry.depth_mm / 10 / (samples - 1))


def moved(grid: Grid, view: View) -> Grid:
    """The grid after the body was moved, magnified and turned about the middle of the scan as `view` says."""
    x, y = grid.x / view.zoom, (grid.y - 0.5) / view.zoom
    if view.mirrored:
        x = -x
    cosine, sine = math.cos(view.turn), math.sin(view.turn)
    turned_x = cosine * x + sine * y - view.shift_x
    turned_y = cosine * y - sine * x + 0.5 - view.shift_y
    return replace(grid, x=turned_x, y=turned_y)


def grid_of(geometry: Geometry, view: View = STILL, samples: int = SAMPLES, lines: int = LINES) -> Grid:
    """The grid of a geometry as a view shows it."""
    return moved(_still_grid(geometry, samples, lines), view)
