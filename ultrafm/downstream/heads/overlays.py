"""Overlays: the de-identified crop of a picture at its own resolution, with outline or saliency and a line of words.

Only the scan area is shown, black where text was found: nothing that was burnt in around it. Where a picture shows no
border of the scan, all of it counts as scan area, and text that was not found is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from ultrafm.curation.fitting import unfit
from ultrafm.downstream.methods.drawing import label_map

COLOURS = ((255, 115, 0), (0, 217, 115), (86, 180, 233), (240, 228, 66), (204, 121, 167))  # red, green, blue
COLOUR_NAMES = ("orange", "green", "blue", "yellow", "pink")
SMALLEST = 320  # width of the pictures that are written, so that the words below can be read
STRENGTH = 0.55  # how far the strongest saliency covers the picture


def outline_overlay(crop: np.ndarray, shares: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: the outline of each of C structures over a crop (h, w); shares (C, S, S), thresholds (C,)."""
    picture, scale = _in_colour(crop)
    height, width = picture.shape[:2]
    labels = label_map(np.stack([unfit(one, width, height) for one in shares])[None], thresholds)[0]
    for number in range(len(shares)):
        drawn = (labels == number + 1).astype(np.uint8)
        lines, _ = cv2.findContours(drawn, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        colour = COLOURS[number % len(COLOURS)]
        cv2.drawContours(picture, lines, -1, colour, max(1, round(1.5 * scale)), cv2.LINE_AA)
    return picture


def saliency_overlay(crop: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: (S, S) saliency over a crop (h, w); red speaks for the call, blue against it."""
    picture, _ = _in_colour(crop)
    found = unfit(saliency, picture.shape[1], picture.shape[0])
    found = found / max(float(np.abs(found).max()), 1e-12)
    colours = colormaps["coolwarm"](0.5 + found / 2)[..., :3] * 255
    share = (STRENGTH * np.abs(found))[..., None]
    return np.round((1 - share) * picture + share * colours).astype(np.uint8)


def colour_words(names: Sequence[str]) -> str:
    """Which structure has which colour: "nerve orange, vessel green"."""
    return ", ".join(f"{name} {COLOUR_NAMES[number % len(COLOURS)]}" for number, name in enumerate(names))


def with_words(picture: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """The picture with lines of plain words on black below it; words that do not fit go to the next line."""
    width = picture.shape[1]
    letters = max(10, int(width / 7.2))
    broken = [part for line in lines for part in _broken(line, letters)]
    strip = np.zeros((18 * len(broken) + 8, width, 3), dtype=np.uint8)
    for number, line in enumerate(broken):
        place = (4, 18 * (number + 1) - 2)
        cv2.putText(strip, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
    return np.concatenate([picture, strip])


def encode_colour(picture: np.ndarray) -> bytes:
    """(h, w, 3) uint8, red first, as PNG without any metadata."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def _in_colour(crop: np.ndarray) -> tuple[np.ndarray, int]:
    """A grey crop as RGB; a small one is enlarged a whole number of times."""
    scale = max(1, -(-SMALLEST // crop.shape[1]))
    large = np.repeat(np.repeat(crop, scale, axis=0), scale, axis=1)
    return np.ascontiguousarray(np.repeat(large[..., None], 3, axis=2)), scale


def _broken(line: str, letters: int) -> list[str]:
    parts: list[str] = [""]
    for word in line.encode("ascii", "replace").decode().split():
        if parts[-1] and len(parts[-1]) + 1 + len(word) > letters:
            parts.append("")
        parts[-1] = f"{parts[-1]} {word}".strip()
    return parts
