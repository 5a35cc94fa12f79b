"""The angle of progression: how far the fetal head has come down, from the masks of pubic symphysis and head.

Barbera and others, Ultrasound in Obstetrics and Gynecology 2009, 33:313; ISUOG practice guideline on intrapartum
ultrasound, same journal 2018, 52:128.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from ultrafm.downstream.measurement.measured import Measured, NoMeasure, Spacing, measures
from ultrafm.downstream.measurement.outline import Outline, long_axis, outline_of, turned, turned_back
from ultrafm.errors import UltraFMError

LEAST_ELONGATION = 1.3  # length against width, below which a symphysis has no long axis to speak of
STEEPEST = 80.0  # degrees; in a steeper symphysis left and right do not tell which end is the lower one


def angle_of_progression(
    symphysis: np.ndarray, head: np.ndarray, cranial: Literal["left", "right"] = "left", spacing: Spacing = None
) -> Measured:
    """The angle in degrees (0 to 360, in labour about 65 to 185) at the lower end of the symphysis.

    Between the ray along its long axis to its upper end and the tangent to the head; of the two tangents the one that
    touches the leading part of the skull, which is the farther from the symphysis.
    symphysis, head: masks (H, W) of one sagittal transperineal picture. cranial: the side of the picture towards the
    mother's head; the other end of the symphysis is the lower one. spacing matters only when pixels are not square.
    No number: masks empty or lines, a symphysis that is round or stands upright, its lower end inside the head.
    Notes: several pieces, masks that touch the border (the tangent may then lie outside the picture).
    Raises UltraFMError for masks of different sizes and another word than left and right.
    """
    if np.shape(symphysis) != np.shape(head):
        found = f"a symphysis of {np.shape(symphysis)} and a head of {np.shape(head)} pixels"
        raise UltraFMError("angle of progression", found, "masks of the same picture")
    if cranial not in ("left", "right"):
        raise UltraFMError("angle of progression, cranial", repr(cranial), "'left' or 'right'")
    return _angle(symphysis, head, cranial, spacing)


@measures("degrees")
def _angle(symphysis: np.ndarray, head: np.ndarray, cranial: str, spacing: Spacing) -> Measured:
    bone, skull = outline_of(symphysis, "symphysis", spacing), outline_of(head, "head", spacing)
    lower, upper = _ends(bone, cranial)
    touched, angle = _tangent(skull.points, lower, upper)
    drawn = {"symphysis": bone.drawn(np.stack([upper, lower])), "tangent": bone.drawn(np.stack([lower, touched]))}
    return Measured(angle, "degrees", notes=tuple(_named(bone, "symphysis") + _named(skull, "head")), drawn=drawn)


def _named(outline: Outline, what: str) -> list[str]:
    return [note if note.startswith(what) else f"{what} {note}" for note in outline.notes]


def _ends(bone: Outline, cranial: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end (2,) of a symphysis: where the long axis through its middle leaves it."""
    centre, direction, elongation = long_axis(bone.points)
    if elongation < LEAST_ELONGATION:
        raise NoMeasure(f"symphysis: {elongation:.2f} times as long as wide, no long axis can be told")
    steep = np.degrees(np.arctan2(abs(direction[1]), abs(direction[0])))
    if steep > STEEPEST:
        raise NoMeasure(f"symphysis: stands upright ({steep:.0f} degrees), its lower end cannot be told")
    along = turned(bone.points - centre, direction)[:, 0]
    ends = centre + turned_back(np.array([[along.min(), 0], [along.max(), 0]]), direction)
    left, right = ends[np.argsort(ends[:, 0])]
    return (right, left) if cranial == "left" else (left, right)


def _tangent(skull: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, float]:
    """Where the tangent from `lower` touches the head, and its angle in degrees from the ray to `upper`."""
    if cv2.pointPolygonTest(skull.astype(np.float32)[:, None], tuple(map(float, lower)), False) >= 0:
        raise NoMeasure("the lower end of the symphysis lies in or on the head, so there is no tangent")
    hull = cv2.convexHull(skull.astype(np.float32))[:, 0].astype(float)
    if cv2.pointPolygonTest(hull.astype(np.float32)[:, None], tuple(map(float, lower)), False) >= 0:
        raise NoMeasure("the lower end of the symphysis lies in a bay of the head, so there is no tangent")
    axis, middle = upper - lower, hull.mean(axis=0) - lower
    side = np.sign(axis[0] * middle[1] - axis[1] * middle[0]) or 1.0
    centre = _turn(axis, middle) * side
    angles = centre + np.array([_turn(middle, point - lower) for point in hull]) * side
    return hull[angles.argmax()], float(np.degrees(angles.max()))


def _turn(first: np.ndarray, second: np.ndarray) -> float:
    """Angle in radians, -pi to pi, by which `first` must turn to point along `second`."""
    return float(np.arctan2(first[0] * second[1] - first[1] * second[0], first @ second))
