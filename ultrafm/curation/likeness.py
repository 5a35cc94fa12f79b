"""How alike two pictures are: by their pixels, by a hash of what is coarse, by grey values, and by their texture."""

from __future__ import annotations

import hashlib
import itertools
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from scipy import fft

COMPARING_SIDE = 64  # pixels; finer curated pictures are compared at this size
COARSER = 4  # every so many pixels tell where the scan area is
FEWEST, FLAT = 16, 1e-6  # pixels in common; product of the sums of squares below which a picture is flat
FINE, COARSE = 0.7, 2.0  # pixels at comparing size: texture is what lies between blurs this wide
FAINT = 2.0  # grey values; texture fainter than this is not made much of
SHIFT, JITTER = 3, 1  # pixels by which one picture may be cut otherwise than the other, and a quarter beyond that
TIED, TIED_QUARTER = 0.55, 0.5  # of texture: from here on pictures of two patients show one scan, see `texture_of`
BLACK, RIM = 6, 5  # grey value; pixels around what is darker, where drawn frames and strips have their edges
LEAST_SIDE = 16  # pixels: smaller pictures have too few grains to be told apart by
LEAST_SHARE = 0.06  # of the texture: a quarter with less tells nothing


class Compared(NamedTuple):
    """A picture at comparing size: grey values and what lies inside the scan area (both flat), texture (s, s).

    spectrum: the real two-dimensional Fourier transform of the texture.
    """

    grey: np.ndarray
    inside: np.ndarray
    texture: np.ndarray
    spectrum: np.ndarray


class Resemblance(NamedTuple):
    """How alike two pictures are in texture, 1.0 being the same: correlation as a whole, and in the worst quarter.

    Grey values tell too little between patients: healthy lungs of two people correlate above 0.9. What a device draws
    into every picture makes textures alike in some quarters, one scan makes them so in all.
    """

    texture: float
    quarter: float

    @property
    def tied(self) -> bool:
        """Do they show one scan, so that they must not stand in different folds whoever the patients are said to be?"""
        return self.texture >= TIED and self.quarter >= TIED_QUARTER

    def __str__(self) -> str:
        return f"a correlation of texture of {self.texture:.3f} ({self.quarter:.3f} in the worst quarter)"


def pixel_hash(crop: np.ndarray) -> str:
    """SHA-256 of decoded grey values and their shape: two files with the same pixels agree, whatever their format."""
    digest = hashlib.sha256(f"{crop.shape[0]}x{crop.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(crop))
    return digest.hexdigest()


def perceptual_hash(crop: np.ndarray, inside: np.ndarray) -> int:
    """64 bits: which of the 8 x 8 lowest cosine coefficients of the 32 x 32 picture lie above their median.

    Zauner 2010 (pHash); the constant coefficient does not count towards the median. Outside the scan area, `inside`
    (H, W) bool, the picture is taken for as bright as the mean inside: else all fans of a device would look alike.
    """
    shrink = lambda plane: np.asarray(Image.fromarray(plane).resize((32, 32), Image.Resampling.BOX), dtype=float)  # noqa: E731
    seen = shrink(np.ascontiguousarray(inside[::COARSER, ::COARSER]).view(np.uint8) * np.uint8(255)) / 255
    total, mean = shrink(crop), float(crop.sum()) / max(1, int(np.count_nonzero(inside)))
    low = fft.dctn(total + (1 - seen) * mean, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).tobytes().hex(), 16)


def compared(image: np.ndarray, sector: np.ndarray) -> Compared:
    """A curated picture and its sector (uint8) at comparing size."""
    side = min(COMPARING_SIDE, len(image))
    inside = sector > 0
    if side < len(image):
        size, box = (side, side), Image.Resampling.BOX
        inside = np.asarray(Image.fromarray(sector).resize(size, box)) > 127
        image = np.asarray(Image.fromarray(image).resize(size, box))
    texture = texture_of(image, inside)
    return Compared(image.ravel(), inside.ravel(), texture, fft.rfft2(texture))


