"""Pictures for pages: fetched when they are shown, one at a time, and put into the page as data addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from PIL import Image
from scipy import ndimage

from ultrafm.curation.store import decode_png
from ultrafm.errors import UltraFMError

SECTOR_COLOUR, MASK_COLOUR = (213, 94, 0), (86, 180, 233)  # of the house's palette
SHOWN_SIDE = 224  # pixels; smaller pictures are enlarged to at least this side
JPEG_QUALITY = 90  # letters stay sharp, a picture of 256 pixels takes about 15 kB


class Picture(NamedTuple):
    """A de-identified picture as it is shown.

    image: (H, W) uint8, any size. sector: (H, W), above 0 inside the scan, or None. mask: (H, W), above 0 inside a
    structure, or None.
    """

    image_id: str
    image: np.ndarray
    sector: np.ndarray | None = None
    mask: np.ndarray | None = None


# Gives the pictures of these image ids, in this order, one after the other.
Gallery = Callable[[Sequence[str]], Iterable[Picture]]


def fetch(gallery: Gallery, ids: Sequence[str]) -> Iterator[Picture]:
    """The pictures of these ids. Raises UltraFMError when the gallery gives others, fewer or more."""
    if not ids:
        return
    found = 0
    for picture in gallery(list(ids)):
        if found == len(ids) or picture.image_id != ids[found]:
            wanted = ids[found] if found < len(ids) else "no more pictures"
            raise UltraFMError("pictures of a page", picture.image_id, wanted, "curate the site again")
        found += 1
        yield picture
    if found < len(ids):
        raise UltraFMError("pictures of a page", f"{found} pictures", f"{len(ids)} pictures", "curate the site again")


def store_gallery(table: pa.Table) -> Gallery:
    """The pictures of a curated store (see store.read_table), read and decoded when they are asked for."""

    def read(ids: Sequence[str]) -> Iterator[Picture]:
        places = pyarrow.compute.index_in(table["image_id"], value_set=pa.array(ids, type=pa.string()))
        there = pyarrow.compute.indices_nonzero(pyarrow.compute.is_valid(places))
        row_of = dict(zip(places.take(there).to_pylist(), there.to_pylist()))
        for number, image_id in enumerate(ids):
            if number not in row_of:
                raise UltraFMError("curated store", f"no picture {image_id}", "a picture of this store")
            cells = table.slice(row_of[number], 1).select(["image", "sector", "mask"]).to_pylist()[0]
            yield Picture(image_id, *(cell and decode_png(cell["bytes"]) for cell in cells.values()))

    return read


def outlined(picture: Picture) -> np.ndarray:
    """The picture (zoom H, zoom W, 3) uint8 with thin lines around its scan (orange) and its structures (blue)."""
    zoom = max(1, -(-SHOWN_SIDE // max(picture.image.shape)))
    colours = np.repeat(_enlarged(picture.image, zoom)[:, :, None], 3, axis=2)
    for area, colour in ((picture.sector, SECTOR_COLOUR), (picture.mask, MASK_COLOUR)):
        if area is not None:
            colours[_border(area, zoom)] = colour
    return colours


def _enlarged(plane: np.ndarray, zoom: int) -> np.ndarray:
    return plane.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _border(area: np.ndarray, zoom: int) -> np.ndarray:
    """A line of 2 pixels just inside the edge of each structure; numbers above 0 are told apart."""
    large = _enlarged(area, zoom)
    line = np.zeros(large.shape, dtype=bool)
    for number in np.unique(area[area > 0]):
        inside = large == number
        line |= inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=0)
    return line


def png_address(picture: np.ndarray) -> str:
    """A picture (H, W) or (H, W, 3) uint8 as a data address, without loss."""
    return _address(picture, "png", compress_level=6)


def jpeg_address(picture: np.ndarray) -> str:
    """A picture (H, W) or (H, W, 3) uint8 as a data address of little size."""
    return _address(picture, "jpeg", quality=JPEG_QUALITY)


def _address(picture: np.ndarray, kind: str, **options: int) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
