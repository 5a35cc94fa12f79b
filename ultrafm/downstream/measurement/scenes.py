"""Drawn scenes whose measures are known: what the measures of this room are tested and explained on. Simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.special import ellipe

from ultrafm.downstream.measurement.head import head_measure
from ultrafm.downstream.measurement.lesion import longest_diameter
from ultrafm.downstream.measurement.muscle import measure_muscle
from ultrafm.downstream.measurement.progression import angle_of_progression


def drawn_ellipse(
    shape: tuple[int, int], centre: tuple[float, float], semi_axes: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """(H, W) uint8 mask of an ellipse. centre: column, row. semi_axes: along `angle` (degrees, clockwise) and across."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    turn = np.radians(angle)
    x, y = columns - centre[0], rows - centre[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return ((along / semi_axes[0]) ** 2 + (across / semi_axes[1]) ** 2 <= 1).astype(np.uint8)


@dataclass(frozen=True)
class Labour:
    """Masks (S, S) of symphysis and head in a transperineal picture, cranial side at the left, and the true angle."""

    symphysis: np.ndarray
    head: np.ndarray
    angle: float


def drawn_labour(side: int, angle: float, tilt: float = 20.0) -> Labour:
    """An elliptic symphysis, `tilt` degrees clockwise from the horizontal, and a round head at that angle, degrees.

    The tangent from the lower end touches the round head where asin(radius / distance) is between it and the middle.
    """
    middle, half = np.array([0.33, 0.2]) * side, 0.11 * side
    along = np.array([np.cos(np.radians(tilt)), np.sin(np.radians(tilt))])
    lower, radius, distance = middle + along * half, 0.2 * side, 0.27 * side
    turn = np.radians(tilt + 180 - angle) + np.arcsin(radius / distance)
    centre = lower + distance * np.array([np.cos(turn), np.sin(turn)])
    symphysis = drawn_ellipse((side, side), tuple(middle), (half, 0.045 * side), tilt)
    return Labour(symphysis, drawn_ellipse((side, side), tuple(centre), (radius, radius)), angle)


def drawn_muscle(
    shape: tuple[int, int], thickness: float, fascicles: float, aponeurosis: float, generator: np.random.Generator
) -> np.ndarray:
    """(H, W) uint8 picture of stripes in speckle between two bright bands; angles in degrees, positive when rising.

    thickness: pixels between the inner edges of the bands, at right angles to them.
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = columns - (shape[1] - 1) / 2, (shape[0] - 1) / 2 - rows
    depth = -(y * np.cos(np.radians(aponeurosis)) - x * np.sin(np.radians(aponeurosis)))
    across = y * np.cos(np.radians(fascicles)) - x * np.sin(np.radians(fascicles))
    period, band = shape[0] / 22, shape[0] / 30
    strands = np.interp(across / period, *_strands(generator))
    inside = np.abs(depth) < thickness / 2
    bands = (np.abs(depth) >= thickness / 2) & (np.abs(depth) < thickness / 2 + band)
    grey = 45 + inside * 60 * strands + 150 * bands
    speckle = np.sqrt(generator.exponential(1.0, size=shape))
    return np.clip(gaussian_filter(grey * speckle, (0.6, 1.2)), 0, 255).astype(np.uint8)


def _strands(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places and brightness 0 to 1 of strands that are not evenly spaced."""
    places = np.cumsum(generator.uniform(0.2, 0.8, size=400))
    return places - places.mean(), generator.uniform(0, 1, size=400)


def accuracy_table(sides: tuple[int, ...], generator: np.random.Generator, draws: int = 20) -> pd.DataFrame:
    """Error of each measure on drawn scenes, by picture side in pixels: mean and largest absolute error over `draws`.

    Columns measure, unit, side, mean_error, largest_error, n (draws with a number).
    """
    rows = []
    for side in sides:
        errors: dict[tuple[str, str], list[float]] = {}
        for _ in range(draws):
            for name, error in _errors(side, generator).items():
                errors.setdefault(name, []).append(error)
        for (measure, unit), found in errors.items():
            size = np.abs([error for error in found if np.isfinite(error)])
            known = {"mean_error": size.mean(), "largest_error": size.max()} if size.size else {}
            rows.append({"measure": measure, "unit": unit, "side": side, "n": size.size, **known})
    return pd.DataFrame(rows)


def _errors(side: int, generator: np.random.Generator) -> dict[tuple[str, str], float]:
    """Measure and unit -> measured minus true, of one drawn scene each."""
    longer = side * generator.uniform(0.3, 0.42)
    shorter = longer * generator.uniform(0.7, 0.9)
    centre = tuple(side / 2 + generator.uniform(-0.5, 0.5, size=2))
    mask = drawn_ellipse((side, side), centre, (longer, shorter), generator.uniform(0, 180))
    around = 4 * longer * ellipe(1 - (shorter / longer) ** 2)
    labour = drawn_labour(side, generator.uniform(80, 150), generator.uniform(0, 35))
    thickness, fascicles = side * generator.uniform(0.4, 0.55), generator.uniform(10, 30)
    muscle = measure_muscle(drawn_muscle((side, side), thickness, fascicles, generator.uniform(-6, 2), generator))
    return {
        ("head circumference", "% of it"): 100 * (_number(head_measure(mask).value) / around - 1),
        ("longest diameter", "% of it"): 100 * (_number(longest_diameter(mask).value) / (2 * longer) - 1),
        ("angle of progression", "degrees"): _number(angle_of_progression(labour.symphysis, labour.head).value)
        - labour.angle,
        ("muscle thickness, picture", "% of it"): 100 * (_number(muscle["muscle_thickness"].value) / thickness - 1),
        ("fascicle angle, picture", "degrees"): _number(muscle["fascicle_angle"].value) - fascicles,
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value
