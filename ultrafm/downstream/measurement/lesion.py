"""The size of a lesion or of another structure: its longest diameter, the diameter across it, and its area."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.distance import pdist, squareform

from ultrafm.downstream.measurement.measured import Measured, Spacing, measures, unit_of
from ultrafm.downstream.measurement.outline import crossings, outline_of, turned, turned_back

PLACES = 200  # along the longest diameter, where the width is looked for


@measures("length")
def longest_diameter(mask: np.ndarray, spacing: Spacing = None) -> Measured:
    """The distance of the two points of the outline that are farthest apart, in mm (pixels when the spacing is unknown).

    mask: (H, W) of 0 and 1; the largest piece is measured. No number for an empty mask and for a line.
    """
    outline = outline_of(mask, "lesion", spacing)
    ends = _farthest(outline.points)
    length = float(np.linalg.norm(ends[1] - ends[0]))
    drawn = {"longest diameter": outline.drawn(ends)}
    return Measured(length, unit_of("length", spacing), notes=outline.notes, drawn=drawn)


@measures("length")
def perpendicular_diameter(mask: np.ndarray, spacing: Spacing = None) -> Measured:
    """The longest width at right angles to the longest diameter, as in two-diameter reports (WHO handbook 1979).

    A width goes from the first crossing of the outline to the last, over any bay between them. Else as
    `longest_diameter`.
    """
    outline = outline_of(mask, "lesion", spacing)
    ends = _farthest(outline.points)
    direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    points = turned(outline.points, direction)
    places = np.linspace(points[:, 0].min(), points[:, 0].max(), PLACES + 2)[1:-1]
    spans = [(place, found[0], found[-1]) for place in places if len(found := crossings(points, place))]
    place, top, bottom = max(spans, key=lambda span: span[2] - span[1])
    line = turned_back(np.array([[place, top], [place, bottom]]), direction)
    drawn = {"perpendicular diameter": outline.drawn(line)}
    return Measured(float(bottom - top), unit_of("length", spacing), notes=outline.notes, drawn=drawn)


@measures("area")
def area(mask: np.ndarray, spacing: Spacing = None) -> Measured:
    """The pixels of the largest piece times the area of one, in mm2 (pixels2 when the spacing is unknown)."""
    outline = outline_of(mask, "lesion", spacing)
    size = float(outline.pixels * outline.pixel.prod())
    drawn = {"outline": outline.drawn(outline.points)}
    return Measured(size, unit_of("area", spacing), notes=outline.notes, drawn=drawn)


def _farthest(points: np.ndarray) -> np.ndarray:
    """(2, 2) the two points that are farthest apart, from left to right; they lie on the convex hull."""
    hull = cv2.convexHull(points.astype(np.float32), returnPoints=False)[:, 0]
    corners = points[np.sort(hull)]
    pair = np.unravel_index(squareform(pdist(corners)).argmax(), (len(corners), len(corners)))
    ends = corners[list(pair)]
    return ends[np.lexsort(ends.T[::-1])]
