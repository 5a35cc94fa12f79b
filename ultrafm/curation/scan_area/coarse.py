"""The scan area on a picture reduced to about `WORK_SIDE` pixels: what stands out from the empty border, without text.

The steps: background level from the outer ring, letters away, foreground, closing (speckle becomes area), opening (thin
things vanish), largest component, joined with what a shadow cut off from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

WORK_SIDE = 192  # pixels of the longer side while searching
TEXT_SIDE = 400  # the same while looking for letters, which are finer
STANDS_OUT = 32  # grey values above the background; letters are brighter, their JPEG ripple is not
LETTER, WORD = (0.08, 0.12), (0.04, 0.45)  # shares of the picture's height and width; letters of a word may touch
MOST_TEXT = 0.4  # share of what stands out that may be letters
NEAR_BLACK = 10  # a background as dark as this needs little evidence
CORNER = 0.03  # of the shorter side, that an empty corner measures at least
RIPPLE = 3  # grey values; JPEG ripple stays below after averaging
LEAST_SHARE = 0.08  # of the picture; a smaller area is not believed
EVEN = 0.9  # share of a corner's pixels that have its grey value
UNCLEAN = 0.05  # of the background's pixels, that lie one grey value beside it; with more there is ripple
LEAST_PART = 0.02  # of the largest area; a smaller part cut off by a shadow is not joined
DENSE = 0.75  # share of a part's pixels that differ from the background; tissue nearly all, text half


@dataclass(frozen=True)
class CoarseArea:
    """The scan area of a reduced picture.

    area: bool (h, w), True inside. factor: pixels of the picture for one of these. level: grey value of the background.
    threshold: a pixel at the edge of the scan differs from the background by more than this.
    """

    area: np.ndarray
    factor: int
    level: int
    threshold: int


def coarse_areas(grey: np.ndarray) -> Iterator[CoarseArea]:
    """The scan areas that a grey picture (H, W) uint8 may have, the safest first; none without a border around them.

    First what stands out from any ripple of compression. Where the border is clean, then also what is 2 grey values
    above it, as the dark floor of a scan, and what is 1 above it.
    """
    first = max(1, round(max(grey.shape) / TEXT_SIDE))
    second = max(1, round(max(grey.shape) / first / WORK_SIDE))
    fine = _reduced(grey, first)
    level = background_level(fine)
    if level is None:
        return
    small = _reduced(_without_text(fine, level), second)
    thresholds = (RIPPLE, 1, 0) if _is_clean(small, level) else (RIPPLE,)
    for threshold in thresholds:
        area = _main_area(small, level, threshold)
        if area is not None and area.mean() >= LEAST_SHARE:
            yield CoarseArea(area, first * second, level, min(threshold, thresholds[min(1, len(thresholds) - 1)]))


def _reduced(picture: np.ndarray, factor: int) -> np.ndarray:
    """The picture, each `factor` x `factor` pixels averaged; the last row and column are repeated to fill up."""
    if factor == 1:
        return picture
    height, width = picture.shape
    short = (-height % factor, -width % factor)
    whole = cv2.copyMakeBorder(picture, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE) if any(short) else picture
    size = (whole.shape[1] // factor, whole.shape[0] // factor)
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)


def background_level(small: np.ndarray) -> int | None:
    """Grey value of the empty border, or None when the outer ring looks like tissue.

    What both upper corners share counts most: a fan that was cut close leaves no more than its corners. Else a
    near-black level is believed when it makes up a tenth of the ring, another level when it makes up half.
    """
    ring = _ring(small)
    counts = np.bincount(ring, minlength=256)
    peak = int(np.convolve(counts, np.ones(3), mode="same").argmax())
    level = max(peak - 1, 0) + int(counts[max(peak - 1, 0) : peak + 2].argmax())
    corner = _corner_level(small)
    if corner is not None and abs(corner - level) > RIPPLE:
        return corner
    share = counts[max(level - 2, 0) : level + 3].sum() / ring.size
    if share >= 0.5 or (level <= NEAR_BLACK and share >= 0.1):
        return level
    dark = counts[: RIPPLE + 1].sum() / ring.size
    return 0 if dark >= 0.1 else corner


def _corner_level(small: np.ndarray) -> int | None:
    """The grey value that both upper corners share, or None when they differ or are not even."""
    side = max(3, round(CORNER * min(small.shape)))
    corners = np.stack([small[:side, :side], small[:side, -side:]]).astype(np.int16)
    level = int(np.median(corners))
    even = (np.abs(corners - level) <= RIPPLE).mean(axis=(1, 2)).min() >= EVEN
    return level if even and level < STANDS_OUT else None


def _ring(small: np.ndarray) -> np.ndarray:
    """The pixels of the two outermost rows and columns."""
    return np.concatenate([small[:2].ravel(), small[-2:].ravel(), small[:, :2].ravel(), small[:, -2:].ravel()])


def _without_text(fine: np.ndarray, level: int) -> np.ndarray:
    """The picture with letters, ticks and small marks replaced by the background.

    Letters are small and bright, and each stands alone. Small bright spots of tissue vanish with them, which does not
    matter for finding the area. When much would vanish, the picture is no page of text, and nothing is replaced.
    """
    bright = _differs(fine, level, STANDS_OUT)
    count, names, boxes, _middles = cv2.connectedComponentsWithStatsWithAlgorithm(bright, 8, cv2.CV_16U, cv2.CCL_BBDT)
    if count == 1:
        return fine
    shares = boxes[:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]] / fine.shape
    small = np.any([np.all(shares <= limit, axis=1) for limit in (LETTER, WORD)], axis=0)
    small[0] = False
    if not small.any() or boxes[small, cv2.CC_STAT_AREA].sum() > MOST_TEXT * boxes[1:, cv2.CC_STAT_AREA].sum():
        return fine
    letters = cv2.dilate(np.take(small.view(np.uint8), names), np.ones((3, 3), np.uint8))
    without = fine.copy()
    without[letters.view(bool)] = level
    return without


def _differs(picture: np.ndarray, level: int, threshold: int) -> np.ndarray:
    """1 where a picture differs from the background by more than `threshold`, else 0 (uint8)."""
    away = picture if level == 0 else cv2.absdiff(picture, np.full_like(picture, level))
    return cv2.threshold(away, threshold, 1, cv2.THRESH_BINARY)[1]


def _is_clean(small: np.ndarray, level: int) -> bool:
    """Is the background free of ripple? It would spread to the next grey values first; a dark floor of the scan, a
    little above the background, does not."""
    counts = np.bincount(_ring(small), minlength=257)
    beside = counts[level + 1] + (counts[level - 1] if level > 0 else 0)
    return bool(beside <= UNCLEAN * counts[level])


def _main_area(small: np.ndarray, level: int, threshold: int) -> np.ndarray | None:
    """The scan as bool (h, w): the largest connected area that differs from the background, without thin things
    around it, joined with dense areas above or below that a shadow cut off from it. Text is never dense."""
    different = _differs(small, level, threshold)
    solid = _morphed(_morphed(different, 2, cv2.MORPH_CLOSE), 4, cv2.MORPH_OPEN)
    count, names, boxes, _middles = cv2.connectedComponentsWithStatsWithAlgorithm(solid, 4, cv2.CV_16U, cv2.CCL_BBDT)
    if count == 1:
        return None
    sizes, lefts = boxes[:, cv2.CC_STAT_AREA], boxes[:, cv2.CC_STAT_LEFT]
    widths = boxes[:, cv2.CC_STAT_WIDTH]
    largest = 1 + int(sizes[1:].argmax())
    shared = np.minimum(lefts + widths, (lefts + widths)[largest]) - np.maximum(lefts, lefts[largest])
    above_or_below = (shared >= widths / 2) & (sizes >= LEAST_PART * sizes[largest])
    kept = np.arange(count) == largest
    for name in np.flatnonzero(above_or_below[1:] & ~kept[1:]) + 1:
        kept[name] = different[names == name].mean() >= DENSE
    return _filled(kept.view(np.uint8)[names])


def _morphed(mask: np.ndarray, radius: int, operation: int) -> np.ndarray:
    """Closing or opening of a mask (uint8) by a square, as if the picture went on beyond its edge."""
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    wide = cv2.copyMakeBorder(mask, *[2 * radius] * 4, cv2.BORDER_REPLICATE)
    inner = slice(2 * radius, -2 * radius)
    return cv2.morphologyEx(wide, operation, square)[inner, inner]


def _filled(mask: np.ndarray) -> np.ndarray:
    """A mask (uint8) without its holes, as bool: what the background cannot reach from outside is inside."""
    wide = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(wide, None, (0, 0), 2, flags=4)
    return wide[1:-1, 1:-1] != 2
