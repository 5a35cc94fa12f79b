"""Decoding pictures and masks. Whatever cannot be decoded is `Unusable`, never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ultrafm.curation.reasons import Unusable

STILLS = "a PNG, JPEG, TIFF, BMP, WebP or GIF picture, a clip or a DICOM file"
CHROMA = 24  # difference of the colour channels from which a pixel counts as coloured; JPEG noise stays below
COLOURED_SHARE = 0.01  # share of coloured pixels from which a picture does
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Decoded:
    """A picture as grey values (H, W) uint8, and whether it had colour (Doppler, elastography, a tint).

    spacing_mm: height and width of a pixel in millimetres, where the file tells.
    """

    grey: np.ndarray
    colour: bool
    spacing_mm: tuple[float, float] | None = None


def find_file(folder: Path, name: str) -> Path:
    """The path of a file that the table names. Raises Unusable when it is not inside the folder, missing or empty."""
    path = (Path(folder) / name).resolve()
    if not path.is_relative_to(Path(folder).resolve()):
        raise Unusable("file outside the folder", name, "a file inside the site's folder")
    if not path.is_file():
        raise Unusable("missing file", f"no file {name}", "a file of that name in the site's folder")
    if path.stat().st_size == 0:
        raise Unusable("empty file", "0 bytes", STILLS)
    return path


def read_picture(path: Path) -> Decoded:
    """Decode one picture. 16-bit grey is scaled by its bit depth, colour turned to grey by luminance (ITU-R BT.601).

    Raises Unusable for a file that is truncated, not a picture, or has more pixels than Pillow thinks safe.
    """
    return from_pillow(_open(path))


def from_pillow(picture: Image.Image) -> Decoded:
    """A picture that Pillow has opened; see `read_picture`."""
    if picture.mode in DEEP_MODES:
        return Decoded(to_eight_bits(np.asarray(picture)), False)
    if picture.mode in ("L", "1"):
        return Decoded(np.asarray(picture.convert("L")), False)
    if picture.mode in ("LA", "La"):
        return Decoded(np.asarray(picture.getchannel("L")), False)
    coloured = picture.convert("RGB")
    return Decoded(np.asarray(coloured.convert("L")), _has_colour(coloured))


def read_mask(path: Path, width: int, height: int) -> np.ndarray:
    """Decode one mask as whole numbers (H, W), two-valued ones as 0 and 1; a palette picture by index, not by colour.

    Raises Unusable when it cannot be read, or is not `width` x `height` like its picture.
    """
    mask = _open(path)
    if mask.size != (width, height):
        found = f"{mask.width} x {mask.height} pixels"
        raise Unusable("mask of another size", found, f"{width} x {height} pixels, like the picture")
    if mask.mode in DEEP_MODES:
        return np.nan_to_num(np.asarray(mask)).astype(np.int32)
    if mask.mode == "1":
        return np.asarray(mask).astype(np.uint8)
    return np.asarray(mask if mask.mode in ("P", "L") else mask.convert("L"))


def _open(path: Path) -> Image.Image:
    """The first picture of a file, fully loaded."""
    with opened(path) as picture:
        picture.load()
        return picture.copy()


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file as Pillow opens it; whatever goes wrong inside the block is Unusable, with the reason."""
    try:
        with Image.open(path) as picture:
            yield picture
    except UnidentifiedImageError as error:
        raise Unusable("not a picture", _looks_like(path), STILLS) from error
    except Image.DecompressionBombError as error:
        raise Unusable("too many pixels", str(error), f"at most {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels") from error
    except Unusable:
        raise
    except Exception as error:  # broken bytes make Pillow raise almost anything: OSError, SyntaxError, struct.error ...
        raise Unusable("damaged file", str(error) or type(error).__name__, "a whole picture") from error


def _looks_like(path: Path) -> str:
    with path.open("rb") as handle:
        start = handle.read(132)
    if start[128:] == b"DICM":
        return "a DICOM file"
    return f"a file that starts with {start[:8].hex(' ')}"


def to_eight_bits(deep: np.ndarray, bits: int = 0) -> np.ndarray:
    """Scale by the number of bits in use (8 to 16), so that one value means one grey at any picture of a device.

    `bits` is that number where the file tells it; else the largest value does.
    """
    values = np.clip(np.nan_to_num(deep.astype(np.float64)), 0, None)
    bits = max(8, bits, int(values.max()).bit_length())
    return np.round(values * (255 / (2**bits - 1))).astype(np.uint8)


def _has_colour(picture: Image.Image) -> bool:
    small = np.asarray(picture.reduce(max(1, max(picture.size) // 160))).astype(np.int16)
    return bool((np.ptp(small, axis=2) > CHROMA).mean() >= COLOURED_SHARE)
