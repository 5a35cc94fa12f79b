"""Duplicates within a site: the same pixels, or pictures so alike that they must not stand in two folds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn

from ultrafm.curation.reasons import Unusable
from ultrafm.curation.split import Ties

CLOSE_HASHES = 12  # bits of 64 that may differ before two pictures are compared at all
LEAST_CORRELATION = 0.97  # from here on two pictures show the same, and one of them is enough
TIED = 0.9  # from here on pictures of two patients are so alike that the two must not stand in different folds
COMPARING_SIDE = 64  # pixels; finer curated pictures are compared at this size
COARSER = 4  # every so many pixels tell where the scan area is
MOST_TOLD = 5  # pictures that a reason names; more are counted
FEWEST, FLAT = 16, 1e-6  # pixels in common; product of the sums of squares below which a picture is flat


class Compared(NamedTuple):
    """A picture at comparing size; see `compared`."""

    grey: np.ndarray
    squares: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True, slots=True)
class Likeness:
    """What duplicates of a picture are recognised by.

    pixels: SHA-256 of the decoded crop. perceptual: 64-bit hash. patient, clip: pseudonyms; clip is "" for a still.
    """

    patient: str
    clip: str
    label: str | None
    pixels: str
    perceptual: int


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
    low = dctn(total + (1 - seen) * mean, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).tobytes().hex(), 16)


def compared(image: np.ndarray, sector: np.ndarray) -> Compared:
    """A curated picture and its sector (uint8) at comparing size, s <= 64: grey values, their squares, and inside.

    Each is (s * s,) float64, and 0 outside the sector.
    """
    side = min(COMPARING_SIDE, len(image))
    inside = sector > 0
    if side < len(image):
        size, box = (side, side), Image.Resampling.BOX
        inside = np.asarray(Image.fromarray(sector).resize(size, box)) > 127
        image = np.asarray(Image.fromarray(image).resize(size, box))
    grey = np.where(inside, image, 0).astype(np.float64).ravel()
    return Compared(grey, grey**2, inside.astype(np.float64).ravel())


def correlation(one: Compared, other: Compared) -> float:
    """Pearson correlation of grey values where both scan sectors are; 0 when that is nowhere or one is flat."""
    pixels = one.inside @ other.inside
    if pixels < FEWEST:
        return 0.0
    first, second = one.grey @ other.inside, other.grey @ one.inside
    spreads = (one.squares @ other.inside - first**2 / pixels) * (other.squares @ one.inside - second**2 / pixels)
    shared = one.grey @ other.grey - first * second / pixels
    return float(shared / np.sqrt(spreads)) if spreads > FLAT else 0.0


def find_duplicates(
    pictures: Sequence[Likeness], ties: Ties, look: Callable[[int], Compared], tell: Callable[[int], str]
) -> dict[int, Unusable]:
    """Position -> why that picture is left out. Earlier rows go before later ones, so added rows change nothing.

    Left out are: the same pixels again; all pictures with the same pixels and different labels; a picture like a kept
    one of the same patient, unless both belong to one clip; a picture that resembles a kept one of another patient who
    was placed in another fold before. Other patients with such pictures are tied in `ties`, and go into one fold.
    `look` gives the picture at a position at comparing size; it is asked only for pictures whose hashes are close.
    `tell` gives the words for a position by which the site finds the picture.
    """
    left_out = _same_pixels(pictures, tell)
    kept, hashes = np.zeros(len(pictures), dtype=np.int64), np.zeros(len(pictures), dtype=np.uint64)
    count = 0
    for position, picture in enumerate(pictures):
        if position in left_out:
            continue
        bits = np.bitwise_count(hashes[:count] ^ np.uint64(picture.perceptual))
        close = kept[:count][bits <= CLOSE_HASHES]
        why = _first_conflict(position, close, pictures, ties, look, tell)
        if why is not None:
            left_out[position] = why
            continue
        kept[count], hashes[count] = position, picture.perceptual
        count += 1
    return left_out


def _same_pixels(pictures: Sequence[Likeness], tell: Callable[[int], str]) -> dict[int, Unusable]:
    groups: dict[str, list[int]] = {}
    for position, picture in enumerate(pictures):
        groups.setdefault(picture.pixels, []).append(position)
    left_out: dict[int, Unusable] = {}
    for positions in groups.values():
        if len(positions) == 1:
            continue
        labels = sorted({pictures[position].label or "unknown" for position in positions})
        if len(labels) > 1:
            why = _contradictory(labels, positions, pictures, tell)
            left_out |= dict.fromkeys(positions, why)
            continue
        first = pictures[positions[0]]
        for position in positions[1:]:
            found = f"the pixels of {tell(positions[0])} again"
            if pictures[position].patient == first.patient:
                left_out[position] = Unusable("same pixels", found, "each picture once")
            else:
                expected = "one patient for one picture: one of the two is wrong, and should be corrected at its source"
                left_out[position] = Unusable("same pixels, two patients", f"{found}, of another patient", expected)
    return left_out


def _contradictory(
    labels: Sequence[str], positions: Sequence[int], pictures: Sequence[Likeness], tell: Callable[[int], str]
) -> Unusable:
    """Why none of the pictures at these positions is kept: they have the same pixels and different labels."""
    told = ", ".join(tell(position) for position in positions[:MOST_TOLD])
    more = f" and {len(positions) - MOST_TOLD} more" if len(positions) > MOST_TOLD else ""
    patients = ", of different patients" if len({pictures[position].patient for position in positions}) > 1 else ""
    found = f"{' and '.join(labels)} for the same pixels in {told}{more}{patients}"
    return Unusable("contradictory labels", found, "one label for one picture")


def _first_conflict(
    position: int, others: Sequence[int], pictures: Sequence[Likeness], ties: Ties, look: Callable[[int], Compared],
    tell: Callable[[int], str],
) -> Unusable | None:  # fmt: skip
    """Why a picture cannot be kept beside those before it that are like it; ties patients as it goes."""
    picture = pictures[position]
    for other in map(int, others):
        before = pictures[other]
        same_patient = picture.patient == before.patient
        if same_patient and picture.clip and picture.clip == before.clip:
            continue
        if not same_patient and ties.root(picture.patient) == ties.root(before.patient):
            continue
        alike = correlation(look(position), look(other))
        least = LEAST_CORRELATION if same_patient else TIED
        if alike < least:
            continue
        found, expected = f"a correlation of {alike:.3f} with {tell(other)}", f"less than {least:g}"
        if same_patient:
            return Unusable("near duplicate", found, f"{expected} between pictures of a patient")
        if not ties.tie(picture.patient, before.patient):
            return Unusable("ties two folds", f"{found}, another patient who is in another fold", expected)
    return None
