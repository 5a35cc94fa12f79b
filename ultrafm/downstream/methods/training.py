"""The training loop that all trained methods share: batches, rates, augmentation, and which epoch is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_layer_decay
from torch import nn

from ultrafm.downstream.methods.features import as_pictures, as_shares
from ultrafm.downstream.tasks import TaskData
from ultrafm.pretraining.augmentation import random_crop_and_flip, random_gain

BATCH = 16
WEIGHT_DECAY, LAYER_DECAY = 0.05, 0.75
SMALLEST_CROP, GAIN_SPREAD = 0.85, 0.2


def trainable_copy(encoder: VisionTransformer) -> VisionTransformer:
    """A copy to be trained. Its attention is computed by plain matrix products: for the few tokens of these pictures
    that is a third faster backwards on a processor than the fused kernel."""
    encoder = copy.deepcopy(encoder)
    for block in encoder.blocks:
        block.attn.fused_attn = False
    return encoder


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """For libraries that draw from torch's global generator: seed it from ours, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield


def keep_best(model: nn.Module, epochs: int, train: Callable[[int], None], quality: Callable[[], float] | None) -> None:
    """Call `train` for the epochs 0 to `epochs` - 1; leave `model` with the weights of the best one by `quality`.

    The start counts too, and comes first among equals: nothing is changed where training does not help. Without
    `quality` (nothing is held out to choose on) the last epoch stays.
    """
    best, kept = -1.0, None
    for epoch in range(epochs + 1):
        if epoch:
            train(epoch - 1)
        if quality is not None and (found := quality()) > best:
            best, kept = found, copy.deepcopy(model.state_dict())
    if kept is not None:
        model.load_state_dict(kept)


def train_epoch(
    optimizer: torch.optim.Optimizer,
    rows: np.ndarray,
    epoch: int,
    epochs: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    generator: torch.Generator,
) -> None:
    """Epoch `epoch` (from 0) of `epochs` over the images `rows`: a step down the `loss` of each batch of rows."""
    batches = list(shuffled_batches(torch.from_numpy(rows), generator))
    for number, batch in enumerate(batches):
        set_rate(optimizer, (epoch + (number + 0.5) / len(batches)) / epochs)
        step(optimizer, loss(batch))


def make_optimizer(encoder: VisionTransformer, head: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW in which each block learns LAYER_DECAY times as fast as the one above it (Clark et al. 2020, section 3).

    The head learns at the full `rate`. Each group keeps its full rate as "peak" for `set_rate`.
    """
    groups = param_groups_layer_decay(encoder, weight_decay=WEIGHT_DECAY, layer_decay=LAYER_DECAY)
    rows = [
        {"params": group["params"], "weight_decay": group["weight_decay"], "peak": rate * group["lr_scale"]}
        for group in groups
    ]
    rows.append({"params": list(head.parameters()), "weight_decay": WEIGHT_DECAY, "peak": rate})
    return torch.optim.AdamW(rows, lr=0.0, fused=True)


def plain_optimizer(weights: list[nn.Parameter], rate: float) -> torch.optim.AdamW:
    """AdamW in which all `weights` learn at the same `rate`."""
    return torch.optim.AdamW([{"params": weights, "weight_decay": WEIGHT_DECAY, "peak": rate}], lr=0.0, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, progress: float, warmup: float = 0.1) -> None:
    """Set the rates for `progress`, the share of training done: a linear rise, then a half cosine down to zero."""
    falling = (progress - warmup) / (1 - warmup)
    share = progress / warmup if progress < warmup else 0.5 * (1 + math.cos(math.pi * falling))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step down the loss; the gradient of all weights together is clipped to length 1."""
    optimizer.zero_grad()
    loss.backward()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()


def shuffled_batches(rows: torch.Tensor, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """One epoch: the row numbers in a fresh order, in batches of at most BATCH of nearly equal size."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    yield from torch.tensor_split(order, max(1, -(-len(rows) // BATCH)))


def augmented(
    data: TaskData, rows: torch.Tensor, regions: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 1, S, S) of these rows and their `regions` (B, R, S, S), moved alike.

    Each is mirrored left to right half of the time, zoomed by at most 1 / SMALLEST_CROP, shifted inside, and its gain
    changed. Depth stays downwards.
    """
    pictures = as_pictures(data.images[rows.numpy()])
    pictures, regions = random_crop_and_flip(pictures, regions, SMALLEST_CROP, generator)
    return random_gain(pictures, GAIN_SPREAD, generator), regions


def sectors_of(data: TaskData, rows: torch.Tensor) -> torch.Tensor:
    """(B, 1, S, S) scan sectors of these rows, 0 or 1."""
    return as_shares(data.sectors[rows.numpy()])
