"""Brightness that tells nothing of the disease: a picture gets the grey values of bodies without a lesion.

A scanner's automatic optimisation does the like: it sets gain and grey map so that every picture is as bright as the
operator is used to. Here the grey values come from pictures of the same organ and device, drawn without regard to the
label; their order in the picture stays. So no classifier of grey values alone can tell disease from health, while forms
are as they were. Where many pixels are black alike, their new order is left to chance and looks like a scanner's noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ultrafm.geometry import Geometry, to_picture

REFERENCES = 6  # bodies whose grey values the pictures of an organ and device take
STEPS = 512  # quantiles of a curve
LEVELS = 4096
BRIGHTER = 0.08  # deviation of the curve's exponent from picture to picture


@lru_cache(maxsize=64)
def scan_area(geometry: Geometry, height: int, width: int) -> np.ndarray:
    """(height, width) bool: what of a picture the scan fills."""
    return to_picture(np.zeros((2, 2), np.float32), geometry, height, width)[1]


def curve_of(picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(STEPS,) grey values from 0 to 1 at even shares of the scan's pixels, from the darkest to the brightest."""
    return np.quantile(picture[inside], np.linspace(0, 1, STEPS)).astype(np.float32)


def draw_curve(curves: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """A curve between two of those given, a little brighter or darker."""
    one, other = generator.choice(len(curves), 2, replace=False)
    share = generator.random()
    return (share * curves[one] + (1 - share) * curves[other]) ** math.exp(generator.normal(0, BRIGHTER))


def with_curve(
    picture: np.ndarray, inside: np.ndarray, curve: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The picture with the grey values of `curve` inside, in the same order; equal ones are parted by chance.

    `inside` is what of the scan no writing hides. Parted, because many equal ones, as in black fluid, would else keep
    their number and with it tell what fills it.
    """
    levels = (picture[inside] * (LEVELS - 1)).astype(np.int32)
    counts = np.bincount(levels, minlength=LEVELS)
    before = np.cumsum(counts) - counts
    ranks = before[levels] + counts[levels] * generator.random(levels.size, dtype=np.float32)
    fine = np.interp(np.linspace(0, 1, LEVELS), np.linspace(0, 1, STEPS), curve).astype(np.float32)
    toned = picture.copy()
    toned[inside] = fine[(ranks * ((LEVELS - 1) / levels.size)).astype(np.int32)]
    return toned
