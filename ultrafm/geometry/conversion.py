"""Scan conversion: beam data (samples in depth, lines) to a picture and back, by interpolation.

Where each pixel is sampled depends on the geometry and the sizes only, so it is computed once and kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage, sparse

from ultrafm.errors import UltraFMError
from ultrafm.geometry.shapes import Geometry, Placement, fit

_EDGE = 1e-9  # rounding must not push the outermost beams out of the sector


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


@lru_cache(maxsize=64)
def picture_coordinates(
    geometry: Geometry, height: int, width: int, lines: int, samples: int, placement: Placement | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Where in the beam data each scanned pixel of a picture lies.

    Returns `coordinates`, (2, scanned pixels) float32, sample and line of each, row by row, and `inside`, (height,
    width) bool, the scanned pixels. The arrays are shared between callers and read-only.
    """
    place = placement or fit(geometry, height, width)
    x = (np.arange(width) - place.origin_column)[None, :] * place.mm_per_pixel
    y = (np.arange(height) - place.origin_row)[:, None] * place.mm_per_pixel
    depth, line = np.broadcast_arrays(*geometry.to_unit(x, y))
    inside = (depth >= -_EDGE) & (depth <= 1 + _EDGE) & (line >= -_EDGE) & (line <= 1 + _EDGE)
    coordinates = np.stack([depth[inside] * (samples - 1), line[inside] * (lines - 1)]).astype(np.float32)
    return _read_only(coordinates), _read_only(inside)


@lru_cache(maxsize=16)
def _linear_weights(
    geometry: Geometry, height: int, width: int, lines: int, samples: int, placement: Placement | None
) -> sparse.csr_array:
    """Linear interpolation at `picture_coordinates` as a sparse matrix (scanned pixels, samples * lines).

    Many pictures share one geometry; a product with this matrix is ten times faster than map_coordinates.
    """
    coordinates, _inside = picture_coordinates(geometry, height, width, lines, samples, placement)
    sample, line = (np.clip(axis, 0, size - 1) for axis, size in zip(coordinates, (samples, lines)))
    above, left = np.minimum(sample.astype(int), samples - 2), np.minimum(line.astype(int), lines - 2)
    down, right = sample - above, line - left
    first = above * lines + left
    columns = np.stack([first, first + 1, first + lines, first + lines + 1], 1)
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], 1)
    starts = np.arange(0, 4 * len(first) + 1, 4)
    parts = (weights.ravel().astype(np.float32), columns.ravel(), starts)
    return sparse.csr_array(parts, shape=(len(first), samples * lines))


@lru_cache(maxsize=64)
def beam_coordinates(
    geometry: Geometry, height: int, width: int, lines: int, samples: int, placement: Placement | None = None
) -> np.ndarray:
    """Where in a picture each sample of each beam lies: (2, samples, lines) float32, row and column; read-only."""
    place = placement or fit(geometry, height, width)
    depth = np.linspace(0, 1, samples)[:, None]
    line = np.linspace(0, 1, lines)[None, :]
    x, y = geometry.to_mm(depth, line)
    rows = y / place.mm_per_pixel + place.origin_row
    columns = x / place.mm_per_pixel + place.origin_column
    return _read_only(np.stack(np.broadcast_arrays(rows, columns)).astype(np.float32))


def _require_plane(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or min(array.shape) < 2:
        raise UltraFMError(name, f"an array of shape {array.shape}", "two dimensions of at least 2")
    return array.astype(np.float32, copy=False)


def to_picture(
    beam_data: np.ndarray, geometry: Geometry, height: int, width: int, order: int = 1,
    placement: Placement | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Scan conversion of `beam_data` (samples, lines) to a picture with the skin at the top and left on the left.

    Returns the picture, (height, width) float32, 0 outside the scan, and `inside`, (height, width) bool. `order` is
    that of the spline (0 for masks). Without `placement` the scan is fitted to the picture (`fit`). Raises
    UltraFMError when `beam_data` is not a plane.
    """
    data = _require_plane("to_picture", beam_data)
    samples, lines = data.shape
    place = (geometry, height, width, lines, samples, placement)
    coordinates, inside = picture_coordinates(*place)
    picture = np.zeros((height, width), np.float32)
    if order == 1:
        picture[inside] = _linear_weights(*place) @ data.ravel()
    else:
        picture[inside] = ndimage.map_coordinates(data, coordinates, order=order, mode="nearest")
    return picture, inside


def to_beams(
    picture: np.ndarray, geometry: Geometry, lines: int, samples: int, order: int = 1,
    placement: Placement | None = None,
) -> np.ndarray:  # fmt: skip
    """The beam data, (samples, lines) float32, that a picture (height, width) shows; the inverse of `to_picture`.

    Beams that leave the picture take the value of its nearest pixel. Raises UltraFMError when `picture` is not a plane.
    """
    data = _require_plane("to_beams", picture)
    coordinates = beam_coordinates(geometry, *data.shape, lines, samples, placement)
    return ndimage.map_coordinates(data, coordinates, order=order, mode="nearest")
