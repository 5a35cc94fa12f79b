"""Telling calipers (upright and oblique crosses) by the shape of a blob."""

from __future__ import annotations

import numpy as np

from ultrafm.curation.identity.ink import Blobs

SMALLEST, LARGEST = 5, 23  # pixels, of a caliper's sides
UNEQUAL = 2  # pixels that its sides may differ
FULL, CENTRED = 0.8, 0.2  # share of the side that an arm is long; of the side that arms cross off the middle
LEAST_LOOKS = -9.0  # log odds; the shape tells more


def is_upright_cross(shape: np.ndarray) -> bool:
    """Is a blob (h, w) bool a plus sign: one row and one column full, both near the middle, the four corners empty?"""
    height, width = shape.shape
    rows, columns = shape.sum(axis=1), shape.sum(axis=0)
    full_rows, full_columns = np.flatnonzero(rows >= FULL * width), np.flatnonzero(columns >= FULL * height)
    if not (len(full_rows) and len(full_columns)):
        return False
    thick = max(np.ptp(full_rows) + 1, np.ptp(full_columns) + 1) > max(2, 0.34 * min(height, width))
    off = max(abs(full_rows.mean() - (height - 1) / 2) / height, abs(full_columns.mean() - (width - 1) / 2) / width)
    arms = shape.copy()
    arms[full_rows[0] : full_rows[-1] + 1] = False
    arms[:, full_columns[0] : full_columns[-1] + 1] = False
    return not thick and off <= CENTRED and arms.sum() <= 0.12 * shape.size


def is_oblique_cross(shape: np.ndarray) -> bool:
    """Is a blob (h, w) bool an x: both diagonals full, and little else?"""
    height, width = shape.shape
    if min(height, width) < 5:
        return False
    down = np.linspace(0, height - 1, max(height, width)).round().astype(int)
    across = np.linspace(0, width - 1, max(height, width)).round().astype(int)
    diagonals = min(shape[down, across].mean(), shape[down, across[::-1]].mean())
    middles = np.array([shape[0, width // 2], shape[-1, width // 2], shape[height // 2, 0], shape[height // 2, -1]])
    return bool(diagonals >= 0.9 and not middles.any() and shape.mean() <= 0.55)


def find_calipers(blobs: Blobs) -> np.ndarray:
    """The numbers of the blobs that are calipers."""
    width, height = blobs.widths, blobs.heights
    square = (np.minimum(width, height) >= SMALLEST) & (np.maximum(width, height) <= LARGEST)
    square &= (np.abs(width - height) <= UNEQUAL) & (blobs.looks > LEAST_LOOKS)
    found = []
    for number in np.flatnonzero(square):
        left, top, right, bottom = blobs.boxes[number]
        shape = blobs.labels[top:bottom, left:right] == blobs.names[number]
        if is_upright_cross(shape) or is_oblique_cross(shape):
            found.append(number)
    return np.array(found, dtype=int)
