"""A sector as it lies in a picture, in pixels: for pictures whose physical size nobody states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.errors import UltraFMError


@dataclass(frozen=True)
class SectorInPixels:
    """Two concentric arcs and two straight sides in a picture; pixels are counted from 0, a whole number is a centre.

    The sides meet in the apex, which may lie above the picture. Angles are in degrees from straight down, positive to
    the right as the viewer sees it, so that a sector may lean or be cut on one side. Radii are in pixels.
    """

    apex_column: float
    apex_row: float
    inner_radius: float
    outer_radius: float
    left_angle: float
    right_angle: float

    def __post_init__(self) -> None:
        numbers = (self.apex_column, self.apex_row, self.inner_radius, self.outer_radius)
        if not all(map(math.isfinite, numbers)) or not 0 <= self.inner_radius < self.outer_radius:
            found = f"radii {self.inner_radius:g} and {self.outer_radius:g}"
            raise UltraFMError("SectorInPixels", found, "finite numbers, 0 <= inner radius < outer radius")
        if not -180 <= self.left_angle < self.right_angle <= 180:
            found = f"angles {self.left_angle:g} and {self.right_angle:g}"
            raise UltraFMError("SectorInPixels", found, "-180 <= left angle < right angle <= 180 degrees")

    def to_unit(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (0 inner arc, 1 outer arc) and line (0 left, 1 right) of points; outside [0, 1] is not scanned."""
        across, down = columns - self.apex_column, rows - self.apex_row
        depth = (np.hypot(across, down) - self.inner_radius) / (self.outer_radius - self.inner_radius)
        angle = np.degrees(np.arctan2(across, down))
        return depth, (angle - self.left_angle) / (self.right_angle - self.left_angle)

    def to_pixels(self, depth: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of points given as depth and line in [0, 1]; inverse of `to_unit`."""
        angle = np.radians(self.left_angle + line * (self.right_angle - self.left_angle))
        radius = self.inner_radius + depth * (self.outer_radius - self.inner_radius)
        return self.apex_column + radius * np.sin(angle), self.apex_row + radius * np.cos(angle)

    def moved(self, columns: float, rows: float) -> SectorInPixels:
        """The same sector in a picture whose first pixel is pixel (columns, rows) of this one, as after a crop."""
        return SectorInPixels(
            self.apex_column - columns, self.apex_row - rows,
            self.inner_radius, self.outer_radius, self.left_angle, self.right_angle,
        )  # fmt: skip

    def scaled(self, factor: float) -> SectorInPixels:
        """The same sector after the picture was resized by `factor` in both directions (pixels' corners meet)."""
        return SectorInPixels(
            (self.apex_column + 0.5) * factor - 0.5, (self.apex_row + 0.5) * factor - 0.5,
            self.inner_radius * factor, self.outer_radius * factor, self.left_angle, self.right_angle,
        )  # fmt: skip

    def mirrored(self, width: int) -> SectorInPixels:
        """The same sector after a picture `width` pixels wide was mirrored left to right."""
        return SectorInPixels(
            width - 1 - self.apex_column, self.apex_row,
            self.inner_radius, self.outer_radius, -self.right_angle, -self.left_angle,
        )  # fmt: skip

    def inside(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Which pixels of a grid lie in the sector: bool (len(rows), len(columns)), edges included.

        `columns` (W,) and `rows` (H,) are the centres' coordinates.
        """
        across, down = np.asarray(columns, np.float32) - np.float32(self.apex_column), np.asarray(rows, float)
        down = down - self.apex_row
        if max(-self.left_angle, self.right_angle) >= 89:
            depth, line = self.to_unit(np.asarray(columns, float)[None, :], np.asarray(rows, float)[:, None])
            return (depth >= 0) & (depth <= 1) & (line >= 0) & (line <= 1)
        return _between(across, down, self)


def _between(across: np.ndarray, down: np.ndarray, sector: SectorInPixels) -> np.ndarray:
    """The inside of a sector that opens downwards: in each row from side to side, within the outer arc, without the
    inner one. Three comparisons for each pixel instead of a root and an arc tangent."""
    half = np.sqrt(np.maximum(sector.outer_radius**2 - down**2, 0))
    first = np.maximum(down * math.tan(math.radians(sector.left_angle)), -half)
    last = np.minimum(down * math.tan(math.radians(sector.right_angle)), half)
    last = np.where((down >= 0) & (down <= sector.outer_radius), last, -np.inf)
    inside = (across >= first.astype(np.float32)[:, None]) & (across <= last.astype(np.float32)[:, None])
    near = np.flatnonzero(np.abs(down) < sector.inner_radius)
    if len(near):
        gap = np.sqrt(sector.inner_radius**2 - down[near] ** 2).astype(np.float32)
        inside[near] &= np.abs(across)[None, :] >= gap[:, None]
    return inside
