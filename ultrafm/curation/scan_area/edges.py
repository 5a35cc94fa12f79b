"""Straight sides of the coarse area, and where an edge lies in the full picture to the pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ultrafm.curation.scan_area.coarse import CoarseArea

ON_LINE = 1.6  # pixels of the coarse area; a point this close lies on the line
WIDEST, INWARD = 75.0, 10.0  # degrees from straight down: how far a side may lean outwards, and inwards
LEAST_ROWS = 6  # of the coarse area that a side must be seen on
SAME_SIDE = 4.0  # degrees; two candidates closer than this are one
RINGING = 0.15  # of the scan's brightness at its edge; compression may leave this much beside it
CANDIDATES = 2  # sides that are tried on each side


@dataclass(frozen=True)
class Outline:
    """The edge of the coarse area, as far as it lies inside the picture, in pixels of the coarse area.

    left, right: (n, 2) column and row of the first and last pixel of each row. upper, lower: of each column.
    corners: (n, 2) of the convex hull. filled: bool (h, w), the inside of the hull.
    """

    left: np.ndarray
    right: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    corners: np.ndarray
    filled: np.ndarray


@dataclass(frozen=True)
class Side:
    """A straight side in the coarse area: column = start + slope * row, with `rows` rows on it."""

    start: float
    slope: float
    rows: int

    @property
    def angle(self) -> float:
        """Degrees from straight down, positive to the right."""
        return math.degrees(math.atan(self.slope))


def outline_of(area: np.ndarray) -> Outline:
    """The edge of an area (bool) that is not empty."""
    height, width = area.shape
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    first, last = area.argmax(axis=1)[rows], width - 1 - area[:, ::-1].argmax(axis=1)[rows]
    top, bottom = area.argmax(axis=0)[columns], height - 1 - area[::-1].argmax(axis=0)[columns]
    left, right = np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)
    corners = cv2.convexHull(np.concatenate([left, right]).astype(np.int32))[:, 0]
    filled = np.zeros(area.shape, np.uint8)
    cv2.fillConvexPoly(filled, corners, 1)
    return Outline(
        left[first > 0], right[last < width - 1],
        np.stack([columns, top], axis=1)[top > 0], np.stack([columns, bottom], axis=1)[bottom < height - 1],
        corners, filled.view(bool),
    )  # fmt: skip


def find_sides(outline: Outline) -> tuple[list[Side], list[Side]]:
    """Straight sides that the left and the right edge may have, the likeliest first.

    A side in shadow lies further in than the true one, never further out: a side is a line that touches the convex
    hull, and likely when much of the area's edge lies on it.
    """
    flip = np.array([-1, 1])
    right = _left_sides(outline.right * flip, outline.corners * flip)
    return _left_sides(outline.left, outline.corners), [Side(-side.start, -side.slope, side.rows) for side in right]


def _left_sides(edge: np.ndarray, corners: np.ndarray) -> list[Side]:
    starts, slopes = _candidates(corners)
    if len(edge) < LEAST_ROWS or len(starts) == 0:
        return []
    columns, rows = edge.T
    away = columns - (starts[:, None] + slopes[:, None] * rows)
    near = np.abs(away) <= ON_LINE
    votes = near.sum(axis=1) - 2 * (away < -ON_LINE).sum(axis=1)
    angles = np.degrees(np.arctan(slopes))
    sides = []
    while len(sides) < CANDIDATES and votes.max() >= LEAST_ROWS:
        best = int(votes.argmax())
        sides.append(_line_through(columns[near[best]], rows[near[best]]))
        votes[np.abs(angles - angles[best]) <= SAME_SIDE] = 0
    return sides


def _candidates(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and slope of lines through corners of the hull that lie one, two or three apart."""
    pairs = [np.stack([corners, np.roll(corners, -apart, axis=0)]) for apart in (1, 2, 3)]
    (x0, y0), (x1, y1) = np.moveaxis(np.concatenate(pairs, axis=1).astype(float), -1, 1)
    tall = np.abs(y1 - y0) >= LEAST_ROWS / 2
    slopes = (x1 - x0)[tall] / (y1 - y0)[tall]
    starts = x0[tall] - slopes * y0[tall]
    side = (slopes >= -math.tan(math.radians(WIDEST))) & (slopes <= math.tan(math.radians(INWARD)))
    return starts[side], slopes[side]


def _line_through(columns: np.ndarray, rows: np.ndarray) -> Side:
    """The straight line through points by least squares."""
    middle = rows.mean()
    slope = float(((rows - middle) * columns).sum() / ((rows - middle) ** 2).sum())
    return Side(float(columns.mean()) - slope * float(middle), slope, len(rows))


def edge_along(
    grey: np.ndarray, coarse: CoarseArea, points: np.ndarray, outward: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far outwards of each point the edge of the scan lies in the full picture.

    `points` (n, 2) column and row on the expected edge, `outward` (n, 2) unit vectors, `reach` pixels to look on both
    sides. Returns offsets (n,) in pixels, positive outwards; which are found (n,): not in shadow and not where
    something already stands out at the far end, as text does; and which lie within the picture (n,).
    """
    height, width = grey.shape
    steps = np.arange(reach, -reach - 1, -1, dtype=np.float32)
    columns = np.rint(points[:, :1] + outward[:, :1] * steps).astype(np.int32)
    rows = np.rint(points[:, 1:] + outward[:, 1:] * steps).astype(np.int32)
    within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places = np.where(within, rows * width + columns, 0)
    scan = _stands_out(np.take(grey.reshape(-1), places), coarse) & within
    scan = scan[:, :-1] & scan[:, 1:]  # two in a row: a lone pixel is noise
    first = scan.argmax(axis=1)
    found = (first > 0) & within[np.arange(len(points)), first - 1]  # where the picture ends there is no edge
    return steps[first] + 0.5, found, within[:, reach]


def _stands_out(values: np.ndarray, coarse: CoarseArea) -> np.ndarray:
    """Which values (n, from outside to inside) uint8 belong to the scan: they differ from the background by more than
    the threshold and, where the scan is bright, by more than the ripple that compression leaves beside such an edge."""
    apart = cv2.absdiff(values, np.full_like(values, coarse.level)) if coarse.level else values
    inner = apart[:, apart.shape[1] // 2 :].mean(axis=1)
    return apart > np.maximum(coarse.threshold, RINGING * inner)[:, None]
