"""Finding the scan area: the part of a picture that the probe made, without text, scales, logos and empty border.

All work is done on a picture reduced to about `WORK_SIDE` pixels, which keeps it to a few milliseconds. The steps:
background level from the outer ring, letters away, foreground, closing (speckle becomes area), opening (thin things
vanish), largest component, convex outline, rectangle or sector; a sector is completed by its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

WORK_SIDE = 192  # pixels of the longer side while searching
TEXT_SIDE = 400  # the same while looking for letters, which are finer
STANDS_OUT = 32  # grey values above the background; letters are brighter, their JPEG ripple is not
LETTER, WORD = (0.08, 0.12), (0.04, 0.45)  # shares of the picture's height and width; letters of a word may touch
MOST_TEXT = 0.4  # share of what stands out that may be letters
NEAR_BLACK = 10  # a background as dark as this needs little evidence
ABOVE_BACKGROUND = 3  # grey values; JPEG ripple stays below after averaging
LEAST_SHARE = 0.08  # of the picture; a smaller area is not believed
CLEAN = 0.9  # share of the background that has exactly one value when there is no ripple
LEAST_PART = 0.02  # of the largest area; a smaller part cut off by a shadow is not joined
DENSE = 0.75  # share of a part's pixels that differ from the background; tissue nearly all, text half
RECTANGLE_FILL = 0.93  # share of its box that a rectangle's outline fills; a fan fills less


@dataclass(frozen=True)
class ScanArea:
    """The scan area of one picture.

    box: left, top, right, bottom in pixels of the picture, right and bottom exclusive.
    inside: bool, a coarse map of the box (its own resolution), True inside the scan area.
    kind: "rectangle", "sector", or "whole" when no border was found and all of the picture is kept.
    """

    box: tuple[int, int, int, int]
    inside: np.ndarray
    kind: str

    @property
    def width(self) -> int:
        """Pixels of the box from left to right."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        """Pixels of the box from top to bottom."""
        return self.box[3] - self.box[1]

    def inside_at(self, width: int, height: int) -> np.ndarray:
        """The map of the box as bool (height, width)."""
        return np.asarray(Image.fromarray(self.inside).resize((width, height), Image.Resampling.NEAREST))


def find_scan_area(grey: np.ndarray) -> ScanArea:
    """The scan area of a grey picture (H, W) uint8; the whole picture when nothing darker surrounds it."""
    height, width = grey.shape
    first = max(1, round(max(height, width) / TEXT_SIDE))
    second = max(1, round(max(height, width) / first / WORK_SIDE))
    factor = first * second
    fine = np.asarray(Image.fromarray(grey).reduce(first))
    level = background_level(fine)
    small = fine if level is None else np.asarray(Image.fromarray(_without_text(fine, level)).reduce(second))
    area = None if level is None else _main_area(small, level)
    if area is None or area.mean() < LEAST_SHARE:
        return ScanArea((0, 0, width, height), np.ones((1, 1), dtype=bool), "whole")
    outline = _outline(area)
    is_rectangle = _is_rectangle(outline)
    if not is_rectangle:
        outline = _without_lens(_both_sides(outline), area)
    top, bottom, left, right = _bounds(outline)
    box = (left * factor, top * factor, min(right * factor, width), min(bottom * factor, height))
    if is_rectangle:
        return ScanArea(box, np.ones((1, 1), dtype=bool), "rectangle")
    return ScanArea(box, outline[top:bottom, left:right], "sector")


def background_level(small: np.ndarray) -> int | None:
    """Grey value of the empty border, or None when the outer ring looks like tissue.

    A near-black level is believed when it makes up a tenth of the ring; another level only when it makes up half.
    """
    ring = _ring(small)
    counts = np.bincount(ring, minlength=256)
    level = int(np.convolve(counts, np.ones(3), mode="same").argmax())
    share = counts[max(level - 2, 0) : level + 3].sum() / ring.size
    if share >= 0.5 or (level <= NEAR_BLACK and share >= 0.1):
        return level
    dark = counts[: ABOVE_BACKGROUND + 1].sum() / ring.size
    return 0 if dark >= 0.1 else None


def _without_text(fine: np.ndarray, level: int) -> np.ndarray:
    """The picture with letters, ticks and small marks replaced by the background.

    Letters are small and bright, and each stands alone. Small bright spots of tissue vanish with them, which does not
    matter for finding the area. When much would vanish, the picture is no page of text, and nothing is replaced.
    """
    bright = np.abs(fine.astype(np.int16) - level) > STANDS_OUT
    names, count = ndimage.label(bright, structure=np.ones((3, 3)))
    if count == 0:
        return fine
    sides = [(part[0].stop - part[0].start, part[1].stop - part[1].start) for part in ndimage.find_objects(names)]
    shares = np.array(sides) / fine.shape
    small = np.any([np.all(shares <= limit, axis=1) for limit in (LETTER, WORD)], axis=0)
    letters = np.concatenate([[False], small])[names]
    if letters.sum() > MOST_TEXT * bright.sum():
        return fine
    halo = ndimage.maximum_filter(letters.view(np.uint8), 3) > 0
    return np.where(halo, level, fine).astype(np.uint8)


def _ring(small: np.ndarray) -> np.ndarray:
    """The pixels of the two outermost rows and columns."""
    return np.concatenate([small[:2].ravel(), small[-2:].ravel(), small[:, :2].ravel(), small[:, -2:].ravel()])


def _threshold(small: np.ndarray, level: int) -> int:
    """How far from the background a pixel of the scan is at least: 1 where the background is clean, else more."""
    ring = _ring(small).astype(np.int16)
    near = ring[np.abs(ring - level) <= ABOVE_BACKGROUND]
    return 1 if (near == level).mean() >= CLEAN else ABOVE_BACKGROUND


def _main_area(small: np.ndarray, level: int) -> np.ndarray | None:
    """The scan as bool (h, w): the largest connected area that differs from the background, without thin things
    around it, joined with dense areas above or below that a shadow cut off from it. Text is never dense."""
    different = np.abs(small.astype(np.int16) - level) > _threshold(small, level)
    names, count = ndimage.label(_opened(_closed(different, 2), 4))
    if count == 0:
        return None
    sizes = np.bincount(names.ravel(), minlength=count + 1)[1:]
    largest = 1 + int(sizes.argmax())
    area = names == largest
    columns = np.flatnonzero(area.any(axis=0))
    for name, (_rows, across) in enumerate(ndimage.find_objects(names), start=1):
        below_or_above = across.start >= columns[0] and across.stop <= columns[-1] + 1
        large = sizes[name - 1] >= LEAST_PART * sizes[largest - 1]
        if name != largest and below_or_above and large and different[names == name].mean() >= DENSE:
            area = area | (names == name)
    return ndimage.binary_fill_holes(area)


def _closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Closing by a square, as if the picture went on beyond its edge."""
    size = 2 * radius + 1
    wide = ndimage.maximum_filter(mask.view(np.uint8), size, mode="nearest")
    return ndimage.minimum_filter(wide, size, mode="nearest").astype(bool)


