"""The outline of a structure in a mask, with less than a pixel of error, and what can be read off it."""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import numpy as np
from scipy import ndimage

from ultrafm.downstream.measurement.measured import NoMeasure, Spacing, as_mask, pixel_size

FEWEST_PIXELS = 4  # fewer say nothing of a shape
# Standard deviation in pixels of the filter that takes the steps off an outline: with steps, the longest diameter is
# 0.7 pixels too long; a line two pixels wide survives it.
SMOOTHING, FRAME = 0.7, 4


@dataclass(frozen=True)
class Outline:
    """A closed curve around the largest piece of a mask.

    points: (K, 2) x to the right and y down, in mm (pixels when the spacing is unknown); the first is the last.
    cut: (K,) True where the border of the picture cuts the structure off. pixel: (2,) width and height of a pixel.
    pixels: how many the piece has. notes: "n pieces, ...", "touches the border of the picture".
    """

    points: np.ndarray
    cut: np.ndarray
    pixel: np.ndarray
    pixels: int
    notes: tuple[str, ...]

    def drawn(self, points: np.ndarray) -> np.ndarray:
        """Points (K, 2) in the outline's unit as (column, row) in pixels."""
        return np.asarray(points) / self.pixel


def outline_of(mask: np.ndarray, what: str, spacing: Spacing = None) -> Outline:
    """The outline of the largest piece of a mask (H, W) of 0 and 1; `what` names the structure in reasons.

    The curve runs half-way between the last pixel inside and the first outside, so that lengths are not a pixel short,
    and without the steps of the pixels.
    Holes are ignored. Raises NoMeasure for an empty mask, fewer than FEWEST_PIXELS pixels, and a line one pixel wide.
    """
    piece, notes = largest_piece(as_mask(mask, what), what)
    pixel = pixel_size(spacing)
    rows, columns = np.nonzero(piece)
    if len(rows) < FEWEST_PIXELS:
        raise NoMeasure(f"{what}: {len(rows)} pixels, at least {FEWEST_PIXELS} needed")
    if not ndimage.binary_erosion(piece, np.ones((2, 2))).any():
        raise NoMeasure(f"{what}: a line one pixel wide has no inside")
    padded = ndimage.gaussian_filter(np.pad(ndimage.binary_fill_holes(piece), FRAME).astype(float), SMOOTHING)
    points = max(contourpy.contour_generator(z=padded).lines(0.5), key=polygon_area) - FRAME
    ends = np.array(mask.shape[::-1]) - 1
    cut = ((points < 0) | (points > ends)).any(axis=1)
    notes += ("touches the border of the picture",) if cut.any() else ()
    return Outline(points * pixel, cut, pixel, len(rows), notes)


def largest_piece(mask: np.ndarray, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(H, W) bool of the largest connected piece (the first of equals), and a note when there are several.

    Raises NoMeasure for an empty mask.
    """
    numbered, count = ndimage.label(mask)
    if not count:
        raise NoMeasure(f"{what}: the mask is empty")
    sizes = np.bincount(numbered.ravel())[1:]
    notes = () if count == 1 else (f"{what}: {count} pieces, the largest is taken ({sizes.max() / sizes.sum():.0%})",)
    return numbered == sizes.argmax() + 1, notes


def polygon_area(points: np.ndarray) -> float:
    """Area inside a closed curve (K, 2), in the square of its unit."""
    x, y = (points - points[0]).T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2


def polygon_moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (2,) and covariance (2, 2) of the area inside a closed curve (K, 2), by Green's theorem."""
    origin = points.mean(axis=0)
    first, second = points[:-1] - origin, points[1:] - origin
    cross = first[:, 0] * second[:, 1] - second[:, 0] * first[:, 1]
    area = cross.sum() / 2
    centre = ((first + second) * cross[:, None]).sum(axis=0) / (6 * area)
    both = first + second
    squares = sum(np.einsum("k,ki,kj->ij", cross, part, part) for part in (first, second, both)) / (24 * area)
    return centre + origin, squares - np.outer(centre, centre)


def long_axis(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre (2,), unit vector (2,) of the direction in which the area is longest, and its length against the width."""
    centre, covariance = polygon_moments(points)
    spread, axes = np.linalg.eigh(covariance)
    return centre, axes[:, 1], float(np.sqrt(spread[1] / max(spread[0], np.finfo(float).tiny)))


def crossings(points: np.ndarray, place: float) -> np.ndarray:
    """Sorted y of the crossings of a closed curve (K, 2) with the vertical line x = `place`; empty beside the curve."""
    x, y = points[:, 0] - place, points[:, 1]
    first, second = x[:-1], x[1:]
    crossed = (first <= 0) != (second <= 0)
    share = first[crossed] / (first[crossed] - second[crossed])
    return np.sort(y[:-1][crossed] + share * (y[1:] - y[:-1])[crossed])


def turned(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Points (K, 2) in axes where `direction`, a unit vector (2,), points along x; `turned_back` undoes it."""
    along, across = direction, np.array([-direction[1], direction[0]])
    return points @ np.stack([along, across], axis=1)


def turned_back(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The inverse of `turned`."""
    return points @ np.stack([direction, np.array([-direction[1], direction[0]])])
