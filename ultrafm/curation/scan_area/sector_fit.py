"""A first sector from the coarse area: from its straight sides, mirrored where one is missing, or from an arc alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ultrafm.curation.scan_area.edges import ON_LINE, Outline, Side, find_sides
from ultrafm.geometry.pixels import SectorInPixels

ARC_STEP = 1.5  # pixels of the coarse area; radii this close belong to one arc
LEAST_ARC_POINTS = 10  # columns; fewer show no arc
LEAST_ARC = 0.2  # share of the columns that must agree on a radius
ON_EDGE, OUTSIDE = 1.5, 2.0  # pixels of the coarse area: on a first sector's edge, and clearly outside of it
UNEVEN = 0.01  # what a degree of difference between both sides costs, as a share of the outline's points
EMPTY = 0.5  # what the share of a first sector without scan costs; it may lie in shadow
GOOD_START = 0.75  # share of the outline's points; a first sector this good ends the search
POOR_START = 0.3  # a worse one makes the arcs be tried alone
LEAST_ROUND_POINTS, LEAST_ROUND = 40, 0.4  # columns that show an arc alone, and the share of them on one circle
ROUNDEST = 3.0  # largest radius of an arc alone, as a share of its width; a flatter one may be a straight line
NARROWEST = 20.0  # degrees between the sides; less is no fan


@dataclass(frozen=True)
class Start:
    """A first sector in pixels of the coarse area; `known` says which sides were seen, the others are mirror images."""

    sector: SectorInPixels
    known: tuple[bool, bool]
    score: float


def first_sector(outline: Outline) -> Start | None:
    """The sector that explains most of the outline, of all that its likely sides or, failing these, its arcs allow."""
    lefts, rights = find_sides(outline)
    pairs = [(left, right) for left in lefts for right in rights]
    best = None
    for left, right in [*pairs, *((left, None) for left in lefts), *((None, right) for right in rights)]:
        sector = _sector_from(outline, left or _mirrored(right, outline), right or _mirrored(left, outline))
        best = _better(best, sector, (left is not None, right is not None), outline)
        if best is not None and best.score >= GOOD_START:
            return best
    if best is None or best.score < POOR_START:
        for arc in (outline.upper, outline.lower):
            best = _better(best, _sector_on(outline, arc), (False, False), outline)
    return best


def _better(
    best: Start | None, sector: SectorInPixels | None, known: tuple[bool, bool], outline: Outline
) -> Start | None:
    """The better of two first sectors; the second may not exist."""
    if sector is None:
        return best
    score = _score(sector, outline)
    return Start(sector, known, score) if best is None or score > best.score else best


def _sector_on(outline: Outline, arc: np.ndarray) -> SectorInPixels | None:
    """The symmetric sector whose upper or lower edge is the circle on which most points of `arc` (n, 2) lie, and whose
    sides leave nothing out: for fans whose sides lie in shadow or outside the picture."""
    if len(arc) < LEAST_ROUND_POINTS:
        return None
    chosen = arc[np.linspace(0, len(arc) - 1, 9).astype(int)].astype(float)
    first, second, third = (chosen[list(numbers)] for numbers in zip(*combinations(range(9), 3)))
    columns, rows, radii = _circles(first, second, third)
    valid = (rows < arc[:, 1].min()) & (radii < ROUNDEST * np.ptp(arc[:, 0]))
    if not valid.any():
        return None
    away = np.abs(np.hypot(arc[:, 0] - columns[valid, None], arc[:, 1] - rows[valid, None]) - radii[valid, None])
    votes = np.count_nonzero(away <= ON_LINE, axis=1)
    best = np.flatnonzero(valid)[votes.argmax()]
    if votes.max() < LEAST_ROUND * len(arc):
        return None
    apex = (float(columns[best]), float(rows[best]))
    across, down = (outline.corners - np.array(apex)).T
    slope = float(np.abs(across / np.maximum(down, 1)).max())
    left, right = Side(apex[0] + slope * apex[1], -slope, 0), Side(apex[0] - slope * apex[1], slope, 0)
    return _sector_from(outline, left, right)


def _circles(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres' columns and rows, and radii, of the circles through three points each (n, 2); infinite for lines."""
    one, two = second - first, third - first
    twice = 2 * (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    twice = np.where(twice == 0, np.nan, twice)
    square_one, square_two = (one**2).sum(axis=1), (two**2).sum(axis=1)
    across = (two[:, 1] * square_one - one[:, 1] * square_two) / twice
    down = (one[:, 0] * square_two - two[:, 0] * square_one) / twice
    radii = np.hypot(across, down)
    return first[:, 0] + across, first[:, 1] + down, np.where(np.isnan(radii), np.inf, radii)


def _mirrored(side: Side, outline: Outline) -> Side:
    """The mirror image of a side, put where it touches the hull on the other side: most fans are symmetric, and near
    the skin the scan reaches both sides even where one lies in shadow further down."""
    starts = outline.corners[:, 0] + side.slope * outline.corners[:, 1]
    return Side(float(starts.min() if side.slope > 0 else starts.max()), -side.slope, 0)


def _sector_from(outline: Outline, left: Side, right: Side) -> SectorInPixels | None:
    """The sector between two sides; None when they do not meet above."""
    if right.angle - left.angle < NARROWEST:
        return None
    row = (left.start - right.start) / (right.slope - left.slope)
    apex, low, high = (left.start + left.slope * row, row), left.angle, right.angle
    nearest, farthest = _reach(outline, apex)
    inner = _arc_radius(_distances(_between(outline.upper, apex, low, high), apex), nearest, outer=False)
    outer = _arc_radius(_distances(_between(outline.lower, apex, low, high), apex), farthest, outer=True)
    return SectorInPixels(*apex, inner, outer, low, high) if 0 <= inner < outer else None


def _reach(outline: Outline, apex: tuple[float, float]) -> tuple[float, float]:
    """The radii about an apex between which the whole outline lies."""
    corners, upper = _distances(outline.corners, apex), _distances(outline.upper, apex)
    nearest = min(corners.min(), upper.min(initial=np.inf))
    if outline.filled[0].any() and apex[1] < 0:  # cut off by the picture: from there to the apex nothing is nearer
        nearest = min(nearest, -apex[1])
    return float(nearest), float(corners.max())


def _between(points: np.ndarray, apex: tuple[float, float], low: float, high: float) -> np.ndarray:
    """Those points (n, 2) that lie clearly between both sides, so on an arc rather than on a side."""
    across, down = points[:, 0] - apex[0], points[:, 1] - apex[1]
    inwards = np.inf
    for sign, angle in ((1, low), (-1, high)):
        sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        inwards = np.minimum(inwards, sign * (across * cosine - down * sine))
    return points[inwards > OUTSIDE]


def _distances(points: np.ndarray, apex: tuple[float, float]) -> np.ndarray:
    return np.hypot(points[:, 0] - apex[0], points[:, 1] - apex[1])


def _arc_radius(radii: np.ndarray, limit: float, *, outer: bool) -> float:
    """The radius on which most points of an edge lie, less those beyond it.

    Without one (the arc lies outside the picture or in shadow) `limit`, the radius that leaves nothing out.
    """
    if len(radii) < LEAST_ARC_POINTS:
        return limit
    values = np.sort(radii if not outer else -radii)
    ends = np.searchsorted(values, values + ARC_STEP, side="right")
    votes = ends - 3 * np.arange(len(values))  # those within a step, twice less those before it
    best = int(votes.argmax())
    if ends[best] - best < LEAST_ARC * len(values):
        return limit
    return float(abs(values[(best + ends[best]) // 2]))


def _score(sector: SectorInPixels, outline: Outline) -> float:
    """Share of the outline's points on the sector's edge, less those outside, its lean, and its share without scan."""
    on = outside = 0
    points = (outline.left, outline.right, outline.upper, outline.lower)
    for edge in points:
        across, down = edge[:, 0] - sector.apex_column, edge[:, 1] - sector.apex_row
        radius = np.hypot(across, down)
        beyond = np.maximum(sector.inner_radius - radius, radius - sector.outer_radius)
        for sign, angle in ((-1, sector.left_angle), (1, sector.right_angle)):
            sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
            beyond = np.maximum(beyond, sign * (across * cosine - down * sine))
        on += np.count_nonzero(np.abs(beyond) <= ON_EDGE)
        outside += np.count_nonzero(beyond > OUTSIDE)
    total = max(1, sum(map(len, points)))
    height, width = outline.filled.shape
    model = sector.inside(np.arange(0, width, 4), np.arange(0, height, 4))
    empty = np.count_nonzero(model & ~outline.filled[::4, ::4]) / max(1, np.count_nonzero(model))
    lean = abs(sector.left_angle + sector.right_angle)
    return float((on - 3 * outside) / total - UNEVEN * lean - EMPTY * empty)
