"""Tissue as the beams meet it, and the few strokes with which organs are drawn into it.

Levels are in decibels relative to ordinary parenchyma. The strokes change the tissue that they are given, as a brush
does; nothing outside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.phantom.grid import Grid

FLUID_DB = -46.0
SOFT_TISSUE_ATTENUATION = 0.5  # dB/cm/MHz, what a scanner's gain over depth assumes
BONE_ATTENUATION = 20.0
_TILE = 64  # a power of two, so that a bit mask wraps round


@dataclass
class Tissue:
    """Properties at each sample of each beam; all arrays (samples, lines) float32, `lesion` bool.

    echo_db: strength of scattering. attenuation: dB/cm/MHz. mirror: amplitude of smooth interfaces, 1 is the speckle's
    level at 0 dB. flow: m/s towards the probe. stiffness: times that of fat. perfusion: share of full contrast.
    """

    echo_db: np.ndarray
    attenuation: np.ndarray
    mirror: np.ndarray
    flow: np.ndarray
    stiffness: np.ndarray
    perfusion: np.ndarray
    lesion: np.ndarray


def blank_tissue(grid: Grid) -> Tissue:
    """Homogeneous soft tissue at 0 dB."""

    def full(value: float) -> np.ndarray:
        return np.full(grid.x.shape, value, np.float32)

    return Tissue(
        full(0), full(SOFT_TISSUE_ATTENUATION), full(0), full(0), full(2), full(0.25), np.zeros(grid.x.shape, bool)
    )


def soft(distance: np.ndarray, width: float) -> np.ndarray:
    """Weight 1 where `distance` is below 0, 0 above, with a ramp `width` wide."""
    return np.clip(0.5 - distance / width, 0, 1).astype(np.float32, copy=False)


def fill(
    tissue: Tissue, weight: np.ndarray, echo_db: float | np.ndarray | None = None, attenuation: float | None = None,
    flow: float | None = None, stiffness: float | None = None, perfusion: float | None = None,
) -> None:  # fmt: skip
    """Blend the given properties into the tissue with `weight` from 0 to 1."""
    named = {
        "echo_db": echo_db,
        "attenuation": attenuation,
        "flow": flow,
        "stiffness": stiffness,
        "perfusion": perfusion,
    }
    for name, value in named.items():
        if value is not None:
            field = getattr(tissue, name)
            field += weight * (value - field)


def fluid(tissue: Tissue, weight: np.ndarray, flow: float = 0.0, perfusion: float = 0.0) -> None:
    """Bile, urine, amniotic fluid or blood: almost no echo, almost no attenuation, so enhancement behind it."""
    fill(tissue, weight, FLUID_DB, 0.06, flow, 0.5, perfusion)


def bone(tissue: Tissue, weight: np.ndarray) -> None:
    """Bone, stone or gas: bright at its face, and a shadow behind."""
    fill(tissue, weight, 8.0, BONE_ATTENUATION, 0.0, 30.0, 0.0)


def reflect(tissue: Tissue, distance: np.ndarray, thickness: float, amplitude: float | np.ndarray) -> None:
    """A smooth interface where `distance` is 0, `thickness` thick, both in shares of the depth."""
    tissue.mirror += amplitude * np.exp(np.square(distance) * np.float32(-0.5 / thickness**2))


def oval(
    grid: Grid, x: float, y: float, radius_x: float, radius_y: float, turn: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the middle of an ellipse, 1 at its rim, and how squarely the beams meet the rim there (0 to 1)."""
    cosine, sine = math.cos(turn), math.sin(turn)
    right, down = grid.x - x, grid.y - y
    along, across = (cosine * right + sine * down) / radius_x, (cosine * down - sine * right) / radius_y
    distance = np.sqrt(along * along + across * across)
    facing = np.square(across / np.maximum(distance, 1e-3))
    return distance, facing


def wavy(grid: Grid, generator: np.random.Generator, level: float, amplitude: float) -> np.ndarray:
    """A gently undulating depth around `level`, at each sample's x; all in shares of the depth."""
    waves, phases = generator.uniform(2, 9, 3), generator.uniform(0, 2 * math.pi, 3)
    sizes = generator.normal(0, amplitude / math.sqrt(3), 3)
    across = grid.x[-1:, :]  # the lowest sample: layers follow the beams
    wave = sum(size * np.sin(number * across + phase) for size, number, phase in zip(sizes, waves, phases))
    return (level + wave).astype(np.float32)


def _between_grains(tile: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Linear interpolation in a tile that repeats without end."""
    row, column = np.floor(rows), np.floor(columns)
    down, right = rows - row, columns - column
    top, left = row.astype(np.int32) & (_TILE - 1), column.astype(np.int32) & (_TILE - 1)
    bottom, after = ((top + 1) & (_TILE - 1)) * _TILE, (left + 1) & (_TILE - 1)
    top *= _TILE
    grains = tile.ravel()
    upper = grains[top + left] * (1 - right) + grains[top + after] * right
    lower = grains[bottom + left] * (1 - right) + grains[bottom + after] * right
    return upper + down * (lower - upper)


def texture(grid: Grid, generator: np.random.Generator, size_x: float, size_y: float, turn: float = 0.0) -> np.ndarray:
    """Smooth random variation, mean 0 and deviation about 1, with grains of the given sizes, fixed in the body."""
    tile = generator.standard_normal((_TILE, _TILE), dtype=np.float32)
    cosine, sine = math.cos(turn), math.sin(turn)
    rows = (cosine * grid.y - sine * grid.x) / size_y
    columns = (cosine * grid.x + sine * grid.y) / size_x
    return 1.5 * _between_grains(tile, rows, columns)  # interpolation leaves 2/3 of the grains' deviation


def vessel(
    tissue: Tissue, grid: Grid, x: float, y: float, radius: float, speed: float = 0.0, wall: float = 3.0,
    stretch: float = 1.0, turn: float = 0.0,
) -> None:  # fmt: skip
    """A vessel, duct or cyst: dark inside, its wall bright where the beams meet it squarely."""
    distance, facing = oval(grid, x, y, radius * stretch, radius, turn)
    fluid(tissue, soft(distance - 1, 0.15), speed, perfusion=1.0 if speed else 0.0)
    reflect(tissue, (distance - 1.08) * radius, 0.006, wall * facing)


def tube(
    tissue: Tissue, grid: Grid, start: tuple[float, float], slope: float, bend: float, radius: float, speed: float,
    wall: float = 3.0, length: tuple[float, float] = (-2.0, 2.0),
) -> None:  # fmt: skip
    """A vessel seen lengthwise along y = start + slope x + bend x^2, thinning out towards two values of x."""
    right = grid.x - start[0]
    middle = start[1] + slope * right + bend * np.square(right)
    distance = np.abs(grid.y - middle) / math.hypot(1, slope)
    along = (grid.x - (length[0] + length[1]) / 2) / ((length[1] - length[0]) / 2)
    rest = np.maximum(1 - np.square(along), 0)
    from_wall = distance - radius * np.sqrt(rest)
    fluid(tissue, soft(from_wall + (rest == 0), 0.01), speed, perfusion=1.0 if speed else 0.0)
    reflect(tissue, from_wall - 0.006, 0.005, (rest > 0.05) * wall / (1 + 6 * slope**2))
