"""Quality of a picture inside its scan area: sharpness, contrast, what is no tissue; and the least that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ultrafm.curation.reasons import Unusable
from ultrafm.manifests.schema import Quality

MEASURING_SIDE = 256  # pixels; pictures are reduced to it, so that numbers of different devices can be compared
BACKGROUND = 3  # grey values up to which a pixel is as dark as the background
RIPPLE = 2  # grey values by which a JPEG lets flat areas vary
LEAST_GREY = 32  # a flat area darker than this may be a shadow or fluid; windows and menus are brighter
LEAST_EDGE, LEAST_RUN = 24, 25  # grey values across a straight line, pixels along it


class Sized(Protocol):
    """Whatever has the width and height of a scan area in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


@dataclass(frozen=True)
class Measured:
    """What was measured of a picture inside its scan area.

    blur: variance of the Laplacian of grey values, low is blurred. contrast: their standard deviation.
    entropy: of their histogram, in bits (0 to 8). saturated: share of pixels at the largest grey value.
    blank: share as dark as the background. graphics: share in flat grey or on straight upright and level lines.
    coloured_share: of the whole picture. calipers: measuring marks that were found.
    """

    blur: float
    contrast: float
    entropy: float
    saturated: float = 0.0
    blank: float = 0.0
    graphics: float = 0.0
    coloured_share: float = 0.0
    calipers: int = 0


def measure(crop: np.ndarray, inside: np.ndarray, coloured_share: float = 0.0, calipers: int = 0) -> Measured:
    """Quality of a cropped grey picture (H, W) uint8 where `inside` (H, W) bool; share and number are passed on.

    Variance of the Laplacian as a measure of focus: Pech-Pacheco et al. 2000. Nothing inside: all blank.
    """
    height, width = crop.shape
    factor = max(1, round(max(height, width) / MEASURING_SIDE))
    size = max(1, width // factor), max(1, height // factor)
    whole = crop[: size[1] * factor, : size[0] * factor]  # whole squares are averaged faster
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    middle = min(factor, height, width) // 2
    seen = inside[middle::factor, middle::factor][: size[1], : size[0]]
    if not seen.any():
        return Measured(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, round(coloured_share, 4), calipers)
    values = small[seen]
    edges = cv2.Laplacian(small, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)[seen]
    numbers = (
        edges.var(dtype=np.float64), values.std(dtype=np.float64), _entropy(values), _share_at_top(crop, inside),
        (values <= BACKGROUND).mean(), _drawn(small)[seen].mean(), coloured_share,
    )  # fmt: skip
    return Measured(*(round(float(number), 4) + 0.0 for number in numbers), calipers)


def _entropy(values: np.ndarray) -> float:
    """Entropy of the histogram of grey values, in bits."""
    shares = np.bincount(values, minlength=256) / values.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _share_at_top(crop: np.ndarray, inside: np.ndarray) -> float:
    """Share of the pixels inside, at full resolution, that are within a JPEG's ripple of the largest grey value."""
    counts = cv2.calcHist([crop], [0], inside.view(np.uint8), [256], [0, 256]).ravel()
    top = int(np.flatnonzero(counts)[-1])
    return float(counts[max(top - RIPPLE, BACKGROUND + 1) :].sum() / counts.sum())


def _drawn(small: np.ndarray) -> np.ndarray:
    """Which pixels lie in flat grey or on a straight line along rows or columns, bool (h, w).

    Tissue is grainy: three by three pixels of it are hardly ever alike, and its edges are never straight for long.
    """
    square = np.ones((3, 3), np.uint8)
    flat = cv2.subtract(cv2.dilate(small, square), cv2.erode(small, square)) <= RIPPLE
    drawn = flat & (small > LEAST_GREY)
    for picture, lines in ((small, drawn), (small.T, drawn.T)):  # lines is a view of drawn
        if len(picture) > 1:
            edge = cv2.compare(cv2.absdiff(picture[1:], picture[:-1]), LEAST_EDGE, cv2.CMP_GE)
            lines[1:] |= cv2.morphologyEx(edge, cv2.MORPH_OPEN, np.ones((1, LEAST_RUN), np.uint8)) > 0
    return drawn


def require(measured: Measured, area: Sized, least: Quality) -> None:
    """Raise Unusable, for the first reason that applies, when a picture is too poor to be of use."""
    for fails, kind, found, expected in _faults(measured, area, least):
        if fails:
            raise Unusable(kind, found, expected)


def flags(measured: Measured, area: Sized, least: Quality) -> list[str]:
    """The names of all reasons for which a picture is too poor to be of use; none for a good one."""
    return [kind for fails, kind, _found, _expected in _faults(measured, area, least) if fails]


def _faults(measured: Measured, area: Sized, least: Quality) -> Iterator[tuple[bool, str, str, str]]:
    """Each thing that is required: is it missed, its name, what was found, what was expected."""
    side = least.smallest_side
    size = f"{area.width} x {area.height} pixels"
    yield min(area.width, area.height) < side, "scan area too small", size, f"at least {side} pixels on each side"
    shares = {
        "blank": (measured.blank, least.most_blank, "as dark as the background"),
        "saturated": (measured.saturated, least.most_saturated, "at the largest grey value"),
        "like a screenshot": (measured.graphics, least.most_graphics, "in flat grey or straight lines"),
        "too much colour": (measured.coloured_share, least.most_colour, "coloured"),
    }
    amounts = {
        "too little contrast": (measured.contrast, least.least_contrast, "grey values of standard deviation"),
        "low information": (measured.entropy, least.least_information, "bits of entropy"),
    }
    for kind in ("blank", *amounts, *list(shares)[1:]):  # a flat picture is flat first, and saturated only after that
        if kind in shares:
            share, most, what = shares[kind]
            yield share > most, kind, f"{share:.1%} of the pixels {what}", f"at most {most:.1%}"
        else:
            value, lowest, what = amounts[kind]
            yield value < lowest, kind, f"{value:.2f} {what}", f"at least {lowest:g}"
    unwanted = measured.calipers > 0 and least.calipers == "leave out"
    yield unwanted, "calipers", f"{measured.calipers} measuring marks", "a picture without, as the manifest says"
