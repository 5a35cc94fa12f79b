"""Text and markers that a scanner burnt into a picture: where they are, whether they touch the scan, and blacking out.

Blobs that look like ink are joined into words: like heights, one line, small gaps. A word needs evidence, which its
letters give together, so that a single letter must be very clear and a bright spot of tissue is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ultrafm.curation.identity.ink import Blobs, find_blobs
from ultrafm.curation.identity.markers import find_calipers

MAYBE, UNLIKELY = -4.0, -8.0  # log odds from which a blob may be part of a clear word, of a long one
LOWEST_LETTER = 4  # pixels; lower blobs (full stops, dashes) are only joined to words
MOST_BLOBS = 500  # that are looked at; the likeliest
NEAREST, REACH = 6, 50.0  # how many blobs at a blob's right are looked at, and how many pixels away at most
MOST_EVIDENCE, ENOUGH = 8.0, 7.0  # of one letter; of a word. One letter at even odds gives -MAYBE - 1
LONG, SAME_INK = 3, 30  # letters of a word that are sure together; grey values between neighbours of one ink
LIKE_INK = 0.6  # share of a word's brightness that a full stop has at least
MOST_JOINED = 4  # times that a word is grown by what stands beside it


@dataclass(frozen=True)
class Mark:
    """Something burnt in. box: left, top, right, bottom in pixels, right and bottom exclusive. kind: "text" or
    "caliper"."""

    box: tuple[int, int, int, int]
    kind: str


def find_text(grey: np.ndarray, colour: np.ndarray | None = None) -> list[Mark]:
    """Letters, digits, calipers and other ink in a picture (H, W) uint8, from top to bottom; words are one mark."""
    blobs = find_blobs(grey)
    calipers = [Mark(tuple(blobs.boxes[number].tolist()), "caliper") for number in find_calipers(blobs)]
    marks = find_words(blobs) + calipers
    return sorted(marks, key=lambda mark: (mark.box[1], mark.box[0]))


def find_words(blobs: Blobs) -> list[Mark]:
    """Words among the blobs, with the full stops and accents beside and above them."""
    likely = np.flatnonzero((blobs.looks > UNLIKELY) & (blobs.heights >= LOWEST_LETTER))
    likely = likely[np.argsort(-blobs.looks[likely], kind="stable")[:MOST_BLOBS]]
    letters = blobs.take(likely)
    near = neighbours(letters)
    words = _clear_words(letters, near) + _long_words(letters, near)
    return [Mark(_joined(letters, own, blobs), "text") for own in words]


def neighbours(letters: Blobs) -> np.ndarray:
    """Pairs (n, 2) of blobs of which the second may follow the first on a line: of like height, after a small gap."""
    if len(letters.area) < 2:
        return np.zeros((0, 2), dtype=int)
    left, top, right, bottom = letters.boxes.T
    middle = top + bottom  # twice the middle: a step down counts as two steps aside
    starts, ends = np.stack([left, middle], axis=1), np.stack([right, middle], axis=1)
    found = cKDTree(starts).query(ends, k=NEAREST, distance_upper_bound=REACH)[1]
    first, second = np.repeat(np.arange(len(left)), NEAREST), found.ravel()
    first, second = first[second < len(left)], second[second < len(left)]
    higher = np.maximum(letters.heights[first], letters.heights[second])
    lower = np.minimum(letters.heights[first], letters.heights[second])
    shared = np.minimum(bottom[first], bottom[second]) - np.maximum(top[first], top[second])
    fits = (shared >= 0.6 * lower) & (higher <= 1.8 * lower) & (left[second] - right[first] <= 0.9 * higher)
    return np.stack([first, second], axis=1)[fits & (first != second)]


def _clear_words(letters: Blobs, near: np.ndarray) -> list[np.ndarray]:
    """Words of blobs that each may well be ink, as arrays of their numbers; a word can be one very clear blob."""
    may_be = letters.looks > MAYBE
    evidence = np.where(may_be, np.clip(letters.looks - MAYBE - 1, 0, MOST_EVIDENCE), 0)
    return _groups(near[may_be[near].all(axis=1)], evidence, ENOUGH)


def _long_words(letters: Blobs, near: np.ndarray) -> list[np.ndarray]:
    """Words of at least LONG blobs of one height, base line and brightness: faint letters, each of which proves little."""
    first, second = near.T
    difference = np.abs(letters.boxes[first] - letters.boxes[second])[:, 1::2].max(axis=1, initial=0)
    same_line = difference <= np.maximum(1, 0.12 * letters.heights[first])
    same_ink = np.abs(letters.level[first] - letters.level[second]) <= SAME_INK
    evidence = np.clip((letters.looks - UNLIKELY) / (MAYBE - UNLIKELY), 0, 1)
    return _groups(near[same_line & same_ink], evidence, LONG)


def _groups(pairs: np.ndarray, evidence: np.ndarray, enough: float) -> list[np.ndarray]:
    """The blobs of each connected group whose evidence adds up to enough."""
    count = len(evidence)
    graph = csr_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    group = connected_components(graph, directed=False)[1] if count else np.zeros(0, int)
    return [np.flatnonzero(group == name) for name in np.flatnonzero(np.bincount(group, evidence) >= enough)]


def _joined(letters: Blobs, own: np.ndarray, blobs: Blobs) -> tuple[int, int, int, int]:
    """The box of a word, with blobs of its brightness that stand so near that they belong to it."""
    left, top = letters.boxes[own, :2].min(axis=0)
    right, bottom = letters.boxes[own, 2:].max(axis=0)
    size, level = np.median(letters.heights[own]), letters.level[own].mean()
    across, down = blobs.boxes[:, 0::2], blobs.boxes[:, 1::2]
    of_line = (down[:, 0] >= top - 0.4 * size) & (down[:, 1] <= bottom + 0.3 * size)
    no_streak = (blobs.looks > UNLIKELY) | (blobs.widths <= 0.8 * size)
    near = np.flatnonzero(of_line & no_streak & (blobs.level >= LIKE_INK * level))
    for _ in range(MOST_JOINED):
        reached = near[(across[near, 0] <= right + 0.7 * size) & (across[near, 1] >= left - 0.7 * size)]
        before = left, right
        left, right = min(left, *across[reached, 0], left), max(right, *across[reached, 1], right)
        top, bottom = min(top, *down[reached, 0], top), max(bottom, *down[reached, 1], bottom)
        if (left, right) == before:
            break
    return int(left), int(top), int(right), int(bottom)


def place_marks(marks: Sequence[Mark], inside: np.ndarray) -> list[str]:
    """For each mark "outside", "touching" or "inside" of the scan area, given as bool (H, W)."""
    places = []
    for mark in marks:
        left, top, right, bottom = mark.box
        share = inside[top:bottom, left:right].mean()
        places.append("outside" if share == 0 else "inside" if share == 1 else "touching")
    return places


def black_out(grey: np.ndarray, marks: Sequence[Mark], margin: int = 2) -> np.ndarray:
    """The picture with the marks' boxes, grown by `margin` pixels, at 0; the spaces between letters too."""
    blackened = grey.copy()
    for mark in marks:
        left, top, right, bottom = mark.box
        blackened[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin] = 0
    return blackened
