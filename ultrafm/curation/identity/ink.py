"""Bright blobs of a picture and how much each looks like ink that a scanner burnt in, rather than like tissue.

What a scanner draws has sharp edges in both directions. Tissue is blurred sideways by the width of the beam, so that
grey values of neighbouring columns differ little: the step from column to column is what tells ink from tissue best.
Where the beam runs sideways (endoscopes), it is the step from row to row; so the lesser of both counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

COARSE = 8  # pixels; the brightness of the surroundings is known on a grid this coarse
SURROUNDINGS = 5  # cells of that grid
SPREAD = 2.0  # mean deviations of the surroundings that ink is brighter than they are
LEAST_STEP, MOST_STEP = 40, 120  # grey values that ink is at least brighter, whatever the spread
STROKE = 7  # pixels; no stroke of a letter is as wide
TALLEST, WIDEST, LEAST_AREA = 44, 260, 3  # pixels, of a letter, of letters that touch, of a full stop
DOWN = 2.0  # so many times the step downwards, where that is less, counts in place of the step sideways
LEAST_FILLED = 0.1  # share of its box that a letter fills; a thin arc fills less
FULL_HEIGHT = 12  # pixels; a blob gains nothing from being taller
# Logistic regression on blobs of made letters (tests/curation/made_letters.py) against blobs of tissue: weights of
# log2 of the step sideways, of the contrast with the nearest darker surroundings, of height and width; and its offset.
WEIGHTS, OFFSET = np.array([1.4, 3.4, 3.3, -1.9]), -34.0
VIVID = (90, 0.5)  # largest channel; share of it that the smallest is below, of a strong colour
SAMPLED, FLOW = 4, 0.01  # every so many pixels are looked at; share of strong colour from which it is blood flow
INK_COLOUR, FLOW_COLOUR = 2.0, 5.0  # log odds that strong colour adds to ink, or takes away where blood flows


@dataclass(frozen=True)
class Blobs:
    """Bright blobs, one row each.

    boxes: int (n, 4), left, top, right, bottom, exclusive. area: pixels. looks: above 0 like ink, below 0 like tissue
    (log odds). hints: what their colour adds to that. level: mean grey value. labels, names: the blobs' numbers in the
    picture, int32 (H, W), and the number of each row.
    """

    boxes: np.ndarray
    area: np.ndarray
    looks: np.ndarray
    hints: np.ndarray
    level: np.ndarray
    labels: np.ndarray
    names: np.ndarray

    @property
    def widths(self) -> np.ndarray:
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def heights(self) -> np.ndarray:
        return self.boxes[:, 3] - self.boxes[:, 1]

    def take(self, rows: np.ndarray) -> Blobs:
        """Some of the blobs, by number or by bool."""
        taken = (column[rows] for column in (self.boxes, self.area, self.looks, self.hints, self.level))
        return Blobs(*taken, self.labels, self.names[rows])


def bright_spots(grey: np.ndarray) -> np.ndarray:
    """Pixels far brighter than their surroundings, 0 or 255, of a picture (H, W) uint8."""
    whole_height, whole_width = grey.shape
    below, right = -whole_height % COARSE, -whole_width % COARSE  # whole cells are averaged four times as fast
    grey = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE)
    height, width = grey.shape
    small = (width // COARSE, height // COARSE)
    cells = (SURROUNDINGS, SURROUNDINGS)
    around = cv2.blur(cv2.resize(grey, small, interpolation=cv2.INTER_AREA), cells)
    around = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    spread = cv2.resize(cv2.absdiff(grey, around), small, interpolation=cv2.INTER_AREA)
    step = np.clip(SPREAD * cv2.blur(spread, cells), LEAST_STEP, MOST_STEP).astype(np.uint8)
    step = cv2.resize(step, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.compare(grey, cv2.add(around, step), cv2.CMP_GT)[:whole_height, :whole_width]


def find_blobs(grey: np.ndarray, colour: np.ndarray | None = None) -> Blobs:
    """All bright blobs of a picture (H, W) uint8 that are no larger than letters; colour: (H, W, 3) uint8."""
    spots = np.ascontiguousarray(bright_spots(grey))
    count, labels = cv2.connectedComponentsWithAlgorithm(spots, 8, cv2.CV_32S, cv2.CCL_BOLELLI)
    where = np.flatnonzero(spots != 0)  # statistics of these few pixels cost less than of the picture
    name = labels.ravel()[where]
    boxes = _boxes(name, where, count, grey.shape[1])
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area = np.bincount(name, minlength=count)
    fits = (height <= TALLEST) & (width <= WIDEST) & (area >= np.maximum(LEAST_AREA, LEAST_FILLED * width * height))
    rows = np.flatnonzero(fits)
    background = cv2.morphologyEx(grey, cv2.MORPH_OPEN, np.ones((STROKE, STROKE), np.uint8))
    flat = grey.ravel()
    values = flat[where].astype(np.float32)
    mean = lambda of: np.bincount(name, of, count)[rows] / area[rows]  # noqa: E731
    across, down = mean(_steps(flat, where, 1)), mean(_steps(flat, where, grey.shape[1]))
    step, level = np.minimum(across, DOWN * down), mean(values)
    contrast = mean(values - background.ravel()[where])
    told = np.stack([step, contrast, np.minimum(height, FULL_HEIGHT)[rows], width[rows]])
    looks = WEIGHTS @ np.log2(np.maximum(told, 1)) + OFFSET
    hints = np.zeros(len(rows))
    if colour is not None:
        vivid = is_vivid(colour.reshape(-1, 3)[where])
        hints = _colour_says(colour) * (mean(vivid) > 0.5)
    return Blobs(boxes[rows], area[rows], looks, hints, level, labels, rows)


def is_vivid(colours: np.ndarray) -> np.ndarray:
    """Which colours (..., 3) uint8 are bright and strong, as yellow letters and Doppler are; a tint is weaker."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    return (most > VIVID[0]) & (least < VIVID[1] * most)


def _colour_says(colour: np.ndarray) -> float:
    """What it means for a blob to be vivid: ink, where hardly anything is; blood flow or stiffness, where much is."""
    share = is_vivid(colour[::SAMPLED, ::SAMPLED]).mean()
    return INK_COLOUR if share < FLOW else -FLOW_COLOUR


def _boxes(name: np.ndarray, where: np.ndarray, count: int, width: int) -> np.ndarray:
    """Boxes int (count, 4) of the blobs; name: the blob of each pixel, where: its place in the flat picture, rising."""
    row, column = np.divmod(where, width)
    boxes = np.zeros((count, 4), dtype=np.int64)
    boxes[name[::-1], 1], boxes[name, 3] = (
        row[::-1],
        row + 1,
    )  # places rise, so the first is the top, the last the bottom
    boxes[:, 0] = width
    np.minimum.at(boxes[:, 0], name, column)
    np.maximum.at(boxes[:, 2], name, column + 1)
    return boxes


def _steps(flat: np.ndarray, where: np.ndarray, distance: int) -> np.ndarray:
    """How far the grey values at some places of a flat picture are from those `distance` further on."""
    return np.abs(flat[where].astype(np.int16) - flat.take(where + distance, mode="clip"))
