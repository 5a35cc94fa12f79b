"""Refining a sector in the full picture: apex, both radii and both sides together, on the edges that it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.curation.scan_area.coarse import CoarseArea
from ultrafm.curation.scan_area.edges import edge_along
from ultrafm.curation.scan_area.sector_fit import Start
from ultrafm.geometry.pixels import SectorInPixels

POINTS = 48  # places on each side and arc where the edge is looked for
NEAR_EDGE = 2.0  # pixels of the picture; an offset this small counts as seen
REACH, LIT, RINGS = 0.1, 0.7, 5  # of the outer radius; share of a ring's points; rings, half a pixel apart
LEAST_SEEN = 0.1  # share of an edge's points that must be seen before it pulls


@dataclass(frozen=True)
class FittedSector:
    """A sector in pixels of the picture with what speaks for it, for left side, right side, inner and outer arc.

    seen: share of the edge's points inside the picture at which the picture shows an edge, 0 to 1 (0 for a side that
    is the other's mirror image). visible: share of the edge's points inside the picture, 0 to 1.
    """

    sector: SectorInPixels
    seen: tuple[float, float, float, float]
    visible: tuple[float, float, float, float]


def refine(grey: np.ndarray, coarse: CoarseArea, start: Start) -> FittedSector | None:
    """The sector refined on the edges of the full picture.

    Gauss-Newton steps on six numbers with Tukey's weights (Beaton and Tukey 1974), so that shadows and text beside the
    scan do not pull. None when the steps run away.
    """
    numbers = _numbers(start.sector.scaled(coarse.factor))
    use = np.array([*start.known, True, True])
    for step, reach in enumerate((2 * coarse.factor + 4, 5, 5)):
        if step:
            numbers[2] = _face(grey, coarse, numbers)
        edges = _edges(numbers)
        offsets, found, _within = edge_along(grey, coarse, edges.points, edges.outward, reach)
        numbers = numbers + _step(edges, offsets, found.reshape(4, POINTS) & use[:, None], reach, numbers)
        if not (0 <= numbers[2] < numbers[3] and -1.55 < numbers[4] < numbers[5] < 1.55):
            return None
    edges = _edges(numbers)
    offsets, found, within = edge_along(grey, coarse, edges.points, edges.outward, 4)
    within = within.reshape(4, POINTS).sum(axis=1)
    near = (found & (np.abs(offsets) <= NEAR_EDGE)).reshape(4, POINTS).sum(axis=1) * use
    seen, visible = near / np.maximum(within, 1), within / POINTS
    return FittedSector(_sector(numbers), tuple(map(float, seen)), tuple(map(float, visible)))


def _face(grey: np.ndarray, coarse: CoarseArea, numbers: np.ndarray) -> float:
    """The inner radius, or that of the rings before it where they are lit.

    Between the lit tissue at the probe's face and the rest there can be a dark band, whose lower edge looks like the
    face. Writing above a fan does not fill rings; further away than REACH nothing is looked for.
    """
    column, row, inner, outer, left, right = numbers
    radii = np.arange(max(inner - REACH * outer, 1.0), inner - NEAR_EDGE, 0.5)
    angles = left + (np.arange(POINTS) + 0.5) / POINTS * (right - left)
    columns = np.rint(column + radii[:, None] * np.sin(angles)).astype(int)
    rows = np.rint(row + radii[:, None] * np.cos(angles)).astype(int)
    shown = (rows >= 0) & (rows < grey.shape[0]) & (columns >= 0) & (columns < grey.shape[1])
    values = grey[rows.clip(0, grey.shape[0] - 1), columns.clip(0, grey.shape[1] - 1)].astype(int)
    lit = (shown & (np.abs(values - coarse.level) > coarse.threshold)).mean(axis=1) >= LIT
    thick = np.flatnonzero(np.convolve(lit, np.ones(RINGS), "valid") == RINGS) if lit.size >= RINGS else []
    return float(radii[thick[0]]) if len(thick) else float(inner)


def _numbers(sector: SectorInPixels) -> np.ndarray:
    """Apex column and row, both radii, both angles in radians."""
    angles = np.radians([sector.left_angle, sector.right_angle])
    return np.array([sector.apex_column, sector.apex_row, sector.inner_radius, sector.outer_radius, *angles])


def _sector(numbers: np.ndarray) -> SectorInPixels:
    column, row, inner, outer = map(float, numbers[:4])
    left, right = map(float, np.degrees(numbers[4:]))
    return SectorInPixels(column, row, inner, outer, left, right)


@dataclass(frozen=True)
class _Edges:
    """Points on the left and right side, the inner and the outer arc (4 * POINTS of them), the directions outwards, and
    how far each moves outwards for a small change of each of the six numbers (4 * POINTS, 6)."""

    points: np.ndarray
    outward: np.ndarray
    slopes: np.ndarray


def _edges(numbers: np.ndarray) -> _Edges:
    column, row, inner, outer, left, right = numbers
    share = (np.arange(POINTS) + 0.5) / POINTS
    radii, angles = inner + share * (outer - inner), left + share * (right - left)
    radius = np.concatenate([radii, radii, np.full(POINTS, inner), np.full(POINTS, outer)])
    angle = np.concatenate([np.full(POINTS, left), np.full(POINTS, right), angles, angles])
    along = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    sides = 2 * POINTS
    sign = np.repeat([-1.0, 1.0, -1.0, 1.0], POINTS)[:, None]
    outward = sign * np.concatenate([across[:sides], along[sides:]])
    slopes = np.zeros((4, POINTS, 6))
    slopes[..., :2] = outward.reshape(4, POINTS, 2)
    slopes[0, :, 4], slopes[1, :, 5] = -radii, radii
    slopes[2, :, 2], slopes[3, :, 3] = -1, 1
    return _Edges((column, row) + radius[:, None] * along, outward, slopes.reshape(-1, 6))


def _step(edges: _Edges, offsets: np.ndarray, use: np.ndarray, reach: int, numbers: np.ndarray) -> np.ndarray:
    """One Gauss-Newton step. An edge that too few points show does not pull; both sides are drawn towards the same
    angle, a little when both are seen, firmly when one is in shadow."""
    weights = np.zeros((4, POINTS))
    scale = max(2.5, reach / 2)
    for edge, offset in enumerate(offsets.reshape(4, POINTS)):
        chosen = offset[use[edge]]
        if len(chosen) >= LEAST_SEEN * POINTS:
            away = (chosen - _common(chosen)) / scale
            weights[edge, use[edge]] = np.maximum(1 - away**2, 0) ** 2
    weight = weights.ravel()
    symmetry = numbers[3] * (0.3 if use[:2].any(axis=1).all() else 30.0)
    lean = np.array([0, 0, 0, 0, symmetry, symmetry])
    firm = 0.01 * np.array([1, 1, 1, 1, numbers[3] ** 2, numbers[3] ** 2])
    matrix = edges.slopes.T @ (edges.slopes * weight[:, None]) + np.outer(lean, lean) + np.diag(firm)
    return np.linalg.solve(matrix, edges.slopes.T @ (offsets * weight) - lean * symmetry * (numbers[4] + numbers[5]))


def _common(offsets: np.ndarray) -> float:
    """The offset near which most points lie."""
    values = np.sort(offsets)
    counts = values.searchsorted(values + 2, side="right") - np.arange(len(values))
    return float(values[counts.argmax()]) + 1.0
