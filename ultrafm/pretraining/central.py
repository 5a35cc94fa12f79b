"""Pre-training on images that lie in one place: the comparison arms 'one site' and 'pooled'.

Training is cut into rounds as in federation, so that every arm sees the same number of pictures per round, has the same
schedule, and resumes after every round.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from ultrafm.files import hash_text
from ultrafm.pretraining.loop import GreyScale, LearningRate, epoch_batches, image_losses, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.weights import load_state, optimizer_tensors, restore_optimizer, save_state
from ultrafm.seeds import spawn, spawn_torch


def round_batches(images: int, batch_size: int, pictures: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of one round that shows `pictures` pictures (rounded up to whole batches), epoch after epoch."""
    epochs = math.ceil(pictures / images) + 1
    return islice(epoch_batches(images, batch_size, epochs, generator), batches_per_round(images, batch_size, pictures))


def batches_per_round(images: int, batch_size: int, pictures: int) -> int:
    """How many batches show `pictures` pictures when an epoch of `images` ends with a smaller batch."""
    per_epoch = math.ceil(images / batch_size)
    whole, rest = divmod(pictures, images)
    return max(whole * per_epoch + math.ceil(rest / batch_size), 1)


def describe_settings(
    arm: str, recipe: Recipe, images: np.ndarray, grey_scale: GreyScale, rounds: int, pictures: int, seed: int
) -> str:
    """A fingerprint of everything that the weights depend on; a state with another one is not continued."""
    data = hashlib.sha256(images.tobytes()).hexdigest()
    return hash_text(json.dumps([arm, recipe.settings(), data, asdict(grey_scale), rounds, pictures, seed]))


def pretrain_centrally(
    arm: str,
    folder: Path,
    recipe: Recipe,
    images: np.ndarray,
    sectors: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    grey_scale: GreyScale,
    rounds: int,
    pictures_per_round: int,
    seed: int,
    on_round: Callable[[int, float], None] | None = None,
) -> tuple[MaskedAutoencoder, list[dict[str, float | None]]]:
    """Train a model on (N, S, S) `images` for `rounds` rounds; resumes from `folder`/state.safetensors.

    Returns the model and one row per round: round, loss (of training) and validation_loss (after the round). Round 0
    is before training. `arm` names the purpose of the random draws.
    """
    model = build_model(recipe, seed)
    optimizer = make_optimizer(model, recipe.weight_decay)
    state = folder / "state.safetensors"
    settings = describe_settings(arm, recipe, images, grey_scale, rounds, pictures_per_round, seed)
    history: list[dict[str, float | None]] = []
    if state.exists() and (found := load_state(state))[1]["settings"] == settings:
        tensors, history = found[0], found[1]["history"]
        model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")})
        restore_optimizer(optimizer, {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("adam/")})
    rate = LearningRate(recipe.learning_rate, recipe.warmup)
    steps = batches_per_round(len(images), recipe.batch_size, pictures_per_round)

    def held_out() -> float | None:
        generator = spawn_torch(seed, "validation masks")
        losses = image_losses(model, *validation, grey_scale, recipe.mask_ratio, recipe.precision, generator)
        return float(losses.mean()) if len(losses) else None

    history = history or [{"round": 0, "loss": None, "validation_loss": held_out()}]
    for number in range(len(history), rounds + 1):
        loss = train(
            model, optimizer, images, sectors,
            round_batches(len(images), recipe.batch_size, pictures_per_round, spawn(seed, "batches", arm, number)),
            lambda step, number=number: rate.at((number - 1 + step / steps) / rounds),
            grey_scale, recipe.mask_ratio, recipe.precision, spawn_torch(seed, "training", arm, number),
        )  # fmt: skip
        history.append({"round": number, "loss": loss, "validation_loss": held_out()})
        tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"adam/{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
        save_state(state, tensors, {"settings": settings, "round": number, "history": history})
        if on_round:
            on_round(number, loss)
    return model, history
