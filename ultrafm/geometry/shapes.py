"""The shapes that a scan can have, and where a shape lies in a picture.

One system of coordinates everywhere: millimetres, origin where the middle of the probe's face touches the skin, x to
the right as the viewer sees it, y down into the body. A line is numbered from left to right, a sample from skin to
depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.errors import UltraFMError


def _require_positive(shape: str, name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UltraFMError(f"{shape}.{name}", f"{value:g}", "a length above 0 mm")


@dataclass(frozen=True)
class LinearGeometry:
    """Parallel beams from a straight array: a rectangle `width_mm` wide and `depth_mm` deep."""

    width_mm: float
    depth_mm: float

    def __post_init__(self) -> None:
        _require_positive("LinearGeometry", "width_mm", self.width_mm)
        _require_positive("LinearGeometry", "depth_mm", self.depth_mm)

    def bounds_mm(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the scanned region, in millimetres."""
        return -self.width_mm / 2, 0.0, self.width_mm / 2, self.depth_mm

    def to_unit(self, x_mm: np.ndarray, y_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (0 at the skin, 1 at the end) and line (0 left, 1 right) of points; outside [0, 1] is not scanned."""
        return y_mm / self.depth_mm, x_mm / self.width_mm + 0.5

    def to_mm(self, depth: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y in millimetres of points given as depth and line in [0, 1]; inverse of `to_unit`."""
        x, y = np.broadcast_arrays((line - 0.5) * self.width_mm, depth * self.depth_mm)
        return x, y


@dataclass(frozen=True)
class CurvedGeometry:
    """Beams that fan out from the centre of an arc: convex, phased (small radius) and endocavity (wide angle) probes.

    `radius_mm` is the distance from the arc's centre to the skin, `half_angle_degrees` (up to 180) half of the opening
    angle, `depth_mm` the depth along each beam. The middle of the arc touches the origin; its ends lie above.
    """

    radius_mm: float
    half_angle_degrees: float
    depth_mm: float

    def __post_init__(self) -> None:
        _require_positive("CurvedGeometry", "radius_mm", self.radius_mm)
        _require_positive("CurvedGeometry", "depth_mm", self.depth_mm)
        if not 0 < self.half_angle_degrees <= 180:
            raise UltraFMError(
                "CurvedGeometry.half_angle_degrees", f"{self.half_angle_degrees:g}", "above 0, at most 180"
            )

    def bounds_mm(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the scanned region, in millimetres."""
        angle = math.radians(self.half_angle_degrees)
        outer = self.radius_mm + self.depth_mm
        side = outer * math.sin(min(angle, math.pi / 2))
        top_radius = self.radius_mm if math.cos(angle) > 0 else outer
        return -side, top_radius * math.cos(angle) - self.radius_mm, side, self.depth_mm

    def to_unit(self, x_mm: np.ndarray, y_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (0 at the skin, 1 at the end) and line (0 left, 1 right) of points; outside [0, 1] is not scanned."""
        from_centre = y_mm + self.radius_mm
        depth = (np.hypot(x_mm, from_centre) - self.radius_mm) / self.depth_mm
        angle = np.arctan2(x_mm, from_centre)
        return depth, angle / math.radians(2 * self.half_angle_degrees) + 0.5

    def to_mm(self, depth: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y in millimetres of points given as depth and line in [0, 1]; inverse of `to_unit`."""
        angle = (line - 0.5) * math.radians(2 * self.half_angle_degrees)
        radius = self.radius_mm + depth * self.depth_mm
        return radius * np.sin(angle), radius * np.cos(angle) - self.radius_mm


Geometry = LinearGeometry | CurvedGeometry


@dataclass(frozen=True)
class Placement:
    """Where a geometry lies in a picture: pixel (column, row) of the origin and the size of a pixel in millimetres.

    Pixels are counted from 0 and a whole number is a pixel's centre.
    """

    mm_per_pixel: float
    origin_column: float
    origin_row: float


def fit(geometry: Geometry, height: int, width: int) -> Placement:
    """The placement that shows the whole scan as large as possible, centred, with square pixels."""
    left, top, right, bottom = geometry.bounds_mm()
    scale = max((right - left) / width, (bottom - top) / height)
    column = (width - 1) / 2 - (left + right) / 2 / scale
    row = (height - 1) / 2 - (top + bottom) / 2 / scale
    return Placement(scale, column, row)
