"""A site's update in fewer bytes: what it changed, as bf16 or as int8 with a scale for every thousand numbers.

What rounding loses is not lost: the site keeps it and adds it to its next update (error feedback: Seide et al. 2014;
Karimireddy et al. 2019, arXiv 1901.09847). The coordinator sends whole float32 weights, so all sites start alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ultrafm.errors import one_of
from ultrafm.federation.vector import WEIGHTS

COMPRESSIONS = ("none", "bf16", "int8")
CODES, SCALES = "codes", "scales"
BLOCK = 1024  # numbers that share a scale
GREATEST = 127


def compress(change: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """A change of weights (float32 vector) as the arrays that travel: bf16 bits, or int8 codes with their scales."""
    if one_of("compression", kind, COMPRESSIONS[1:]) == "bf16":
        return {CODES: torch.from_numpy(change).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)}
    padded = np.zeros(-(-len(change) // BLOCK) * BLOCK, np.float32)
    padded[: len(change)] = change
    blocks = padded.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1) / np.float32(GREATEST)
    codes = np.rint(blocks / np.where(scales > 0, scales, 1)[:, None])
    return {CODES: codes.astype(np.int8).reshape(-1)[: len(change)], SCALES: scales}


def expand(arrays: Mapping[str, np.ndarray], part: slice) -> np.ndarray:
    """A part of a compressed change in float32; `part` starts and, but for the last, ends at a multiple of BLOCK."""
    codes = arrays[CODES][part]
    if codes.dtype == np.uint16:
        return (codes.astype(np.uint32) << 16).view(np.float32)
    scales = arrays[SCALES][part.start // BLOCK : -(-(part.start + len(codes)) // BLOCK)]
    return codes * np.repeat(scales, BLOCK)[: len(codes)]


def expected_arrays(numbers: int, kind: str) -> dict[str, tuple[str, tuple[int]]]:
    """Name, type and shape of what a site sends for so many weights."""
    if kind == "none":
        return {WEIGHTS: ("float32", (numbers,))}
    if kind == "bf16":
        return {CODES: ("uint16", (numbers,))}
    return {CODES: ("int8", (numbers,)), SCALES: ("float32", (-(-numbers // BLOCK),))}


@dataclass(frozen=True)
class Update:
    """What a site changed, read a part at a time: `old` are the weights that it was sent, `arrays` what it sent."""

    old: np.ndarray
    arrays: Mapping[str, np.ndarray]

    def part(self, part: slice, kind: type[np.floating] = np.float64) -> np.ndarray:
        """The change of these weights, in float64 or as told."""
        if WEIGHTS in self.arrays:
            return np.subtract(self.arrays[WEIGHTS][part], self.old[part], dtype=kind)
        return expand(self.arrays, part).astype(kind, copy=False)


def parts(length: int, size: int = 1 << 16) -> list[slice]:
    """Cut a vector into parts that stay in the processor's cache while they are worked on."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
