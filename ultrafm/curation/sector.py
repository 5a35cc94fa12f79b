"""Finding the scan area: the part of a picture that the probe made, without text, scales, logos and empty border.

The area is found on a reduced picture, which keeps it to a few milliseconds; a rectangle or a sector is then fitted to
it and refined on the edges of the full picture. Where neither fits, the area's outline is kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ultrafm.curation.scan_area.coarse import CoarseArea, coarse_areas
from ultrafm.curation.scan_area.edges import Outline, outline_of
from ultrafm.curation.scan_area.fallback import outline_map
from ultrafm.curation.scan_area.rectangle_fit import FittedRectangle, bounds, fit_rectangle
from ultrafm.curation.scan_area.sector_fit import NARROWEST, first_sector
from ultrafm.curation.scan_area.sector_refine import NEAR_EDGE, FittedSector, refine
from ultrafm.geometry.pixels import SectorInPixels

RECTANGLE_FILL = 0.93  # share of its box that a rectangle's outline fills; a fan fills less
LEAST_CONFIDENCE = 0.25  # below it the scan mode is unknown
ARC_SEEN = 0.2  # share of the inner arc's points at which it must be seen to count as an arc
CUT = 0.4  # share of a straight edge that must be seen for a fan to count as cut off there
SURE = 0.5  # confidence at which the search ends
LEFT_OUT = 0.04  # share of the area that a fitted sector may leave out
POINTED, BLUNT = 0.1, 0.25  # inner radius as a share of the outer: less is a phased array; more is no phased array
SIDE, ARC, EDGE, LOWER_EDGE = 0.45, 0.45, 0.5, 0.2  # how far one edge alone convinces, 0 to 1


@dataclass(frozen=True)
class ScanArea:
    """The scan area of one picture.

    box: left, top, right, bottom in pixels of the picture, right and bottom exclusive.
    inside: bool, a coarse map of the box (its own resolution), True inside the scan area.
    kind: "rectangle", "sector", or "whole" when no border was found and all of the picture is kept.
    confidence: how much speaks for the scan mode, 0 to 1.
    scan_mode: "linear", "convex", "phased sector" or "unknown".
    geometry: a sector in pixels of the picture, None when there is none or it could not be fitted.
    """

    box: tuple[int, int, int, int]
    inside: np.ndarray
    kind: str
    confidence: float = 0.0
    scan_mode: str = "unknown"
    geometry: SectorInPixels | None = None

    @property
    def width(self) -> int:
        """Pixels of the box from left to right."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        """Pixels of the box from top to bottom."""
        return self.box[3] - self.box[1]

    def inside_at(self, width: int, height: int) -> np.ndarray:
        """The map of the box as bool (height, width), from the geometry where there is one."""
        if self.geometry is None:
            return np.asarray(Image.fromarray(self.inside).resize((width, height), Image.Resampling.NEAREST))
        columns = self.box[0] + (np.arange(width) + 0.5) * (self.width / width) - 0.5
        rows = self.box[1] + (np.arange(height) + 0.5) * (self.height / height) - 0.5
        return self.geometry.inside(columns, rows)


def find_scan_area(grey: np.ndarray) -> ScanArea:
    """The scan area of a grey picture (H, W) uint8; the whole picture when nothing darker surrounds it."""
    height, width = grey.shape
    best = None
    for coarse in coarse_areas(grey):
        area, is_complete = _area_of(grey, coarse)
        if best is None or area.confidence >= best.confidence:
            best = area
        if is_complete and area.confidence >= SURE:
            break
    return best or ScanArea((0, 0, width, height), _everything(), "whole")


def _area_of(grey: np.ndarray, coarse: CoarseArea) -> tuple[ScanArea, bool]:
    """The fan or the rectangle that fits a coarse area, else its outline; and whether all of its edges were found."""
    outline = outline_of(coarse.area)
    rectangle = fit_rectangle(grey, coarse, outline.filled)
    confidence = _linear_confidence(rectangle)
    start = first_sector(outline) if confidence < SURE else None
    fitted = None if start is None else refine(grey, coarse, start)
    if fitted is not None and _is_fan(fitted, start.score):
        area = _fan(coarse, outline, rectangle, fitted, _fan_confidence(fitted, start.score), grey.shape)
        return area, area.geometry is not None
    if confidence < SURE and not _is_rectangle(outline.filled):
        return _unfitted(coarse, outline, grey.shape), False
    mode = "linear" if confidence >= LEAST_CONFIDENCE else "unknown"
    area = ScanArea(rectangle.box, _everything(), "rectangle", confidence, mode)
    return area, _has_all_edges(rectangle, grey.shape)


def _has_all_edges(rectangle: FittedRectangle, shape: tuple[int, ...]) -> bool:
    """Is each edge of a rectangle seen, or that of the picture?"""
    ends = (0, 0, shape[1], shape[0])
    return all(seen >= CUT or place == end for seen, place, end in zip(rectangle.seen, rectangle.box, ends))


def _everything() -> np.ndarray:
    return np.ones((1, 1), dtype=bool)


def _is_rectangle(filled: np.ndarray) -> bool:
    """Does the outline fill its box, or is it as wide at the skin as anywhere (a rectangle with dark lower corners)?"""
    left, top, right, bottom = bounds(filled)
    inside = filled[top:bottom, left:right]
    skin = inside[: max(1, len(inside) // 10)].sum(axis=1).mean()
    return bool(inside.mean() >= RECTANGLE_FILL or skin >= RECTANGLE_FILL * inside.shape[1])


def _linear_confidence(rectangle: FittedRectangle) -> float:
    """How much speaks for a linear probe: straight upright edges and a straight skin line; the lower edge says less,
    for other scans are cut off straight there too."""
    weights = (EDGE, EDGE, EDGE, LOWER_EDGE)  # left, top, right, bottom
    return _together([weight * _above(seen, 0.3, 0.7) for weight, seen in zip(weights, rectangle.seen)])


def _fan_confidence(fitted: FittedSector, score: float) -> float:
    """How much speaks for a fan: each side and arc of which a part is seen, and how much of the outline it explains."""
    weights = (SIDE, SIDE, ARC, ARC)
    seen = [
        weight * min(1, seen / 0.6) * min(1, visible / 0.2)
        for weight, seen, visible in zip(weights, fitted.seen, fitted.visible)
    ]
    return _together(seen) * min(max(score + 0.6, 0.3), 1.0)


def _above(share: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, straight between."""
    return min(max((share - low) / (high - low), 0.0), 1.0)


