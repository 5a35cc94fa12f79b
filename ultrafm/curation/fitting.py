"""Fitting a cropped picture, its scan sector and its mask into one square, aspect kept, zeros around."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea

LESION = "lesion"


def fitted_size(width: int, height: int, image_size: int) -> tuple[int, int]:
    """Width and height after scaling the longer side to `image_size`; at least one pixel each."""
    scale = image_size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def fit(picture: np.ndarray, image_size: int, resampling: Image.Resampling) -> np.ndarray:
    """Scale a uint8 picture (H, W) and put it into the middle of a square (image_size, image_size) of zeros."""
    height, width = picture.shape
    size = fitted_size(width, height, image_size)
    scaled = Image.fromarray(picture).resize(size, resampling)
    square = Image.new("L", (image_size, image_size))
    square.paste(scaled, ((image_size - size[0]) // 2, (image_size - size[1]) // 2))
    return np.asarray(square)


def unfit(square: np.ndarray, width: int, height: int) -> np.ndarray:
    """The way back: the part of a square (S, S) that `fit` filled, as (height, width), linearly between its pixels."""
    side = len(square)
    size = fitted_size(width, height, side)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    part = np.asarray(square, dtype=np.float32)[top : top + size[1], left : left + size[0]]
    return np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))


def fit_grey(crop: np.ndarray, image_size: int) -> np.ndarray:
    """Fit grey values: area averaging when shrinking (no aliasing of speckle), linear interpolation when enlarging."""
    shrinks = max(crop.shape) >= image_size
    return fit(crop, image_size, Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR)


def structure_numbers(mask_values: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Structure -> its value in a curated mask: 1, 2, ... in the order of the names; one lesion without mask_values."""
    return {name: number for number, name in enumerate(sorted(mask_values) or [LESION], start=1)}


def binarise(mask: np.ndarray, mask_values: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Replace a mask's source values by the structures' numbers (uint8; 0 is background).

    Raises Unusable for a value that no structure has.
    """
    if not mask_values:
        return (mask > 0).astype(np.uint8)
    known = sorted({value for values in mask_values.values() for value in values})
    values = np.unique(mask) if mask.min() < 0 else np.flatnonzero(np.bincount(mask.ravel()))
    odd = [str(value) for value in values if value not in known and value != 0]
    if odd:
        found = f"the values {', '.join(odd[:5])}"
        raise Unusable("unknown mask value", found, f"0 and {', '.join(map(str, known))}, as in mask_values")
    numbers = np.zeros(int(values.max()) + 1, dtype=np.uint8)
    for name, number in structure_numbers(mask_values).items():
        numbers[[value for value in mask_values[name] if value < len(numbers)]] = number
    return numbers[mask]


def crop_to(picture: np.ndarray, area: ScanArea) -> np.ndarray:
    """The part of a picture (H, W) inside the box of its scan area."""
    left, top, right, bottom = area.box
    return picture[top:bottom, left:right]


def structures_of(mask_values: dict[str, tuple[int, ...]]) -> dict[str, list[int]]:
    """Structure -> the source's pixel values that it was made of; an empty list means every value above 0."""
    return {name: list(values) for name, values in mask_values.items()} or {LESION: []}
