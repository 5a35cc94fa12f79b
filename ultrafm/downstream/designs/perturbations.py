"""Perturbed pictures, each kind with levels in units of its own: what a probe that was fitted on clean ones gets.

A level of 0 is the clean picture, byte for byte. Random parts (grain, where a shadow falls) are drawn once a picture
and kind, and only grow with the level, so that a curve is not made of other noise at every point. The formulas are
those of `pretraining.degradation`; depth runs along beams where the picture's sector is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ultrafm.downstream.methods.features import as_pictures, as_shares
from ultrafm.downstream.tasks import TaskData
from ultrafm.downstream.tasks.data import FOLDS
from ultrafm.geometry.frames import ScanFrames, frames_of
from ultrafm.pretraining import degradation
from ultrafm.pretraining.views import picture_places
from ultrafm.seeds import spawn_torch

SHADOW_STRENGTH, SHADOW_START = 0.9, 0.2  # share of the grey taken away, and of the depth at which it begins


@dataclass(frozen=True)
class Perturbation:
    """One kind: what it imitates, the unit of its levels, and the levels that are asked."""

    words: str
    unit: str
    levels: tuple[float, ...]


PERTURBATIONS = {
    "gain": Perturbation("gain set wrong", "dB, of a 60 dB range", (-12.0, -6.0, 0.0, 6.0, 12.0)),
    "depth_gain": Perturbation(
        "depth gain set wrong: near bright and far dark above 0", "dB between skin and deepest point",
        (-24.0, -12.0, 0.0, 12.0, 24.0),
    ),
    "blur": Perturbation("Gaussian blur", "deviation in % of the side", (0.0, 1.0, 2.0, 4.0)),
    "speckle": Perturbation("grain", "standard deviation in % of the grey", (0.0, 15.0, 30.0, 60.0)),
    "shadow": Perturbation("acoustic shadow", "width in % of the beams", (0.0, 15.0, 30.0, 60.0)),
    "resolution": Perturbation("coarser picture", "halvings of the number of lines", (0.0, 0.5, 1.0, 1.5, 2.0)),
}  # fmt: skip


@dataclass(frozen=True)
class Scanned:
    """N pictures (N, 1, S, S) 0 to 1, their sectors of the same shape, and beam and depth (0 to 1) of each pixel."""

    pictures: torch.Tensor
    inside: torch.Tensor
    line: torch.Tensor
    depth: torch.Tensor


def scanned(images: np.ndarray, sectors: np.ndarray, frames: ScanFrames) -> Scanned:
    """(N, S, S) uint8 images with their sectors (bool) and `frames` (see `geometry.frames`), ready to be perturbed."""
    line, depth = picture_places(frames, images.shape[-1])
    return Scanned(as_pictures(images), as_shares(sectors), line, depth)


def perturb(kind: str, level: float, scans: Scanned, generator: torch.Generator) -> np.ndarray:
    """(N, S, S) uint8: the pictures with one of PERTURBATIONS at `level`, in its unit; outside the sector unchanged.

    `generator` should start alike for all levels of a kind. Raises ValueError for another kind.
    """
    if kind not in PERTURBATIONS:
        raise ValueError(f"perturbation {kind!r}: expected one of {', '.join(PERTURBATIONS)}")
    changed = scans.pictures if level == 0 else CHANGES[kind](level, scans, generator)
    kept = degradation.within_sector(scans.pictures, changed, scans.inside)
    return kept[:, 0].mul(255).round().clamp(0, 255).to(torch.uint8).numpy()


def perturbed_images(
    kind: str, level: float, data: TaskData, rows: np.ndarray, frames: ScanFrames, seed: int
) -> np.ndarray:
    """`perturb` for the images `rows` of a task; the random parts depend on seed, task and kind, not on the encoder.

    frames: of all N images of the task.
    """
    scans = scanned(data.images[rows], data.sectors[rows], frames[torch.from_numpy(rows)])
    return perturb(kind, level, scans, spawn_torch(seed, "perturbation", f"{data.task.name}/{kind}"))


def scan_frames(curated: Path, data: TaskData) -> ScanFrames:
    """Where the scan lies in each of a task's N images, from the stores below `curated`."""
    from ultrafm.curation import load_pictures

    table = load_pictures(curated, sorted(set(data.table["site"])), FOLDS).table.set_index("image_id")
    cells = table.loc[data.table["image_id"], "sector_geometry"]
    curved, numbers = frames_of(data.sectors, [None if one is None else [*one] for one in cells])
    return ScanFrames(torch.from_numpy(curved), torch.from_numpy(numbers))


def coarser(pictures: torch.Tensor, halvings: float) -> torch.Tensor:
    """Pictures (B, 1, S, S) averaged down to S / 2^halvings lines, rounded, and enlarged again bilinearly."""
    side = pictures.shape[-1]
    small = functional.adaptive_avg_pool2d(pictures, max(1, round(side / 2**halvings)))
    return functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)


def _shadow(width: float, scans: Scanned, generator: torch.Generator) -> torch.Tensor:
    """A shadow of `width` % of the beams whose middle is drawn from the middle three fifths."""
    centre = 0.2 + 0.6 * torch.rand(len(scans.pictures), generator=generator)
    return degradation.shadow(
        scans.pictures, centre, width / 100, SHADOW_STRENGTH, scans.line, scans.depth, SHADOW_START
    )


CHANGES: dict[str, Callable[[float, Scanned, torch.Generator], torch.Tensor]] = {
    "gain": lambda level, scans, _: degradation.gain(scans.pictures, level),
    "depth_gain": lambda level, scans, _: degradation.depth_gain(scans.pictures, level / 2, -level / 2, scans.depth),
    "blur": lambda level, scans, _: degradation.gaussian_blur(
        scans.pictures, level / 100 * scans.pictures.shape[-1], scans.inside
    ),
    "speckle": lambda level, scans, generator: degradation.speckle(scans.pictures, level / 100, generator),
    "shadow": _shadow,
    "resolution": lambda level, scans, _: coarser(scans.pictures, level),
}
