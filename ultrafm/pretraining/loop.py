"""The training loop: pictures in, changed weights out. It knows no site, no round and no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining import precision as exactness
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder, mean_where, reconstruction_errors
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, load_batches, require_size
from ultrafm.pretraining.views import View, plain_views, training_view


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


@dataclass
class Tally:
    """How far a run of batches has come: steps and pictures done, and the sum of the pictures' losses."""

    step: int = 0
    pictures: int = 0
    total: float = 0.0

    def mean(self) -> float:
        """The mean loss so far."""
        return self.total / max(self.pictures, 1)


def make_optimizer(model: MaskedAutoencoder, weight_decay: float) -> torch.optim.AdamW:
    """AdamW as masked autoencoders use it (beta 0.9, 0.95); biases, norms, tokens and positions are not decayed."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    kernel = model.encoder.patch_embed.proj.weight
    told = {id(weight) for weight in model.acquisition.parameters()} if model.acquisition is not None else set()
    decays = [(weight.ndim == 2 or weight is kernel) and id(weight) not in told for weight in trained]
    groups = [
        {"params": [weight for weight, decay in zip(trained, decays) if decay], "weight_decay": weight_decay},
        {"params": [weight for weight, decay in zip(trained, decays) if not decay], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


def epoch_batches(images: int, batch_size: int, epochs: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Index arrays that visit every image once an epoch in a fresh order; the last of an epoch may be smaller."""
    for _ in range(epochs):
        order = generator.permutation(images)
        yield from (order[start : start + batch_size] for start in range(0, images, batch_size))


def train(
    model: MaskedAutoencoder,
    optimizer: torch.optim.Optimizer,
    scans: Scans,
    batches: Sequence[np.ndarray],
    rate: Callable[[int], float],
    grey_scale: GreyScale,
    recipe: Recipe,
    generator: torch.Generator,
    tally: Tally | None = None,
    after_step: Callable[[Tally], None] | None = None,
    adjust: Callable[[], None] | None = None,
) -> float:
    """Train `model` in place on the rows of `scans` that `batches` name, on the device it lies on; the mean loss.

    `rate(step)` is the learning rate of each step. With a `tally` of steps done before, it goes on after them;
    `after_step` is called with the tally after every step, and may keep it; `adjust` may change the gradients before
    they are clipped. Raises UltraFMError for pictures of
    another size than the model's, and, before any weight takes harm, for a loss that is not finite.
    """
    device, tally = model.mask_token.device, tally or Tally()
    require_size(scans, recipe.image_size, "training")
    prepare(model, recipe, device)
    model.train()
    for batch in load_batches(scans, batches[tally.step :], device):
        view = training_view(batch, recipe, generator)
        optimizer.zero_grad()
        loss = accumulate_gradients(model, view, grey_scale, recipe)
        require_finite(loss, tally.step, batch.rows, "a loss")
        for group in optimizer.param_groups:
            group["lr"] = rate(tally.step)
        if adjust:
            adjust()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip).item()
        require_finite(norm, tally.step, batch.rows, "a gradient")
        optimizer.step()
        tally.total += loss * len(batch.rows)
        tally.pictures, tally.step = tally.pictures + len(batch.rows), tally.step + 1
        if after_step:
            after_step(tally)
    return tally.mean()


def prepare(model: MaskedAutoencoder, recipe: Recipe, device: torch.device) -> str:
    """Set the model up for this device; the precision that it will be trained in."""
    chosen = exactness.choose_precision(recipe.precision, device, recipe.step_numbers)
    exactness.choose_attention(model, chosen, device)
    exactness.compile_model(model, recipe.compiled, device, recipe.step_numbers, recipe.masking != "sector")
    return chosen


def accumulate_gradients(model: MaskedAutoencoder, view: View, grey_scale: GreyScale, recipe: Recipe) -> float:
    """Gradients of the view's mean loss, added up over `recipe.accumulate` parts of it; the loss.

    Every scored patch of the view counts the same, whatever part it is in, so parts do not change the result. A model
    that is compiled is compiled for the usual number of pictures only; the few of an epoch's end go uncompiled.
    """
    device = view.shown.device
    chosen = exactness.choose_precision(recipe.precision, device, recipe.step_numbers)
    scored = view.scored.sum().clamp(min=1)
    size, total = -(-len(view.shown) // recipe.accumulate), 0.0
    for start in range(0, len(view.shown), size):
        part = view.part(slice(start, start + size))
        clean = grey_scale.apply(part.clean)
        compute = model if len(part.shown) == recipe.part_size else model.forward
        with exactness.computing_in(chosen, device):
            predicted = compute(grey_scale.apply(part.shown), part.keep, part.wanted, part.acquisition)
        errors = reconstruction_errors(predicted, clean, part.wanted, model.patch_size)
        loss = (errors * part.scored).sum() / scored
        loss.backward()
        total += loss.item()
    return total


def require_finite(value: float, step: int, rows: np.ndarray, what: str) -> None:
    """Raises UltraFMError, which names the batch, when a loss, or the length of a gradient, is not finite."""
    if not math.isfinite(value):
        some = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
        raise UltraFMError(
            f"step {step + 1}, pictures {some}", f"{what} of {value}", f"{what} that is finite",
            "look at these pictures; if they are sound, lower the learning rate or train in fp32",
        )  # fmt: skip


@torch.inference_mode()
def image_losses(
    model: MaskedAutoencoder,
    scans: Scans,
    grey_scale: GreyScale,
    recipe: Recipe,
    generator: torch.Generator,
    batch_size: int = 64,
) -> np.ndarray:
    """Reconstruction loss of each image, (N,), without augmentation, under uniform masks drawn from `generator`.

    All hidden patches of the scan sector are scored, whatever policy the recipe trains with; they are decoded a share
    at a time, as in training.
    """
    device = model.mask_token.device
    chosen = exactness.choose_precision(recipe.precision, device, recipe.step_numbers)
    exactness.choose_attention(model, chosen, device)
    model.eval()
    starts = range(0, len(scans), batch_size)
    losses = []
    for batch in load_batches(scans, [np.arange(len(scans))[start : start + batch_size] for start in starts], device):
        views = plain_views(batch, model.patch_size, recipe.mask_ratio, recipe.decoded_share, generator)
        pictures = grey_scale.apply(batch.pictures)
        with exactness.computing_in(chosen, device):
            tokens = model.encode(pictures, views[0].keep, batch.acquisition)
            predicted = [model.decode(tokens, view.keep, view.wanted) for view in views]
        errors = [
            reconstruction_errors(one, pictures, view.wanted, model.patch_size) for one, view in zip(predicted, views)
        ]
        scored = torch.cat([view.scored for view in views], dim=1)
        losses += mean_where(torch.cat(errors, dim=1), scored, dim=(1,)).tolist()
    return np.array(losses)
