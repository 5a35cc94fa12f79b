"""Duplicates: the same pixels, or pictures so alike that they must not stand in two folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn

from ultrafm.curation.reasons import Unusable
from ultrafm.curation.split import Place

CLOSE_HASHES = 12  # bits of 64 that may differ before two pictures are compared at all
LEAST_CORRELATION = 0.97  # from here on two pictures show the same
COMPARING_SIDE = 64  # pixels; finer curated pictures are compared at this size
ACROSS_SITES = 4  # bits of 64; between sites nothing but hashes is compared, so the bound is tight


@dataclass(frozen=True)
class Likeness:
    """What duplicates of a picture are recognised by.

    pixels: SHA-256 of the decoded crop. perceptual: 64-bit hash. small: (s, s) uint8, inside: (s, s) bool, s <= 64.
    """

    row: int
    patient: str
    clip: str
    label: str | None
    place: Place
    pixels: str
    perceptual: int
    small: np.ndarray
    inside: np.ndarray


def pixel_hash(crop: np.ndarray) -> str:
    """SHA-256 of decoded grey values and their shape: two files with the same pixels agree, whatever their format."""
    return hashlib.sha256(f"{crop.shape[0]}x{crop.shape[1]}:".encode() + crop.tobytes()).hexdigest()


def perceptual_hash(crop: np.ndarray) -> int:
    """64 bits: which of the 8 x 8 lowest cosine coefficients of the 32 x 32 picture lie above their median.

    Zauner 2010 (pHash); the constant coefficient does not count towards the median.
    """
    small = np.asarray(Image.fromarray(crop).resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    low = dctn(small, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def compared(image: np.ndarray, sector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curated picture and its sector (uint8) at comparing size: grey uint8 and inside bool, (s, s) with s <= 64."""
    side = min(COMPARING_SIDE, len(image))
    if side == len(image):
        return image, sector > 0
    size, box = (side, side), Image.Resampling.BOX
    inside = np.asarray(Image.fromarray(sector).resize(size, box)) > 127
    return np.asarray(Image.fromarray(image).resize(size, box)), inside


def correlation(one: Likeness, other: Likeness) -> float:
    """Pearson correlation of grey values where both scan sectors are; 0 when that is nowhere or one is flat."""
    both = one.inside & other.inside
    if both.sum() < 16:
        return 0.0
    first, second = one.small[both].astype(np.float64), other.small[both].astype(np.float64)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0


def find_duplicates(pictures: Sequence[Likeness]) -> dict[int, Unusable]:
    """Position -> why that picture is left out. Earlier rows go before later ones, so added rows change nothing.

    Left out are: the same pixels again; all pictures with the same pixels and different labels; a picture like a kept
    one of another patient in another fold or group (it would leak); a picture like a kept one of the same patient,
    unless both belong to one clip.
    """
    left_out = _same_pixels(pictures)
    kept: list[int] = []
    hashes = np.array([picture.perceptual for picture in pictures], dtype=np.uint64)
    for position, picture in enumerate(pictures):
        if position in left_out:
            continue
        before = np.array(kept, dtype=np.int64)
        close = np.bitwise_count(hashes[before] ^ hashes[position]) <= CLOSE_HASHES
        why = _first_conflict(picture, [pictures[other] for other in before[close]])
        if why is None:
            kept.append(position)
        else:
            left_out[position] = why
    return left_out


def _same_pixels(pictures: Sequence[Likeness]) -> dict[int, Unusable]:
    groups: dict[str, list[int]] = {}
    for position, picture in enumerate(pictures):
        groups.setdefault(picture.pixels, []).append(position)
    left_out: dict[int, Unusable] = {}
    for positions in groups.values():
        labels = sorted({pictures[position].label or "unknown" for position in positions})
        rows = ", ".join(str(pictures[position].row) for position in positions)
        for number, position in enumerate(positions):
            if len(labels) > 1:
                found = f"{' and '.join(labels)} for the same pixels in rows {rows}"
                left_out[position] = Unusable("contradictory labels", found, "one label for one picture")
            elif number:
                found = f"the pixels of row {pictures[positions[0]].row} again"
                left_out[position] = Unusable("same pixels", found, "each picture once")
    return left_out


def _first_conflict(picture: Likeness, others: Sequence[Likeness]) -> Unusable | None:
    for other in others:
        same_patient = picture.patient == other.patient
        harmless = picture.clip and picture.clip == other.clip if same_patient else picture.place == other.place
        if harmless:
            continue
        alike = correlation(picture, other)
        if alike >= LEAST_CORRELATION:
            found, expected = f"a correlation of {alike:.3f} with row {other.row}", f"less than {LEAST_CORRELATION}"
            if same_patient:
                return Unusable("near duplicate", found, f"{expected} between pictures of a patient")
            return Unusable("ties two folds", f"{found}, another patient in another fold", expected)
    return None


def cross_site_duplicates(curated: Path, sites: Sequence[str]) -> pd.DataFrame:
    """Pictures of different sites whose hashes agree: site, image_id, other_site, other_image_id, bits, same_pixels.

    Only hashes are compared, as a federation could without showing an image. A row is a suspicion, unless same_pixels.
    """
    from ultrafm.curation.store import read_table

    columns = ["site", "image_id", "sha256", "perceptual_hash"]
    tables = [read_table(Path(curated), site).select(columns).to_pandas() for site in sorted(sites)]
    found = []
    for number, one in enumerate(tables):
        for other in tables[number + 1 :]:
            found += _close_pairs(one, other)
    names = ["site", "image_id", "other_site", "other_image_id", "bits", "same_pixels"]
    return pd.DataFrame(found, columns=names)


def _close_pairs(one: pd.DataFrame, other: pd.DataFrame) -> list[tuple[str, str, str, str, int, bool]]:
    first, second = (
        np.array([int(text, 16) for text in table["perceptual_hash"]], dtype=np.uint64) for table in (one, other)
    )
    bits = np.bitwise_count(first[:, None] ^ second[None, :])
    same = one["sha256"].to_numpy()[:, None] == other["sha256"].to_numpy()[None, :]
    rows, columns = np.nonzero((bits <= ACROSS_SITES) | same)
    return [
        (
            one["site"].iat[row], one["image_id"].iat[row], other["site"].iat[column], other["image_id"].iat[column],
            int(bits[row, column]), bool(same[row, column]),
        )
        for row, column in zip(rows, columns)
    ]  # fmt: skip
