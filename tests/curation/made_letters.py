"""Simulated speckle without graphics, and words drawn into pictures with the place of each character known."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

WORDS = (
    "JOHN DOE", "MED CTR", "1961-04-23", "03/15/21", "06:32:41PM", "LIVER R", "MAMA ESQ", "ID 4711-08", "12.4mm",
    "MI 0.8 TIs 0.4", "Thyroid left", "General Hospital", "EX20943", "5.0cm", "Obl. ML", "Dr. Kim",
)  # fmt: skip
INK = 0.5  # share of full cover from which a pixel belongs to a drawn character


@dataclass(frozen=True)
class Character:
    """One drawn character: its box (left, top, right, bottom; exclusive) and its ink in the box, bool (h, w)."""

    text: str
    box: tuple[int, int, int, int]
    ink: np.ndarray


def tissue(seed: int, height: int = 300, width: int = 400, grain: float = 1.0, sector: bool = False) -> np.ndarray:
    """Log-compressed speckle (height, width) uint8 with layers, an echo-free cyst and bright spots; a fan or a frame.

    Rayleigh speckle of a point spread `grain` pixels deep and 2.5 times as wide (Wagner et al. 1983), 50 dB shown, the
    middle of the tissue 60 to 110 grey values bright.
    """
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(2, height, width))
    field = [ndimage.gaussian_filter(part, (grain, 2.5 * grain)) for part in noise]
    rows, columns = np.mgrid[:height, :width]
    scatter = np.exp(ndimage.gaussian_filter(generator.normal(size=(height, width)), (4, 40)) * 12)
    centre, radius = generator.uniform(0.3, 0.7, 2) * (height, width), generator.uniform(8, 30)
    scatter[np.hypot(rows - centre[0], columns - centre[1]) < radius] *= 0.01
    for row, column in generator.uniform(0, 1, (6, 2)) * (height, width):
        scatter += 12 * np.exp(-(((rows - row) / (1.2 * grain)) ** 2) - ((columns - column) / (3.5 * grain)) ** 2)
    echo = np.hypot(*field) * scatter
    level = 20 * np.log10(echo / np.median(echo) + 1e-6)
    grey = np.clip(generator.uniform(60, 110) + level / 50 * 255, 0, 255)
    return np.where(scan_shape(height, width, sector), grey, 0).astype(np.uint8)


def scan_shape(height: int, width: int, sector: bool) -> np.ndarray:
    """Where the scan lies, bool: a fan whose arc's centre is above the picture, or a frame."""
    rows, columns = np.mgrid[:height, :width]
    if not sector:
        edge = min(height, width) // 12
        return (rows >= edge) & (rows < height - edge) & (columns >= edge) & (columns < width - edge)
    across, down = columns - width / 2, rows + 0.2 * height
    radius, angle = np.hypot(across, down), np.degrees(np.arctan2(across, down))
    return (radius > 0.3 * height) & (radius < 1.1 * height) & (np.abs(angle) < 34)


def draw_words(
    picture: np.ndarray, seed: int, size: int, ink: int, count: int = 3, words: tuple[str, ...] = WORDS
) -> tuple[np.ndarray, list[Character]]:
    """Words at random places that do not overlap; returns the picture and its characters (blanks left out)."""
    generator = np.random.default_rng(seed)
    font = ImageFont.load_default(size)
    cover, taken = np.zeros(picture.shape, np.float32), np.zeros(picture.shape, bool)
    characters: list[Character] = []
    for _attempt in range(20 * count):
        word = str(generator.choice(words))
        width, height = int(font.getlength(word)) + 2, int(1.3 * size) + 2
        if count == 0 or width + 8 >= picture.shape[1] or height + 8 >= picture.shape[0]:
            continue
        left, top = (int(generator.integers(4, room)) for room in np.array(picture.shape)[::-1] - (width, height) - 3)
        place = (slice(top - 3, top + height + 3), slice(left - 3, left + width + 3))
        if not taken[place].any():
            taken[place], count = True, count - 1
            characters += _draw_word(cover, word, font, left, top)
    return np.rint(picture * (1 - cover) + ink * cover).astype(np.uint8), characters


def _draw_word(cover: np.ndarray, word: str, font: ImageFont.FreeTypeFont, left: int, top: int) -> list[Character]:
    """Draw each character by itself at its place in the word; returns the characters."""
    characters = []
    for number, letter in enumerate(word):
        page = Image.new("L", cover.shape[::-1])
        ImageDraw.Draw(page).text((left + font.getlength(word[:number]), top), letter, fill=255, font=font)
        drawn = np.asarray(page, np.float32) / 255
        np.maximum(cover, drawn, out=cover)
        rows, columns = np.nonzero(drawn >= INK)
        if len(rows):
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            characters.append(Character(letter, box, drawn[box[1] : box[3], box[0] : box[2]] >= INK))
    return characters


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """The picture after saving as JPEG of this quality, grey or colour."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