def _together(signs: list[float]) -> float:
    """How far several independent signs convince together."""
    return float(1 - np.prod([1 - sign for sign in signs]))


def _is_fan(fitted: FittedSector, score: float) -> bool:
    wide = fitted.sector.right_angle - fitted.sector.left_angle >= NARROWEST
    return wide and _fan_confidence(fitted, score) >= LEAST_CONFIDENCE


def _fan(
    coarse: CoarseArea, outline: Outline, rectangle: FittedRectangle, fitted: FittedSector, confidence: float,
    shape: tuple[int, ...],
) -> ScanArea:  # fmt: skip
    mode = _fan_mode(fitted)
    if _left_out(fitted.sector, coarse) > LEFT_OUT:
        area = _unfitted(coarse, outline, shape)
        return ScanArea(area.box, area.inside, "sector", confidence, mode)
    return ScanArea(_box_of(fitted.sector, rectangle, shape), _everything(), "sector", confidence, mode, fitted.sector)


def _fan_mode(fitted: FittedSector) -> str:
    """Convex or phased by the inner radius. A probe's face that is neither a point nor a visible arc may be that of a
    phased array with its apex behind the skin, so it stays unknown unless the picture cuts it off."""
    sector = fitted.sector
    if sector.inner_radius < POINTED * sector.outer_radius:
        return "phased sector"
    inside_picture = sector.apex_row + sector.inner_radius > 2 * NEAR_EDGE
    hidden = fitted.seen[2] < ARC_SEEN and inside_picture
    return "unknown" if hidden and sector.inner_radius < BLUNT * sector.outer_radius else "convex"


def _left_out(sector: SectorInPixels, coarse: CoarseArea) -> float:
    """Share of the coarse area that lies more than its own blur of two pixels outside a sector."""
    height, width = coarse.area.shape
    middle = (coarse.factor - 1) / 2
    inside = sector.inside(np.arange(width) * coarse.factor + middle, np.arange(height) * coarse.factor + middle)
    grown = cv2.dilate(inside.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)
    return float(np.count_nonzero(coarse.area & ~grown) / np.count_nonzero(coarse.area))


def _box_of(sector: SectorInPixels, rectangle: FittedRectangle, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of the picture that a sector covers, less what is cut off straight."""
    height, width = shape
    columns, rows = sector.to_pixels(np.repeat([0.0, 1.0], 65), np.tile(np.linspace(0, 1, 65), 2))
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    cut = [place if seen >= CUT else None for place, seen in zip(rectangle.box, rectangle.seen)]
    left, top = (max(0, int(np.floor(f)), c or 0) for f, c in zip(found[:2], cut[:2]))
    right, bottom = (min(size, int(np.ceil(f)), c or size) for f, c, size in zip(found[2:], cut[2:], (width, height)))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _unfitted(coarse: CoarseArea, outline: Outline, shape: tuple[int, ...]) -> ScanArea:
    """A fan kept by its outline."""
    inside = outline_map(outline.filled, coarse.area)
    left, top, right, bottom = bounds(inside)
    factor = coarse.factor
    box = (left * factor, top * factor, min(right * factor, shape[1]), min(bottom * factor, shape[0]))
    return ScanArea(box, inside[top:bottom, left:right], "sector")
