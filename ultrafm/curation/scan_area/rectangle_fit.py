"""Fitting an upright rectangle to the coarse area, to the pixel, and how straight its four edges are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.curation.scan_area.coarse import CoarseArea
from ultrafm.curation.scan_area.edges import edge_along

POINTS = 64  # places on each edge where it is looked for
STRAIGHT = 1.5  # pixels of the picture; an offset this close to the common one counts as seen


@dataclass(frozen=True)
class FittedRectangle:
    """A rectangle in pixels of the picture with what speaks for it, for left, top, right and lower edge.

    box: left, top, right, bottom, right and bottom exclusive. seen: share of the edge's points at which the picture
    shows a straight edge, 0 to 1; 0 where the edge is that of the picture.
    """

    box: tuple[int, int, int, int]
    seen: tuple[float, float, float, float]


def fit_rectangle(grey: np.ndarray, coarse: CoarseArea, box: tuple[int, int, int, int]) -> FittedRectangle:
    """The rectangle near `box` (left, top, right, bottom in pixels of the coarse area), refined in the full picture."""
    height, width = grey.shape
    left, top, right, bottom = (side * coarse.factor for side in box)
    right, bottom = min(right, width), min(bottom, height)
    share = (np.arange(POINTS) + 0.5) / POINTS
    columns, rows = left + share * (right - left - 1), top + share * (bottom - top - 1)
    still = np.zeros(POINTS)
    points = np.concatenate([
        np.stack([still + left, rows], axis=1), np.stack([columns, still + top], axis=1),
        np.stack([still + right - 1, rows], axis=1), np.stack([columns, still + bottom - 1], axis=1),
    ])  # fmt: skip
    outward = np.repeat([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]], POINTS, axis=0)
    offsets, found, _within = edge_along(grey, coarse, points, outward, 2 * coarse.factor + 3)
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
    move = float(np.median(values[best : best + counts[best]])) - 0.5
    return (round(move) if seen >= 0.2 else 0), seen


def _inside_picture(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    left, top = max(box[0], 0), max(box[1], 0)
    return left, top, max(min(box[2], width), left + 1), max(min(box[3], height), top + 1)
