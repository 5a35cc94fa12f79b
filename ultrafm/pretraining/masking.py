"""Which patches the encoder sees: pure functions `(count, ratio, generator) -> (keep, hidden)`.

Masking at a high ratio is what makes reconstruction a task worth learning (He et al., Masked Autoencoders Are Scalable
Vision Learners, 2022, section 3).
"""

from __future__ import annotations

import torch


def kept_count(patches: int, ratio: float) -> int:
    """How many of `patches` stay visible at this mask ratio; at least one, at most all but one."""
    return min(max(round(patches * (1 - ratio)), 1), patches - 1)


def uniform(batch: int, patches: int, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide a random share `ratio` of the patches of each picture, every patch with the same chance.

    Returns `keep` (batch, kept), indices of the visible patches in rising order, and `hidden` (batch, patches), True
    where a patch is masked.
    """
    order = torch.rand(batch, patches, generator=generator).argsort(dim=1)
    keep = order[:, : kept_count(patches, ratio)].sort(dim=1).values
    hidden = torch.ones(batch, patches, dtype=torch.bool).scatter(1, keep, False)
    return keep, hidden