def texture_of(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The fine structure of a picture (s, s) at comparing size, of length 1 and mean 0; 0 where nothing is shown.

    What lies between two blurs, over its local strength: another gain, another map of grey values or other brightness
    from top to bottom change little in it, another scan changes all. Of the real pictures that the tests read, other
    renderings of one nerve scan correlate at 0.55 to 0.92, and at 0.5 and more in every quarter; none of different
    people whose hashes are close do both.
    """
    seen = cv2.blur(np.ascontiguousarray(image), (3, 3)) > BLACK
    seen = cv2.erode(seen.astype(np.uint8), np.ones((RIM, RIM), np.uint8)) > 0
    weight = (inside & seen).astype(np.float32)
    blurred = lambda plane, width: cv2.GaussianBlur(plane, (0, 0), width)  # noqa: E731
    share = {width: np.maximum(blurred(weight, width), 1e-3) for width in (FINE, COARSE)}
    fine, coarse = (blurred(image * weight, width) / share[width] for width in (FINE, COARSE))
    between = (fine - coarse) * weight
    even = between / (np.sqrt(blurred(between**2, COARSE) / share[COARSE]) + FAINT)
    centred = (even - even.sum() / max(weight.sum(), 1)) * weight
    return centred / max(float(np.linalg.norm(centred)), 1e-6)


def grey_correlation(one: Compared, other: Compared) -> float:
    """Pearson correlation of grey values where both scan areas are; 0 when that is nowhere or one is flat."""
    both = one.inside & other.inside
    if np.count_nonzero(both) < FEWEST:
        return 0.0
    first, second = one.grey[both].astype(np.float64), other.grey[both].astype(np.float64)
    first, second = first - first.mean(), second - second.mean()
    spreads = (first @ first) * (second @ second)
    return float(first @ second / np.sqrt(spreads)) if spreads > FLAT else 0.0


def resemblance(one: Compared, other: Compared) -> Resemblance:
    """Correlation of textures, the largest over shifts of up to SHIFT pixels, and what it is in the worst quarter.

    Both 0 for pictures under LEAST_SIDE.
    """
    if len(one.texture) < LEAST_SIDE:
        return Resemblance(0.0, 0.0)
    whole, shift = _best_shift(one, other)
    return Resemblance(whole, _worst_after(one, other, shift))


def tying(one: Compared, other: Compared) -> Resemblance | None:
    """Their resemblance where it ties them, else None; most pairs differ as a whole, which is told in little time."""
    if _best_shift(one, other)[0] < TIED:
        return None
    alike = resemblance(one, other)
    return alike if alike.tied else None


def _best_shift(one: Compared, other: Compared) -> tuple[float, np.ndarray]:
    """The largest correlation of two textures over small shifts, and the shift (down, right) of the second for it."""
    side = len(one.texture)
    product = fft.irfft2(one.spectrum * other.spectrum.conj(), s=(side, side))
    near = np.arange(-SHIFT, SHIFT + 1)
    shifted = product[np.ix_(near % side, near % side)]
    return float(shifted.max()), near[list(np.unravel_index(shifted.argmax(), shifted.shape))]


def _worst_after(one: Compared, other: Compared, shift: np.ndarray) -> float:
    """Correlation in the worst quarter when the second is moved by `shift`, or the first by its reverse."""
    moved = np.roll(other.texture, shift, axis=(0, 1)), np.roll(one.texture, -shift, axis=(0, 1))
    return min(_worst_quarter(one.texture, moved[0]), _worst_quarter(moved[1], other.texture))


def _worst_quarter(one: np.ndarray, other: np.ndarray) -> float:
    """Least correlation in a quarter of two textures, of those in which both have some; 0 without any.

    Each quarter may lie JITTER pixels off, as where one picture was enlarged a little.
    """
    half, steps = len(one) // 2, range(-JITTER, JITTER + 1)
    moved = [np.roll(other, (down, right), axis=(0, 1)) for down in steps for right in steps]
    worst = []
    for quarter in itertools.product((slice(half), slice(half, None)), repeat=2):
        found = [value for each in moved if (value := _in_part(one[quarter], each[quarter])) is not None]
        worst += [max(found)] if found else []
    return min(worst, default=0.0)


def _in_part(one: np.ndarray, other: np.ndarray) -> float | None:
    """Correlation in a part of two textures; None where one of them has hardly any there."""
    first, second = float((one**2).sum()), float((other**2).sum())
    if min(first, second) < LEAST_SHARE:
        return None
    return float((one * other).sum()) / (first * second) ** 0.5
