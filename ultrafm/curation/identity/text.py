"""Text and markers that a scanner burnt into a picture: where they are, whether they touch the scan, and blacking out.

Blobs that look like ink are joined into words: like heights, one line, small gaps. A word needs evidence, which its
letters give together, so that a single letter must be very clear and a bright spot of tissue is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
ONE_LINE = 1.7  # heights of its tallest letter that a word is high at most
LIKE_INK = 0.6  # share of a word's brightness that a full stop has at least
GAP_BESIDE, MOST_JOINED = 0.7, 4  # heights beside a word that its neighbours are; times that it is grown by them


@dataclass(frozen=True)
class Mark:
    """Something burnt in. box: left, top, right, bottom in pixels, right and bottom exclusive. kind: "text" or
    "caliper"."""

    box: tuple[int, int, int, int]
    kind: str


def find_text(grey: np.ndarray, colour: np.ndarray | None = None) -> list[Mark]:
    """Letters, digits, calipers and other ink in a picture (H, W) uint8, from top to bottom; words are one mark.

    colour: the same as (H, W, 3) uint8, where there is one. It tells blood flow from ink.
    """
    blobs = find_blobs(grey, colour)
    calipers = [Mark(tuple(blobs.boxes[number].tolist()), "caliper") for number in find_calipers(blobs)]
    taken = {mark.box for mark in calipers}
    words = [word for word in find_words(blobs) if word.box not in taken]
    return sorted(words + calipers, key=lambda mark: (mark.box[1], mark.box[0]))


def find_words(blobs: Blobs) -> list[Mark]:
    """Words among the blobs, with the full stops and accents beside and above them."""
    blobs = replace(blobs, looks=blobs.looks + blobs.hints)
    likely = np.flatnonzero((blobs.looks > UNLIKELY) & (blobs.heights >= LOWEST_LETTER))
    likely = likely[np.argsort(-blobs.looks[likely], kind="stable")[:MOST_BLOBS]]
    letters = blobs.take(likely)
    words = group_words(letters)
    boxes = join_neighbours(letters, words, blobs) if words else []
    return [Mark(tuple(box), "text") for box in boxes]


def group_words(letters: Blobs) -> list[np.ndarray]:
    """The words that letters make, each as the numbers of its letters.

    A clear word is made of blobs that each may well be ink; one very clear blob is enough. A long word is made of at
    least LONG blobs of one height, base line and brightness: faint letters, each of which proves little.
    """
    count = len(letters.area)
    near = neighbours(letters)
    clear = near[(letters.looks > MAYBE)[near].all(axis=1)]
    even = near[_on_one_line(letters, near)] + count  # a second copy of the letters, so that one search does for both
    of_clear = np.where(letters.looks > MAYBE, np.clip(letters.looks - MAYBE - 1, 0, MOST_EVIDENCE), 0) / ENOUGH
    of_long = np.clip((letters.looks - UNLIKELY) / (MAYBE - UNLIKELY), 0, 1) / LONG
    pairs = np.concatenate([clear, even])
    graph = csr_matrix((np.ones(len(pairs)), pairs.T), shape=(2 * count, 2 * count))
    group = connected_components(graph, directed=False)[1] if count else np.zeros(0, int)
    evidence = np.bincount(group, np.concatenate([of_clear, of_long]))
    words = [np.flatnonzero(group == name) % count for name in np.flatnonzero(evidence >= 1)]
    return _united([word for word in words if _is_level(letters.boxes[word])])


def _united(words: list[np.ndarray]) -> list[np.ndarray]:
    """Words that share a letter as one; a word can be both clear and long."""
    united: list[set[int]] = []
    for word in words:
        letters = set(word.tolist())
        letters = letters.union(*(known for known in united if known & letters))
        united = [known for known in united if not known & letters] + [letters]
    return [np.array(sorted(letters)) for letters in united]


def _is_level(boxes: np.ndarray) -> bool:
    """Do boxes lie on one line? Chains of specks along an arc do not."""
    return bool(boxes[:, 3].max() - boxes[:, 1].min() <= ONE_LINE * (boxes[:, 3] - boxes[:, 1]).max())


def _on_one_line(letters: Blobs, near: np.ndarray) -> np.ndarray:
    """Which pairs have the same top, base line and brightness."""
    first, second = near.T
    difference = np.abs(letters.boxes[first] - letters.boxes[second])[:, 1::2].max(axis=1, initial=0)
    same_ink = np.abs(letters.level[first] - letters.level[second]) <= SAME_INK
    return same_ink & (difference <= np.maximum(1, 0.12 * letters.heights[first]))


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


def join_neighbours(letters: Blobs, words: list[np.ndarray], blobs: Blobs) -> list[list[int]]:
    """The boxes of words, grown by blobs of their brightness that stand so near that they belong to them."""
    member, first = np.concatenate(words), np.cumsum([0] + [len(word) for word in words[:-1]])
    boxes = letters.boxes[member]
    found = np.hstack([np.minimum.reduceat(boxes[:, :2], first), np.maximum.reduceat(boxes[:, 2:], first)])
    # what is taller than it is wide, such as a line on a scale, reaches no further than its width
    size = np.minimum(np.maximum.reduceat(letters.heights[member], first), found[:, 2] - found[:, 0])
    level = np.minimum.reduceat(letters.level[member], first)
    word, near = np.nonzero(_in_line(found, size, level, blobs))
    left, top, right, bottom = blobs.boxes[near].T
    for _ in range(MOST_JOINED):
        reach = GAP_BESIDE * size
        reached = (left <= (found[:, 2] + reach)[word]) & (right >= (found[:, 0] - reach)[word])
        before, at = found.copy(), word[reached]
        for column, side in enumerate((left, top, right, bottom)):
            (np.minimum if column < 2 else np.maximum).at(found[:, column], at, side[reached])
        if (found == before).all():
            break
    return found.tolist()


def _in_line(found: np.ndarray, size: np.ndarray, level: np.ndarray, blobs: Blobs) -> np.ndarray:
    """Which blobs may belong to which words, bool (words, blobs): on the line, bright enough, no streak of tissue."""
    found, size, level = found[:, :, None], size[:, None], level[:, None]
    left, top, right, bottom = blobs.boxes.T
    fits = (top >= found[:, 1] - 0.4 * size) & (bottom <= found[:, 3] + 0.3 * size)
    far = (MOST_JOINED + 1) * GAP_BESIDE * size
    fits &= (left <= found[:, 2] + far) & (right >= found[:, 0] - far)
    return fits & (blobs.level >= LIKE_INK * level) & ((blobs.looks > UNLIKELY) | (blobs.widths <= 0.8 * size))


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
