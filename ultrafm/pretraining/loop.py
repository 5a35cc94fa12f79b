"""The training loop: pictures in, changed weights out. It knows no site, no round and no file."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ultrafm.pretraining import augmentation, masking
from ultrafm.pretraining.model import (
    MaskedAutoencoder,
    mean_where,
    patchify,
    reconstruction_errors,
    reconstruction_loss,
)


@dataclass(frozen=True)
class GreyScale:
    """Mean and deviation of grey values (pixel / 255) that pictures are normalised with; travels with the weights."""

    mean: float
    deviation: float

    def apply(self, pictures: torch.Tensor) -> torch.Tensor:
        """Grey values between 0 and 1 to normalised ones."""
        return (pictures - self.mean) / self.deviation


@dataclass(frozen=True)
class LearningRate:
    """Rises linearly over the first `warmup` share of training, then falls to zero along a half cosine."""

    peak: float
    warmup: float = 0.1

    def at(self, progress: float) -> float:
        """The rate at `progress`, the share of training done, 0 to 1."""
        if progress < self.warmup:
            return self.peak * (progress / self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


def choose_precision(wanted: str) -> str:
    """'fp32' or 'bf16'; 'auto' is bf16 on processors that compute in it and fp32 elsewhere."""
    if wanted not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision {wanted!r}: expected 'auto', 'fp32' or 'bf16'")
    if wanted != "auto":
        return wanted
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text() if processor.exists() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def computing_in(precision: str) -> contextlib.AbstractContextManager:
    """The context in which forward passes run in this precision; losses and weights stay in fp32."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def make_optimizer(model: MaskedAutoencoder, weight_decay: float) -> torch.optim.AdamW:
    """AdamW as masked autoencoders use it (beta 0.9, 0.95); biases, norms and tokens are not decayed."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim == 2], "weight_decay": weight_decay},
        {"params": [weight for weight in trained if weight.ndim != 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


def epoch_batches(images: int, batch_size: int, epochs: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Index arrays that visit every image once an epoch in a fresh order; the last of an epoch may be smaller."""
    for _ in range(epochs):
        order = generator.permutation(images)
        yield from (order[start : start + batch_size] for start in range(0, images, batch_size))


def with_content(sectors: torch.Tensor, patch: int) -> torch.Tensor:
    """(B, 1, S, S) sector shares -> (B, T) True for patches of which at least half lies inside the scan sector."""
    return patchify(sectors, patch).mean(dim=-1) >= 0.5


def as_batch(images: np.ndarray, sectors: np.ndarray, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of (N, S, S) uint8 images and boolean sectors as two (B, 1, S, S) float tensors with values 0 to 1."""
    pictures = torch.from_numpy(images[rows]).float().div(255)[:, None]
    return pictures, torch.from_numpy(sectors[rows]).float()[:, None]


def train(
    model: MaskedAutoencoder,
    optimizer: torch.optim.Optimizer,
    images: np.ndarray,
    sectors: np.ndarray,
    batches: Iterator[np.ndarray],
    rate: Callable[[int], float],
    grey_scale: GreyScale,
    mask_ratio: float,
    precision: str,
    generator: torch.Generator,
) -> float:
    """Train `model` in place on `images` (N, S, S) uint8 with scan `sectors` (N, S, S) bool; the mean loss.

    `rate(step)` is the learning rate of each step. Hidden patches inside the scan sector are scored.
    """
    model.train()
    total, seen = 0.0, 0
    for step, rows in enumerate(batches):
        pictures, inside = as_batch(images, sectors, rows)
        pictures, inside = augmentation.random_crop_and_flip(pictures, inside, 0.5, generator)
        pictures = grey_scale.apply(augmentation.random_gain(pictures, 0.2, generator))
        content = with_content(inside, model.patch_size)
        keep, hidden = masking.uniform(len(rows), content.shape[1], mask_ratio, generator)
        with computing_in(precision):
            predicted = model(pictures, keep)
        loss = reconstruction_loss(predicted, pictures, hidden & content, model.patch_size)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, seen = total + loss.item() * len(rows), seen + len(rows)
    return total / max(seen, 1)


@torch.inference_mode()
def image_losses(
    model: MaskedAutoencoder,
    images: np.ndarray,
    sectors: np.ndarray,
    grey_scale: GreyScale,
    mask_ratio: float,
    precision: str,
    generator: torch.Generator,
    batch_size: int = 64,
) -> np.ndarray:
    """Reconstruction loss of each image, (N,), without augmentation, under masks drawn from `generator`."""
    model.eval()
    losses = []
    for start in range(0, len(images), batch_size):
        pictures, inside = as_batch(images, sectors, np.arange(start, min(start + batch_size, len(images))))
        pictures, content = grey_scale.apply(pictures), with_content(inside, model.patch_size)
        keep, hidden = masking.uniform(len(pictures), content.shape[1], mask_ratio, generator)
        with computing_in(precision):
            predicted = model(pictures, keep)
        errors = reconstruction_errors(predicted, pictures, model.patch_size)
        losses += mean_where(errors, hidden & content, dim=(1,)).tolist()
    return np.array(losses)
