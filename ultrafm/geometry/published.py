"""What the published scan-mode conversion does to a picture, only to be shown beside ours; nothing else uses it.

Written anew from a description of its effect (section 7.4 of the project's notes on the paper): bending a rectangle
into a sector, it turns depth upside down and mirrors left and right, and stretches the result to the rectangle's size,
so that circles become ellipses. The way back takes the apex to be in the middle of the first row and the radius to be
the picture's height, whatever the picture shows. Neither is the inverse of the other. How large a canvas the published
code uses is not described; here it is the smallest that holds the sector.
"""

from __future__ import annotations

import cv2
import numpy as np

from ultrafm.geometry.pixels import SectorInPixels
from ultrafm.geometry.sectors import rectangle_to_sector, sector_to_rectangle

OPENING_DEGREES = 160.0  # between the sides; with INNER_PIXELS the published parameters
INNER_PIXELS = 120.0


def published_to_sector(
    rectangle: np.ndarray, opening_degrees: float = OPENING_DEGREES, inner_pixels: float = INNER_PIXELS
) -> np.ndarray:
    """A rectangle (H, W) uint8, skin in the first row, as the published code bends it; (H, W) uint8, 0 outside.

    The deepest row lies on the inner arc and the skin on the outer one; the left beam is on the right.
    `opening_degrees` above 0 and below 180.
    """
    height, width = rectangle.shape
    half = opening_degrees / 2
    outer = inner_pixels + height
    side, top = outer * np.sin(np.radians(half)), inner_pixels * np.cos(np.radians(half))
    sector = SectorInPixels(float(side), -float(top), inner_pixels, outer, -half, half)
    turned = np.ascontiguousarray(rectangle[::-1, ::-1])
    canvas = rectangle_to_sector(turned, sector, round(outer - top) + 1, round(2 * side) + 1)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_LINEAR)


def published_to_rectangle(picture: np.ndarray, opening_degrees: float = OPENING_DEGREES) -> np.ndarray:
    """A picture (H, W) uint8 as the published code straightens it: apex in the middle of the first row, radius H."""
    height, width = picture.shape
    sector = SectorInPixels(width / 2, 0.0, 0.0, float(height - 1), -opening_degrees / 2, opening_degrees / 2)
    return sector_to_rectangle(picture, sector, height, width)
