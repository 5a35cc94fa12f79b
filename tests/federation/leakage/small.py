"""A model and pictures so small that an attack takes a second."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import Scans, as_batch, as_scans
from ultrafm.pretraining.views import View, training_view

SMALL = Recipe(
    image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1, batch_size=8, learning_rate=3e-3,
    smallest_crop=1.0, gain_spread=0.0,
)  # fmt: skip
GREY = GreyScale(0.5, 0.25)


def make_scans(count: int, seed: int, smoothness: float = 1.5) -> Scans:
    """Smooth random pictures that fill their frame."""
    noise = np.random.default_rng(seed).standard_normal((count, 32, 32))
    smooth = np.array([gaussian_filter(one, smoothness) for one in noise])
    grey = 128 + 50 * smooth / smooth.std(axis=(1, 2), keepdims=True)
    return as_scans(grey.clip(0, 255).astype(np.uint8), np.ones(grey.shape, bool))


def make_view(scans: Scans, rows: list[int], recipe: Recipe = SMALL, seed: int = 0) -> View:
    """These pictures as a training step shows them."""
    return training_view(as_batch(scans, np.array(rows)), recipe, torch.Generator().manual_seed(seed))


def make_model(recipe: Recipe = SMALL, seed: int = 0):
    """A fresh model whose every weight is shaken, so that no norm or bias is at its special start."""
    model = build_model(recipe, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "pos" not in name:
                one.add_(0.05 * torch.randn(one.shape, generator=generator))
    return model
