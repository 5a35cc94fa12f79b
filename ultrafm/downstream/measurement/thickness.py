"""The thickness of a muscle between the masks of its two aponeuroses."""

from __future__ import annotations

import numpy as np

from ultrafm.downstream.measurement.measured import Measured, NoMeasure, Spacing, measures, unit_of
from ultrafm.downstream.measurement.outline import Outline, crossings, long_axis, outline_of, turned, turned_back
from ultrafm.errors import UltraFMError

PLACES, MARGIN = 9, 0.1  # where the thickness is read, and the share left out at both ends


def muscle_thickness(superficial: np.ndarray, deep: np.ndarray, spacing: Spacing = None) -> Measured:
    """Mean distance between the inner edges of two aponeuroses, in mm (pixels when the spacing is unknown).

    superficial, deep: masks (H, W) of one picture, the deep one farther from the top. The distance is taken at PLACES
    equally spaced places where both are seen (without MARGIN at both ends), at right angles to the muscle's course,
    the mean of both aponeuroses' directions.
    No number: an empty or line-thin mask, aponeuroses without a common stretch, one that crosses the other.
    Raises UltraFMError for masks of different sizes.
    """
    if np.shape(superficial) != np.shape(deep):
        found = f"{np.shape(superficial)} and {np.shape(deep)} pixels"
        raise UltraFMError("muscle thickness", found, "masks of the same picture")
    return _thickness(superficial, deep, spacing)


@measures("length")
def _thickness(superficial: np.ndarray, deep: np.ndarray, spacing: Spacing) -> Measured:
    upper = outline_of(superficial, "superficial aponeurosis", spacing)
    lower = outline_of(deep, "deep aponeurosis", spacing)
    direction = _course(upper, lower)
    top, bottom = turned(upper.points, direction), turned(lower.points, direction)
    start, end = max(top[:, 0].min(), bottom[:, 0].min()), min(top[:, 0].max(), bottom[:, 0].max())
    if end <= start:
        raise NoMeasure("the aponeuroses lie side by side, so there is nothing between them")
    margin = MARGIN * (end - start)
    places = np.linspace(start + margin, end - margin, PLACES)
    edges = np.array([(crossings(top, place)[-1], crossings(bottom, place)[0]) for place in places])
    gaps = edges[:, 1] - edges[:, 0]
    if (gaps <= 0).any():
        raise NoMeasure("the aponeuroses cross or touch, or the deep one is above the superficial one")
    lines = [turned_back(np.stack([[place, place], pair], axis=1), direction) for place, pair in zip(places, edges)]
    drawn = {f"thickness {number}": upper.drawn(line) for number, line in enumerate(lines, start=1)}
    notes = tuple(dict.fromkeys(note for note in upper.notes + lower.notes if "border" not in note))
    return Measured(float(gaps.mean()), unit_of("length", spacing), notes=notes, drawn=drawn)


def _course(upper: Outline, lower: Outline) -> np.ndarray:
    """Unit vector (2,) of the mean direction of both aponeuroses, pointing to the right."""
    first, second = (long_axis(outline.points)[1] for outline in (upper, lower))
    both = first + (second if first @ second >= 0 else -second)
    both = both / np.linalg.norm(both)
    return both if both[0] >= 0 else -both
