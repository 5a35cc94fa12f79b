"""Duplicates within a site: the same pixels, or pictures so alike that they must not stand in two folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ultrafm.curation.likeness import TIED, TIED_QUARTER, Compared, grey_correlation, tying
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.split import Ties

CLOSE_HASHES = 12  # bits of 64 that may differ before two pictures are compared at all
LEAST_CORRELATION = 0.97  # from here on two pictures of a patient show the same, and one of them is enough
MOST_TOLD = 5  # pictures that a reason names; more are counted


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
        if same_patient:
            alike = grey_correlation(look(position), look(other))
            if alike >= LEAST_CORRELATION:
                found = f"a correlation of {alike:.3f} with {tell(other)}"
                expected = f"less than {LEAST_CORRELATION:g} between pictures of a patient"
                return Unusable("near duplicate", found, expected)
            continue
        likeness = tying(look(position), look(other))
        if likeness is not None and not ties.tie(picture.patient, before.patient):
            found = f"{likeness} with {tell(other)}, another patient who is in another fold"
            return Unusable("ties two folds", found, f"less than {TIED:g} or {TIED_QUARTER:g}")
    return None
