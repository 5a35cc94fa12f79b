"""Aponeuroses in a B-mode picture of a muscle: the brightest nearly horizontal bands above and below its middle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ultrafm.downstream.measurement.measured import NoMeasure

STEEPEST, STEP = 15.0, 0.5  # degrees from the horizontal that are tried
ALONG, ACROSS = 0.02, 0.012  # smoothing before bands are looked for, as shares of width and height
UPPER, LOWER = (0.05, 0.48), (0.5, 0.98)  # shares of the height between which each is looked for, in mid-picture
EDGE = 0.06  # share of the height within which a band's inner edge lies from its middle
LEAST_CONTRAST = 3.0  # a band's brightness against the median of all lines tried


@dataclass(frozen=True)
class Band:
    """A bright band: `middle` and `edge` (towards the muscle) are rows in the picture's middle column.

    angle: degrees from the horizontal, positive when it rises to the right.
    """

    middle: float
    edge: float
    angle: float

    def rows(self, columns: np.ndarray, width: int) -> np.ndarray:
        """Rows of the inner edge at these columns of a picture that is `width` wide."""
        return self.edge - np.tan(np.radians(self.angle)) * (np.asarray(columns) - (width - 1) / 2)


def find_aponeuroses(picture: np.ndarray) -> tuple[Band, Band]:
    """The superficial and the deep aponeurosis in a picture (H, W) of grey values, square pixels, skin at the top.

    For every slope the picture is sheared until bands of that slope lie flat, and the mean brightness of ridges is taken
    row by row (a Radon transform over few directions). In each half the brightest line wins; its inner edge is where
    the mean profile across it falls fastest. Raises NoMeasure when a half holds no band.
    """
    picture = np.asarray(picture, dtype=np.float32)
    height, width = picture.shape
    angles = np.arange(-STEEPEST, STEEPEST + STEP, STEP)
    smooth = cv2.GaussianBlur(picture, (0, 0), sigmaX=max(ALONG * width, 0.5), sigmaY=max(ACROSS * height, 0.5))
    ridges = np.maximum(0, -cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=1))
    strength = np.array([row_means(ridges, angle) for angle in angles])
    found = [_brightest(strength, angles, limits, name) for limits, name in ((UPPER, "upper"), (LOWER, "lower"))]
    reach = max(2, round(EDGE * height))
    fine = cv2.GaussianBlur(picture, (0, 0), max(ACROSS * height / 2, 0.5))
    upper, lower = (
        Band(float(row), row + side * _edge(row_means(fine, angle), row, side, reach), float(angle))
        for (row, angle), side in zip(found, (1, -1))
    )
    return upper, lower


def row_means(picture: np.ndarray, angle: float) -> np.ndarray:
    """(H,) mean along lines of one angle, by their row in the middle column; 0 where less than 80 % is in the picture."""
    height, width = picture.shape
    slope = -np.tan(np.radians(angle))
    shear = np.array([[1, 0, 0], [slope, 1, -slope * (width - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sums = cv2.warpAffine(picture, shear, (width, height), flags=flags).sum(axis=1)
    seen = cv2.warpAffine(np.ones_like(picture), shear, (width, height), flags=flags).sum(axis=1)
    return np.where(seen >= 0.8 * width, sums / np.maximum(seen, 1), 0)


def _brightest(strength: np.ndarray, angles: np.ndarray, limits: tuple[float, float], half: str) -> tuple[int, float]:
    """Row and angle of the strongest line, from (A, H) strengths, within these shares of the height."""
    height = strength.shape[1]
    start, end = (round(share * height) for share in limits)
    part = strength[:, start:end]
    place, row = np.unravel_index(part.argmax(), part.shape)
    if part.max() <= LEAST_CONTRAST * np.median(part) or part.max() <= 0:
        raise NoMeasure(f"no bright band in the {half} half of the picture")
    return start + int(row), float(angles[place])


def _edge(profile: np.ndarray, row: int, side: int, reach: int) -> float:
    """How far from `row`, towards `side` (1: down), the profile falls fastest, within `reach` rows."""
    rows = np.clip(row + side * np.arange(reach + 1), 0, len(profile) - 1)
    return float(np.argmax(-np.diff(profile[rows]))) + 0.5
