"""Decoding pictures and masks. Whatever cannot be decoded is `Unusable`, never a crash."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ultrafm.curation.reasons import Unusable

STILLS = "a PNG, JPEG, TIFF, BMP, WebP or GIF picture, a clip or a DICOM file"
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")  # others stay closed: Pillow hands EPS to another program
MAX_PIXELS = 50_000_000  # of one picture; a screen of 7680 x 4320 has 33 million
CHROMA = 24  # difference of the colour channels from which a pixel counts as coloured; JPEG noise stays below
COLOURED_SHARE = 0.01  # share of coloured pixels from which a picture does
FAINT = 8  # the same difference, over the mean of a block, that thin coloured writing reaches and JPEG noise does not
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Decoded:
    """A picture as grey values (H, W) uint8, and whether it had colour (Doppler, elastography, a tint).

    spacing_mm: height and width of a pixel in millimetres, where the file tells.
    rgb: (H, W, 3) uint8 where anything at all is coloured, be it only writing; None for a grey picture.
    coloured_share: of the picture, 0 to 1; `colour` is true from COLOURED_SHARE on.
    """

    grey: np.ndarray
    colour: bool
    spacing_mm: tuple[float, float] | None = None
    rgb: np.ndarray | None = None
    coloured_share: float = 0.0


def find_file(folder: Path, name: str) -> Path:
    """The path of a file that the table names. Raises Unusable when it is not inside the folder, no file, or empty."""
    expected = "a file of that name in the site's folder"
    try:
        path = (Path(folder) / name).resolve()
        inside, is_file, is_folder = path.is_relative_to(Path(folder).resolve()), path.is_file(), path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a name too long, a ring of links, no permission
        raise Unusable("unreadable file", f"an error ({_reason(error)}) at", expected, shown_name(name)) from error
    if not inside:
        raise Unusable("file outside the folder", "the path", "a file inside the site's folder", shown_name(name))
    if is_folder:
        raise Unusable("folder in place of a file", "the folder", expected, shown_name(name))
    if not is_file:
        raise Unusable("missing file", "no file", expected, shown_name(name))
    if path.stat().st_size == 0:
        raise Unusable("empty file", "0 bytes", STILLS)
    return path


def shown_name(name: str) -> str:
    """A file's name as it can be printed and written: control characters and bytes that are no UTF-8 are escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def read_start(path: Path, count: int = 132) -> bytes:
    """The first bytes of a file. Raises Unusable when it cannot be opened."""
    try:
        with path.open("rb") as handle:
            return handle.read(count)
    except OSError as error:
        raise Unusable("unreadable file", _reason(error), "a file that this user may read") from error


def read_picture(path: Path) -> Decoded:
    """Decode one picture. 16-bit grey is scaled by its bit depth, colour turned to grey by luminance (ITU-R BT.601).

    Raises Unusable for a file that is truncated, not a picture, or has more than MAX_PIXELS pixels.
    """
    with opened(path) as picture:
        return from_pillow(picture)


def from_pillow(picture: Image.Image) -> Decoded:
    """A picture that Pillow has opened; see `read_picture`. What lies behind transparent pixels is shown as it is."""
    picture.load()  # before its mode is looked at: the later frames of a GIF change it
    if picture.mode in DEEP_MODES:
        return Decoded(to_eight_bits(np.asarray(picture)), False)
    if picture.mode in ("L", "1"):
        return Decoded(np.asarray(picture if picture.mode == "L" else picture.convert("L")), False)
    if picture.mode in ("LA", "La"):
        return Decoded(np.asarray(picture.getchannel("L")), False)
    return _from_colour(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _from_colour(picture: Image.Image) -> Decoded:
    """An RGB picture; its colour is judged on the means of blocks, about 160 along the longer side."""
    grey = np.asarray(picture.convert("L"))
    red, green, blue = np.moveaxis(np.asarray(picture.reduce(max(1, max(picture.size) // 160))), 2, 0)
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    share = float((chroma > CHROMA).mean())
    rgb = np.asarray(picture) if chroma.max() > FAINT else None
    return Decoded(grey, share >= COLOURED_SHARE, None, rgb, share)


def read_mask(path: Path, width: int, height: int) -> np.ndarray:
    """Decode one mask as whole numbers (H, W), two-valued ones as 0 and 1; a palette picture by index, not by colour.

    Raises Unusable when it cannot be read, or is not `width` x `height` like its picture.
    """
    with opened(path) as mask:
        if mask.size != (width, height):
            found = f"{mask.width} x {mask.height} pixels"
            raise Unusable("mask of another size", found, f"{width} x {height} pixels, like the picture")
        if mask.mode in DEEP_MODES:
            return np.nan_to_num(np.asarray(mask)).astype(np.int32)
        if mask.mode == "1":
            return np.asarray(mask).astype(np.uint8)
        return np.asarray(mask if mask.mode in ("P", "L") else mask.convert("L"))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file as Pillow opens it; whatever goes wrong inside the block is Unusable, with the reason."""
    with unusable_when_damaged(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd tags; the limit here is MAX_PIXELS
        with path.open("rb") as handle, Image.open(handle, formats=FORMATS) as picture:
            need_few_pixels(*picture.size)
            yield picture


@contextmanager
def unusable_when_damaged(path: Path) -> Iterator[None]:
    """Turn all that Pillow raises into Unusable."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise Unusable("not a picture", _looks_like(path), STILLS) from error
    except Image.DecompressionBombError as error:
        raise Unusable("too many pixels", str(error), f"at most {MAX_PIXELS} pixels") from error
    except PermissionError as error:
        raise Unusable("unreadable file", _reason(error), "a file that this user may read") from error
    except Unusable:
        raise
    except Exception as error:  # broken bytes make Pillow raise almost anything: OSError, SyntaxError, struct.error ...
        found = getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__  # the first has no path
        raise Unusable("damaged file", found, "a whole picture") from error


def need_few_pixels(width: int, height: int) -> None:
    """Raise Unusable for a picture of more than MAX_PIXELS pixels, before memory is taken for it."""
    if width * height > MAX_PIXELS:
        raise Unusable("too many pixels", f"{width} x {height} pixels", f"at most {MAX_PIXELS} pixels")


def _looks_like(path: Path) -> str:
    start = read_start(path)
    if start[128:] == b"DICM":
        return "a DICOM file"
    return f"a file that starts with {start[:8].hex(' ')}"


def _reason(error: Exception) -> str:
    """What the system says, without the path."""
    return getattr(error, "strerror", None) or type(error).__name__


def to_eight_bits(deep: np.ndarray, bits: int = 0) -> np.ndarray:
    """Scale by the number of bits in use (8 to 16), so that one value means one grey at any picture of a device.

    `bits` is that number where the file tells it; else the largest value does. Fractions up to 1 are shares of white;
    what is negative, infinite or no number is black.
    """
    if deep.dtype == np.uint8 and bits <= 8:
        return deep
    if deep.dtype.kind == "f":
        deep = np.nan_to_num(deep, nan=0, posinf=0, neginf=0)
    highest = max(0, deep.max())
    if deep.dtype.kind == "f" and highest <= 1:
        return np.round(np.maximum(deep, 0) * 255).astype(np.uint8)
    bits = max(8, bits, int(highest).bit_length())
    scale = 255 / (2**bits - 1)
    if deep.dtype.kind in "iu" and bits <= 16:  # a table of all values is quicker than arithmetic on all pixels
        table = np.round(np.arange(2**bits) * scale).astype(np.uint8)
        return table[np.maximum(deep, 0)]
    return np.round(np.maximum(deep, 0) * scale).astype(np.uint8)
