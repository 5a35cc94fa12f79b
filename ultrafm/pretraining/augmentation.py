"""Changes made to a batch of pictures during pre-training; each draws its randomness from the generator given."""

from __future__ import annotations

import torch
from torch.nn import functional


def random_crop_and_flip(
    pictures: torch.Tensor, sectors: torch.Tensor, smallest: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Zoom into a random square of each picture (side at least `smallest` of it) and mirror half of them left to right.

    `pictures` and `sectors` are (B, 1, S, S) floats; both are resampled the same way. Depth stays downwards.
    """
    batch = len(pictures)
    side = smallest + (1 - smallest) * torch.rand(batch, generator=generator)
    shift = (2 * torch.rand(batch, 2, generator=generator) - 1) * (1 - side)[:, None]
    mirror = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
    affine = torch.zeros(batch, 2, 3)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = side * mirror, side, shift
    grid = functional.affine_grid(affine.to(pictures.device), list(pictures.shape), align_corners=False)
    both = functional.grid_sample(torch.cat([pictures, sectors], dim=1), grid, mode="bilinear", align_corners=False)
    return both[:, :1], both[:, 1:]


def random_gain(pictures: torch.Tensor, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Multiply each picture (values 0 to 1) by a random gain in [1 - spread, 1 + spread] and clip to the range."""
    gain = 1 + spread * (2 * torch.rand(len(pictures), 1, 1, 1, generator=generator) - 1)
    return (pictures * gain.to(pictures.device)).clamp(0, 1)
