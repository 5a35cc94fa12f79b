"""The pictures of one place as training reads them: arrays, and batches of tensors made from their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ultrafm.errors import UltraFMError
from ultrafm.geometry.frames import ScanFrames, frames_of
from ultrafm.pretraining.model import SCAN_MODES, Acquisition

if TYPE_CHECKING:
    from ultrafm.curation import Pictures


@dataclass(frozen=True)
class Scans:
    """N pictures with what is known of each; rows of all arrays belong together.

    images: (N, S, S) uint8. sectors: (N, S, S) bool, True inside the scan. curved, numbers: see `ScanFrames`.
    scan_mode, pixel_mm: see `Acquisition`.
    """

    images: np.ndarray
    sectors: np.ndarray
    curved: np.ndarray
    numbers: np.ndarray
    scan_mode: np.ndarray
    pixel_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, chosen: np.ndarray) -> Scans:
        """Some of the pictures, by index or by a range."""
        return Scans(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def as_scans(images: np.ndarray, sectors: np.ndarray) -> Scans:
    """Pictures of which nothing but their sectors is known."""
    curved, numbers = frames_of(sectors, [None] * len(images))
    return Scans(images, sectors, curved, numbers, np.zeros(len(images), np.int64), np.zeros(len(images), np.float32))


def scans_of(pictures: Pictures) -> Scans:
    """Curated pictures with the geometry, scan mode and pixel spacing that their store's table tells."""
    table = pictures.table
    geometry = [None if one is None else [*one] for one in table["sector_geometry"]]
    curved, numbers = frames_of(pictures.sectors, geometry)
    modes = {name: number for number, name in enumerate(SCAN_MODES, start=1)}
    scan_mode = table["scan_mode"].map(lambda name: modes.get(name, 0)).to_numpy(np.int64)
    pixel_mm = table["pixel_mm"].fillna(0).to_numpy(np.float32)
    return Scans(pictures.images, pictures.sectors, curved, numbers, scan_mode, pixel_mm)


def require_size(scans: Scans, image_size: int, where: str) -> None:
    """Raises UltraFMError when there is no picture, or the pictures are not `image_size` pixels wide and high."""
    if not len(scans):
        raise UltraFMError(where, "no picture", "at least one", "curate the site, or leave it out")
    if scans.images.shape[1:] != (image_size, image_size):
        found = "x".join(map(str, scans.images.shape[1:]))
        mend = f"curate with image_size {image_size}, or train a model of {scans.images.shape[1]} pixels"
        raise UltraFMError(where, f"pictures of {found} pixels", f"{image_size}x{image_size}, the model's size", mend)


@dataclass(frozen=True)
class Batch:
    """Pictures as tensors on one device, as they are before augmentation.

    pictures, inside: (B, 1, S, S) floats 0 to 1, grey values and the share of a pixel inside the scan.
    """

    rows: np.ndarray
    pictures: torch.Tensor
    inside: torch.Tensor
    frames: ScanFrames
    acquisition: Acquisition


def as_batch(scans: Scans, rows: np.ndarray, device: torch.device | None = None) -> Batch:
    """The pictures in `rows` as tensors on a device, the processor unless told; bytes travel, not floats."""
    some = scans.rows(rows)
    there = {name: torch.from_numpy(getattr(some, name)).to(device) for name in some.__dataclass_fields__}
    pictures, inside = there["images"].float().div(255)[:, None], there["sectors"].float()[:, None]
    frames = ScanFrames(there["curved"], there["numbers"])
    return Batch(np.asarray(rows), pictures, inside, frames, Acquisition(there["scan_mode"], there["pixel_mm"]))


def load_batches(scans: Scans, batches: Iterable[np.ndarray], device: torch.device) -> Iterator[Batch]:
    """The batches in their order, on the device.

    For a graphics card the next batch is gathered, in a thread, while the present one is computed with; a processor
    has nothing to gain from that.
    """
    if device.type == "cpu":
        yield from (as_batch(scans, rows) for rows in batches)
        return
    with ThreadPoolExecutor(1) as thread:
        ahead = None
        for rows in batches:
            following = thread.submit(lambda rows=rows: as_batch(scans, rows, device))
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def describe_scans(scans: Scans) -> str:
    """What distinguishes these pictures from others, for fingerprints: sizes, and a sum over all bytes."""
    import xxhash

    digest = xxhash.xxh3_128()
    for name in scans.__dataclass_fields__:
        digest.update(np.ascontiguousarray(getattr(scans, name)).view(np.uint8))
    return json.dumps([list(scans.images.shape), digest.hexdigest()])