def _opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opening by a square, as if the picture went on beyond its edge."""
    size = 2 * radius + 1
    narrow = ndimage.minimum_filter(mask.view(np.uint8), size, mode="nearest")
    return ndimage.maximum_filter(narrow, size, mode="nearest").astype(bool)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First row, row after the last, first column, column after the last of the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _outline(area: np.ndarray) -> np.ndarray:
    """Convex outline of an area, filled: shadows that reach the edge do not cut into it."""
    rows = np.flatnonzero(area.any(axis=1))
    first = area.argmax(axis=1)[rows]
    last = area.shape[1] - 1 - area[:, ::-1].argmax(axis=1)[rows]
    points = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # all points on one line
        return area
    picture = Image.new("1", (area.shape[1], area.shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for x, y in corners], fill=1, outline=1)
    return np.array(picture, dtype=bool)


def _is_rectangle(outline: np.ndarray) -> bool:
    """Does the outline fill its box, or is it as wide at the skin as anywhere (a rectangle with dark lower corners)?"""
    top, bottom, left, right = _bounds(outline)
    inside = outline[top:bottom, left:right]
    skin = inside[: max(1, len(inside) // 10)].sum(axis=1).mean()
    return bool(inside.mean() >= RECTANGLE_FILL or skin >= RECTANGLE_FILL * inside.shape[1])


def _both_sides(outline: np.ndarray) -> np.ndarray:
    """The outline joined with its mirror image: a fan is symmetric, but one side may lie in shadow.

    The axis is the middle of the topmost tenth, where the skin is nearly always bright.
    """
    width = outline.shape[1]
    top, bottom, _left, _right = _bounds(outline)
    skin = np.flatnonzero(outline[top : top + max(1, (bottom - top) // 10)].any(axis=0))
    doubled = skin[0] + skin[-1]  # column x mirrors to doubled - x
    mirrored = np.zeros_like(outline)
    there = doubled - np.arange(width)
    valid = (there >= 0) & (there < width)
    mirrored[:, valid] = outline[:, there[valid]]
    return _outline(outline | mirrored)


def _without_lens(outline: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Cut away what the convex outline adds above the probe's arc: a lens, at most a seventh of the height deep."""
    top, bottom, left, right = _bounds(outline)
    height = bottom - top
    start = np.where(outline.any(axis=0), outline.argmax(axis=0), len(outline))
    first = np.where(area.any(axis=0), area.argmax(axis=0), 0)
    chord = np.flatnonzero(start <= top + height / 30)
    if len(chord) < 0.2 * (right - left):  # the tip of a phased sector has no lens
        return outline
    along = (np.arange(len(start)) - chord[0]) / max(1, chord[-1] - chord[0])
    deepest = height / 7 * 4 * along * (1 - along)  # below 0 outside the chord: nothing is cut there
    lens = np.where((first > start) & (first - start <= deepest + 1) & (deepest >= 0), first, start)
    return outline & (np.arange(len(outline))[:, None] >= lens[None, :])
