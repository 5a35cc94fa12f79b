"""The outline of a fan whose sides and arcs could not be fitted: convex, completed by its mirror image."""

from __future__ import annotations

import cv2
import numpy as np

from ultrafm.curation.scan_area.rectangle_fit import bounds


def outline_map(filled: np.ndarray, area: np.ndarray) -> np.ndarray:
    """The fan as bool (h, w), from its convex outline, filled, and the area itself."""
    return _without_lens(_both_sides(filled), area)


def _both_sides(outline: np.ndarray) -> np.ndarray:
    """The outline joined with its mirror image: a fan is symmetric, but one side may lie in shadow.

    The axis is the middle of the topmost tenth, where the skin is nearly always bright.
    """
    width = outline.shape[1]
    _left, top, _right, bottom = bounds(outline)
    skin = np.flatnonzero(outline[top : top + max(1, (bottom - top) // 10)].any(axis=0))
    there = skin[0] + skin[-1] - np.arange(width)  # column x mirrors to the sum minus x
    valid = (there >= 0) & (there < width)
    both = outline.copy()
    both[:, valid] |= outline[:, there[valid]]
    corners = cv2.convexHull(cv2.findNonZero(both.view(np.uint8)))
    filled = np.zeros(outline.shape, np.uint8)
    cv2.fillConvexPoly(filled, corners, 1)
    return filled.view(bool)


def _without_lens(outline: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Cut away what the convex outline adds above the probe's arc: a lens, at most a seventh of the height deep."""
    left, top, right, bottom = bounds(outline)
    height = bottom - top
    start = np.where(outline.any(axis=0), outline.argmax(axis=0), len(outline))
    first = np.where(area.any(axis=0), area.argmax(axis=0), 0)
    chord = np.flatnonzero(start <= top + height / 30)
    if len(chord) < 0.2 * (right - left):  # the tip of a phased sector has no lens
        return outline
    along = (np.arange(len(start)) - chord[0]) / max(1, chord[-1] - chord[0])
    deepest = height / 7 * 4 * along * (1 - along)  # below 0 outside the chord: nothing is cut there
    lens = np.where((first > start) & (first - start <= deepest + 1) & (deepest >= 0), first, start)
    return outline & (np.arange(len(outline))[:, None] >= lens[None, :])
