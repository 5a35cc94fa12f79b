"""Weights as Flower's array records and back, many times faster than through numpy.save and numpy.load.

The bytes are the same: those of .npy files, format 1.0. So any Flower application reads what is written here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.lib import format as npy


@lru_cache(maxsize=4096)
def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """The head of an .npy file that holds an array of this type and shape in C order."""
    head = io.BytesIO()
    description = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(head, description)
    return head.getvalue()


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """The arrays as a Flower record."""
    return ArrayRecord({name: to_array(value) for name, value in arrays.items()})


def to_array(value: np.ndarray) -> Array:
    """One array as Flower's."""
    data = b"".join((npy_header(value.dtype, value.shape), np.ascontiguousarray(value).data))
    return Array(str(value.dtype), value.shape, "numpy.ndarray", data)


def from_record(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The arrays of a Flower record, as views of its bytes that cannot be written to."""
    return {name: from_array(array) for name, array in record.items()}


def from_array(array: Array) -> np.ndarray:
    """One of Flower's arrays; bytes that `to_array` did not write are left to Flower to read."""
    dtype, shape = np.dtype(array.dtype), tuple(array.shape)
    head = npy_header(dtype, shape)
    if not array.data.startswith(head):
        return array.numpy()
    return np.frombuffer(array.data, dtype, offset=len(head)).reshape(shape)
