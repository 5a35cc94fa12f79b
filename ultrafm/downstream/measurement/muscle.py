"""A muscle's thickness and the angle of its fascicles, read off a B-mode picture without learning.

The idea is TimTrack's (van der Zee and Kuo, PLOS ONE 2022): aponeuroses first, then the direction of the lines between
them. The method is our own: both steps look for the direction along which mean brightness is most uneven from line to
line (a Radon transform). Constants were chosen on drawn stripes and on pictures of the gastrocnemius; see the README.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ultrafm.downstream.measurement.aponeuroses import Band, find_aponeuroses
from ultrafm.downstream.measurement.measured import Measured, NoMeasure
from ultrafm.errors import UltraFMError

MUSCLE_MEASURES = {"muscle_thickness": "pixels", "fascicle_angle": "degrees", "aponeurosis_angle": "degrees"}
SMALLEST = 32  # pixels; smaller pictures show no fascicles
WORKING_HEIGHT = 240  # pixels; larger pictures are averaged down before fascicles are looked for
BACKGROUND = 0.04  # share of the height: coarser differences of brightness are no fascicles
MARGIN = 0.12  # share of the thickness that is left out along both aponeuroses
FLATTEST, STEEPEST, STEP = 6.0, 45.0, 1.0  # degrees between fascicles and superficial aponeurosis that are tried
LEAST_CONTRAST = 1.5  # of the best direction against the median one
SHORTEST = 0.1  # share of the width: shorter lines through the muscle do not count


@dataclass(frozen=True)
class Muscle:
    """What was found in a picture: both aponeuroses, and the fascicles' angle or the reason why there is none.

    angles in degrees from the horizontal, positive when it rises to the right.
    """

    superficial: Band
    deep: Band
    fascicles: float | None
    reason: str | None = None


def find_muscle(picture: np.ndarray) -> Muscle:
    """The muscle in a picture (H, W) of grey values 0 to 255: scan area only, square pixels, skin at the top.

    Raises NoMeasure when an aponeurosis is not found or one crosses the other, UltraFMError for another shape.
    """
    picture = np.asarray(picture)
    if picture.ndim != 2 or min(picture.shape) < SMALLEST:
        expected = f"one grey picture (height, width) of at least {SMALLEST} pixels each way"
        raise UltraFMError("picture of a muscle", f"shape {picture.shape}", expected)
    superficial, deep = find_aponeuroses(picture)
    width = picture.shape[1]
    columns = np.arange(width)
    if (deep.rows(columns, width) - superficial.rows(columns, width)).min() <= 0:
        raise NoMeasure("the aponeuroses cross in the picture")
    try:
        return Muscle(superficial, deep, fascicle_angle(picture, superficial, deep))
    except NoMeasure as reason:
        return Muscle(superficial, deep, None, str(reason))


def measure_muscle(picture: np.ndarray) -> dict[str, Measured]:
    """Each of MUSCLE_MEASURES from a picture as `find_muscle` takes it.

    muscle_thickness: pixels between the inner edges in the middle column, at right angles to the mean direction of
    both aponeuroses. fascicle_angle and aponeurosis_angle (of the superficial one): degrees from the horizontal,
    positive when they rise to the right; their difference is the pennation angle.
    """
    try:
        found = find_muscle(picture)
    except NoMeasure as reason:
        return {name: Measured(None, unit, str(reason)) for name, unit in MUSCLE_MEASURES.items()}
    width = picture.shape[1]
    ends = np.array([0, width - 1])
    edges = {
        name: np.stack([ends, band.rows(ends, width)], axis=1)
        for name, band in (("superficial aponeurosis", found.superficial), ("deep aponeurosis", found.deep))
    }
    middle = (found.superficial.edge + found.deep.edge) / 2
    thickness = thickness_between(found.superficial, found.deep)
    drawn = edges | {"fascicles": _through(((width - 1) / 2, middle), found.fascicles or 0.0, width / 4)}
    values = (thickness, found.fascicles, found.superficial.angle)
    reasons = (None, found.reason, None)
    return {
        name: Measured(value, unit, reason, drawn=drawn if value is not None else {})
        for (name, unit), value, reason in zip(MUSCLE_MEASURES.items(), values, reasons)
    }


def thickness_between(superficial: Band, deep: Band) -> float:
    """Distance of the inner edges in the middle column, at right angles to the mean of both directions."""
    return (deep.edge - superficial.edge) * float(np.cos(np.radians((superficial.angle + deep.angle) / 2)))


def _through(place: tuple[float, float], angle: float, reach: float) -> np.ndarray:
    """(2, 2) ends (column, row) of a line through a place, `reach` pixels long on both sides."""
    turn = np.radians(angle)
    half = reach * np.array([np.cos(turn), -np.sin(turn)])
    return np.stack([np.array(place) - half, np.array(place) + half])


def fascicle_angle(picture: np.ndarray, superficial: Band, deep: Band) -> float:
    """The direction between the aponeuroses along which brightness differs most from line to line, in degrees.

    Directions FLATTEST to STEEPEST off the superficial aponeurosis, on both sides of it, are tried in steps; a parabola
    through the best and its neighbours gives the rest. Raises NoMeasure when no direction stands out.
    """
    grey, inside = _belly(np.asarray(picture, dtype=np.float32), superficial, deep)
    away = np.arange(FLATTEST, STEEPEST + STEP, STEP)
    sides = [superficial.angle + sign * away for sign in (1, -1)]
    power = [np.array([unevenness(grey, inside, angle) for angle in angles]) for angles in sides]
    side = int(power[1].max() > power[0].max())
    best = int(power[side].argmax())
    usual = float(np.median(np.concatenate(power)))
    if not power[side][best] > LEAST_CONTRAST * usual:
        raise NoMeasure("no direction of fascicles stands out")
    step = sides[side][1] - sides[side][0]
    return float(sides[side][best] + step * _vertex(power[side], best))


def _belly(picture: np.ndarray, superficial: Band, deep: Band) -> tuple[np.ndarray, np.ndarray]:
    """Fine structure between the aponeuroses, with even contrast, 0 outside; and (H, W) float32 1 inside, else 0."""
    height, width = picture.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    top, bottom = superficial.rows(columns, width), deep.rows(columns, width)
    margin = MARGIN * (bottom - top)
    inside = ((rows > top + margin) & (rows < bottom - margin)).astype(np.float32)
    scale = min(1.0, WORKING_HEIGHT / height)
    size = (round(width * scale), round(height * scale))
    picture, inside = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (picture, inside))
    inside = (inside > 0.5).astype(np.float32)
    coarse = BACKGROUND * size[1]
    fine = picture - cv2.GaussianBlur(picture, (0, 0), coarse)
    contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * coarse))
    return inside * fine / (contrast + 1), inside


def unevenness(grey: np.ndarray, inside: np.ndarray, angle: float) -> float:
    """Mean square of the mean brightness of lines at `angle` degrees, each weighted by its length inside.

    grey: (H, W) around 0, and 0 outside `inside` (H, W). Lines shorter than SHORTEST of the width do not count.
    """
    height, width = grey.shape
    side = int(np.hypot(height, width)) + 1
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    sums, lengths = (cv2.warpAffine(part, turn, (side, side)).sum(axis=1) for part in (grey, inside))
    counts = lengths > SHORTEST * width
    if not counts.any():
        return 0.0
    return float((sums[counts] ** 2 / lengths[counts]).sum() / lengths[counts].sum())


def _vertex(values: np.ndarray, best: int) -> float:
    """Where the parabola through a maximum and its two neighbours peaks, -0.5 to 0.5 steps from it."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, here, after = values[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
