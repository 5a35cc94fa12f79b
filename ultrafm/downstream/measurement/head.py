"""The fetal head: an ellipse through its outline, and circumference and diameters from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ultrafm.downstream.measurement.measured import Measured, NoMeasure, Spacing, measures, unit_of
from ultrafm.downstream.measurement.outline import Outline, outline_of, turned
from ultrafm.errors import UltraFMError, nearest

FEWEST_POINTS, LEAST_SEEN = 12, 0.5  # of an outline, so that an ellipse can be told from it
HEAD_MEASURES = ("head_circumference", "biparietal_diameter", "occipitofrontal_diameter")


@dataclass(frozen=True)
class Ellipse:
    """centre: (2,) x, y. semi_axes: (2,), the longer first. direction: (2,) unit vector of the longer axis."""

    centre: np.ndarray
    semi_axes: np.ndarray
    direction: np.ndarray

    def points(self, count: int = 200) -> np.ndarray:
        """(count, 2) points around the ellipse."""
        turn = np.linspace(0, 2 * np.pi, count)
        across = np.array([-self.direction[1], self.direction[0]])
        along = self.semi_axes[0] * np.cos(turn)[:, None] * self.direction
        return self.centre + along + self.semi_axes[1] * np.sin(turn)[:, None] * across


def fit_ellipse(outline: Outline) -> Ellipse:
    """The ellipse nearest to an outline, by direct least squares (Fitzgibbon, Pilu, Fisher, IEEE PAMI 1999, 21:476).

    Parts that the border of the picture cuts off take no part. Raises NoMeasure when fewer than FEWEST_POINTS points,
    or less than LEAST_SEEN of the ellipse, are seen.
    """
    seen = outline.points[~outline.cut]
    if len(seen) < FEWEST_POINTS:
        raise NoMeasure(f"{len(seen)} points of the outline are seen, an ellipse needs {FEWEST_POINTS}")
    middle, scale = seen.mean(axis=0), seen.std()
    centre, widths, angle = cv2.fitEllipseDirect(((seen - middle) / scale).astype(np.float32)[:, None])
    turn = math.radians(angle if widths[0] >= widths[1] else angle + 90)
    axes = np.sort(np.array(widths) / 2 * scale)[::-1]
    if not (np.isfinite(axes).all() and axes[1] > 0):
        raise NoMeasure("no ellipse fits the outline")
    found = Ellipse(np.array(centre) * scale + middle, axes, np.array([math.cos(turn), math.sin(turn)]))
    if _seen_share(found, seen) < LEAST_SEEN:
        raise NoMeasure(f"less than {LEAST_SEEN:.0%} of the ellipse lies in the picture")
    return found


def _seen_share(ellipse: Ellipse, seen: np.ndarray, parts: int = 36) -> float:
    """Share of `parts` equal angles around the centre in which points were seen."""
    x, y = turned(seen - ellipse.centre, ellipse.direction).T
    turn = np.arctan2(y / ellipse.semi_axes[1], x / ellipse.semi_axes[0])
    return len(np.unique(np.floor((turn + np.pi) / (2 * np.pi) * parts).clip(0, parts - 1))) / parts


def ellipse_circumference(longer: float, shorter: float) -> float:
    """Circumference from the semi-axes; Ramanujan's second formula (1914), within 0.04 % for every ellipse.

    Within 1e-9 of the exact elliptic integral for the shapes of heads.
    """
    h = ((longer - shorter) / (longer + shorter)) ** 2
    return math.pi * (longer + shorter) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def head_measure(mask: np.ndarray, quantity: str = "head_circumference", spacing: Spacing = None) -> Measured:
    """One of HEAD_MEASURES from the mask (H, W) of a head, in mm (pixels when the spacing is unknown).

    An ellipse is fitted to the outline: the circumference is the ellipse's, the biparietal diameter its shorter axis
    and the occipitofrontal diameter its longer one, all from outer edge to outer edge of the mask (ISUOG 2019 allows
    this for the circumference; outer to inner biparietal diameters are shorter by the bone).
    A head that the border cuts is fitted on what is seen, with a note. Error against drawn ellipses: see `outline_of`.
    """
    if quantity not in HEAD_MEASURES:
        known = ", ".join(HEAD_MEASURES)
        raise UltraFMError("measure of a head", repr(quantity), f"one of {known}{nearest(quantity, HEAD_MEASURES)}")
    return _head_measure(mask, quantity, spacing)


@measures("length")
def _head_measure(mask: np.ndarray, quantity: str, spacing: Spacing) -> Measured:
    outline = outline_of(mask, "head", spacing)
    ellipse = fit_ellipse(outline)
    longer, shorter = (float(axis) for axis in ellipse.semi_axes)
    along = ellipse.direction * longer
    across = np.array([-ellipse.direction[1], ellipse.direction[0]]) * shorter
    values = (ellipse_circumference(longer, shorter), 2 * shorter, 2 * longer)
    lines = (ellipse.points(), *(np.stack([ellipse.centre - half, ellipse.centre + half]) for half in (across, along)))
    place = HEAD_MEASURES.index(quantity)
    drawn = {quantity: outline.drawn(lines[place])}
    return Measured(values[place], unit_of("length", spacing), notes=outline.notes, drawn=drawn)
