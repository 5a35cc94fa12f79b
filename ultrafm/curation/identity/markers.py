"""Telling calipers (upright and oblique crosses) by the shape of a blob."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ultrafm.curation.identity.ink import Blobs

SMALLEST, LARGEST = 5, 23  # pixels, of a caliper's sides
UNEQUAL = 2  # pixels that its sides may differ
FULL, CENTRED = 0.8, 0.2  # share of the side that an arm is long; of the side that arms cross off the middle
FILLED = 0.56  # share of its box that a cross fills at most
# Log odds (Blobs.looks) that a cross needs by the length of its shorter side in pixels: five pixels of speckle often
# look like a small cross, eleven hardly ever.
SIDES, LEAST_LOOKS = (6, 7, 11), (1.0, -2.5, -7.0)


def is_upright_cross(shape: np.ndarray) -> bool:
    """Is a blob (h, w) bool a plus sign: one row and one column full, both near the middle, the four corners empty?"""
    height, width = shape.shape
    rows, columns = shape.sum(axis=1), shape.sum(axis=0)
    full_rows, full_columns = np.flatnonzero(rows >= FULL * width), np.flatnonzero(columns >= FULL * height)
    if not (len(full_rows) and len(full_columns)):
        return False
    thickest = max(full_rows[-1] - full_rows[0], full_columns[-1] - full_columns[0]) + 1
    off = max(
        abs(full_rows[0] + full_rows[-1] + 1 - height) / (2 * height),
        abs(full_columns[0] + full_columns[-1] + 1 - width) / (2 * width),
    )
    arms = shape.copy()
    arms[full_rows[0] : full_rows[-1] + 1] = False
    arms[:, full_columns[0] : full_columns[-1] + 1] = False
    return bool(thickest <= max(2, 0.34 * min(height, width)) and off <= CENTRED and arms.sum() <= 0.12 * shape.size)


def is_oblique_cross(shape: np.ndarray) -> bool:
    """Is a blob (h, w) bool an x: both diagonals full, and little else?"""
    height, width = shape.shape
    if min(height, width) < 5:
        return False
    down, across = diagonal_of(height, width)
    enough = 0.9 * len(down)
    if min(np.count_nonzero(shape[down, across]), np.count_nonzero(shape[down, across[::-1]])) < enough:
        return False
    middles = (shape[0, width // 2], shape[-1, width // 2], shape[height // 2, 0], shape[height // 2, -1])
    return not any(middles)


@lru_cache(maxsize=512)
def diagonal_of(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels on the falling diagonal of a box; shared between callers, not to be changed."""
    steps = max(height, width)
    return tuple(np.linspace(0, side - 1, steps).round().astype(int) for side in (height, width))


def find_calipers(blobs: Blobs) -> np.ndarray:
    """The numbers of the blobs that are calipers."""
    width, height = blobs.widths, blobs.heights
    square = (np.minimum(width, height) >= SMALLEST) & (np.maximum(width, height) <= LARGEST)
    square &= (np.abs(width - height) <= UNEQUAL) & (blobs.area <= FILLED * width * height)
    square &= blobs.looks > np.interp(np.minimum(width, height), SIDES, LEAST_LOOKS)
    numbers = np.flatnonzero(square)
    numbers = numbers[_may_cross(blobs, numbers)]
    return np.array([number for number in numbers if _is_cross(_shape(blobs, number))], dtype=int)


def _may_cross(blobs: Blobs, numbers: np.ndarray) -> np.ndarray:
    """Which blobs have ink in the middle, and in hardly any or most of their corners; quicker than a look at all."""
    left, top, right, bottom = blobs.boxes[numbers].T
    ink = lambda row, column: blobs.labels[row, column] == blobs.names[numbers]  # noqa: E731
    middle = ink((top + bottom) // 2, (left + right) // 2) | ink((top + bottom - 1) // 2, (left + right - 1) // 2)
    corners = sum(ink(row, column).astype(int) for row in (top, bottom - 1) for column in (left, right - 1))
    return middle & (corners != 2)


def _shape(blobs: Blobs, number: int) -> np.ndarray:
    left, top, right, bottom = blobs.boxes[number]
    return blobs.labels[top:bottom, left:right] == blobs.names[number]


def _is_cross(shape: np.ndarray) -> bool:
    return is_upright_cross(shape) or is_oblique_cross(shape)
