"""Fitting an upright rectangle to the coarse area, to the pixel, and how straight its four edges are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.curation.scan_area.coarse import CoarseArea
from ultrafm.curation.scan_area.edges import edge_along

POINTS = 64  # places on each edge where it is looked for
BULGE = 0.15  # share of the rows or columns on which something beside the scan may touch it
LEAST_STRAIGHT = 0.4  # share of the rows or columns that must end at the same place
STRAIGHT = 1.5  # pixels of the picture; an offset this close to the common one counts as seen


@dataclass(frozen=True)
class FittedRectangle:
    """A rectangle in pixels of the picture with what speaks for it, for left, top, right and lower edge.

    box: left, top, right, bottom, right and bottom exclusive. seen: share of the edge's points at which the picture
    shows a straight edge, 0 to 1; 0 where the edge is that of the picture.
    """

    box: tuple[int, int, int, int]
    seen: tuple[float, float, float, float]


def fit_rectangle(grey: np.ndarray, coarse: CoarseArea, hull: np.ndarray) -> FittedRectangle:
    """The rectangle around a coarse area, refined in the full picture; `hull` (h, w) bool is its filled convex hull.

    Each edge is looked for at the hull's bounds and, as text that touches the area bulges the hull, also where most
    rows and columns of the area end; the straighter one is taken.
    """
    outermost = bounds(hull)
    common = tuple(map(_common_end, _ends(coarse.area), outermost))
    found = _refined(grey, coarse, outermost)
    if common == outermost:
        return found
    other = _refined(grey, coarse, common)
    better = [second > first for first, second in zip(found.seen, other.seen)]
    box = tuple(second if take else first for take, first, second in zip(better, found.box, other.box))
    return FittedRectangle(box, tuple(map(max, found.seen, other.seen)))


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the True pixels, right and bottom exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _ends(area: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the rows of an area (bool) begin, its columns begin, its rows end and its columns end (exclusive)."""
    rows, columns = area[area.any(axis=1)], area[:, area.any(axis=0)]
    height, width = area.shape
    return (
        rows.argmax(axis=1), columns.argmax(axis=0),
        width - rows[:, ::-1].argmax(axis=1), height - columns[::-1].argmax(axis=0),
    )  # fmt: skip


def _common_end(ends: np.ndarray, outermost: int) -> int:
    """The place at which many rows or columns end, but for the few that reach `outermost`; else `outermost` itself."""
    away = np.sort(np.abs(ends - outermost))
    place = away[int(BULGE * len(away))]
    straight = np.count_nonzero(np.abs(away - place) <= 1) >= LEAST_STRAIGHT * len(away)
    return outermost + int(np.sign(ends.mean() - outermost)) * int(place) if straight else outermost


def _refined(grey: np.ndarray, coarse: CoarseArea, box: tuple[int, int, int, int]) -> FittedRectangle:
    """The rectangle near `box` (in pixels of the coarse area), refined in the full picture."""
    height, width = grey.shape
    left, top, right, bottom = (side * coarse.factor for side in box)
    right, bottom = min(right, width), min(bottom, height)
    share = (np.arange(POINTS) + 0.5) / POINTS
    columns, rows = left + share * (right - left - 1), top + share * (bottom - top - 1)
    points = np.empty((4, POINTS, 2))
    points[0::2, :, 1], points[1::2, :, 0] = rows, columns
    points[:, :, 0][[0, 2]] = [[left], [right - 1]]
    points[:, :, 1][[1, 3]] = [[top], [bottom - 1]]
    outward = np.repeat([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]], POINTS, axis=0)
    reach = 2 * coarse.factor + 3
    offsets, found, _within = edge_along(grey, coarse, points.reshape(-1, 2), outward, reach)
    moves, seen = zip(*(map(_common, offsets.reshape(4, POINTS), found.reshape(4, POINTS))))
    refined = (left - moves[0], top - moves[1], right + moves[2], bottom + moves[3])
    return FittedRectangle(_inside_picture(refined, width, height), seen)


def _common(offsets: np.ndarray, found: np.ndarray) -> tuple[int, float]:
    """The offset in whole pixels that most points share (0 when few do), and the share of points that do."""
    values = np.sort(offsets[found])
    if len(values) == 0:
        return 0, 0.0
    counts = np.searchsorted(values, values + STRAIGHT, side="right") - np.arange(len(values))
    best = int(counts.argmax())
    seen = float(counts[best]) / len(offsets)
    move = float(values[best + counts[best] // 2]) - 0.5  # their median
    return (round(move) if seen >= 0.2 else 0), seen


def _inside_picture(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    left, top = max(box[0], 0), max(box[1], 0)
    return left, top, max(min(box[2], width), left + 1), max(min(box[3], height), top + 1)
