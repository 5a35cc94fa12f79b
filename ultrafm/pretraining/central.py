"""Pre-training on images that lie in one place: the comparison arms 'one site' and 'pooled'.

Training is cut into rounds as in federation, so that every arm sees the same number of pictures per round and has the
same schedule. It resumes anywhere, in the middle of a round too; on a processor it ends with the same bits (on a
graphics card the order of sums is not fixed, and so the last bits are not).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text
from ultrafm.pretraining.checkpoint import load_checkpoint, part_of, save_checkpoint
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import LearningRate, Tally, epoch_batches, image_losses, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.precision import pick_device
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import Scans, describe_scans, require_size
from ultrafm.pretraining.weights import optimizer_tensors, restore_optimizer
from ultrafm.seeds import spawn, spawn_torch

History = list[dict[str, float | None]]
SAVED_EVERY = 60.0  # seconds between checkpoints within a round


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
    arm: str, recipe: Recipe, scans: Scans, grey_scale: GreyScale, rounds: int, pictures: int, seed: int
) -> str:
    """A fingerprint of everything that the weights depend on; a state with another one is not continued."""
    data, device = describe_scans(scans), pick_device().type
    facts = [arm, recipe.settings(), data, asdict(grey_scale), rounds, pictures, seed]
    return hash_text(json.dumps(facts + ([device] if device != "cpu" else [])))


def pretrain_centrally(
    arm: str,
    folder: Path,
    recipe: Recipe,
    scans: Scans,
    validation: Scans,
    grey_scale: GreyScale,
    rounds: int,
    pictures_per_round: int,
    seed: int,
    on_round: Callable[[int, float], None] | None = None,
    saved_every: float = SAVED_EVERY,
) -> tuple[MaskedAutoencoder, History]:
    """Train a model on `scans` for `rounds` rounds; resumes from the checkpoints in `folder`.

    Returns the model and one row per round: round, loss (of training) and validation_loss (after the round). Round 0
    is before training. `arm` names the purpose of the random draws; within a round the state is saved every
    `saved_every` seconds. Raises UltraFMError when there is no picture, or pictures have another size than the model.
    """
    require_size(scans, recipe.image_size, f"pre-training, {arm}")
    model = build_model(recipe, seed).to(pick_device())
    optimizer = make_optimizer(model, recipe.weight_decay)
    settings = describe_settings(arm, recipe, scans, grey_scale, rounds, pictures_per_round, seed)
    history, tally, drawn = restore(folder, settings, model, optimizer)
    rate = LearningRate(recipe.peak_rate, recipe.warmup)
    steps = batches_per_round(len(scans), recipe.batch_size, pictures_per_round)

    def held_out() -> float | None:
        generator = spawn_torch(seed, "validation masks")
        losses = image_losses(model, validation, grey_scale, recipe, generator) if len(validation) else []
        return float(np.mean(losses)) if len(losses) else None

    def save(done: Tally, generator: torch.Generator | None = None) -> None:
        facts = {"settings": settings, "round": len(history) - 1, "history": history, "tally": asdict(done)}
        tensors = state_tensors(model, optimizer, generator)
        save_checkpoint(folder, (len(history) - 1) * steps + done.step, tensors, facts)

    history = history or [{"round": 0, "loss": None, "validation_loss": held_out()}]
    for number in range(len(history), rounds + 1):
        generator = spawn_torch(seed, "training", arm, number)
        if drawn is not None:
            generator.set_state(drawn)
        drawn_batches = spawn(seed, "batches", arm, number)
        try:
            loss = train(
                model, optimizer, scans,
                [*round_batches(len(scans), recipe.batch_size, pictures_per_round, drawn_batches)],
                lambda step, number=number: rate.at((number - 1 + step / steps) / rounds),
                grey_scale, recipe, generator, tally, every(saved_every, lambda done, now=generator: save(done, now)),
            )  # fmt: skip
        except UltraFMError as problem:
            where = f"{arm}, round {number}, {problem.where}"
            raise UltraFMError(where, problem.found, problem.expected, problem.mend) from problem
        tally, drawn = Tally(), None
        history.append({"round": number, "loss": loss, "validation_loss": held_out()})
        save(tally)
        if on_round:
            on_round(number, loss)
    return model.cpu(), history


def every(seconds: float, save: Callable[[Tally], None]) -> Callable[[Tally], None]:
    """Calls `save` when it is called and `seconds` have passed since the last time."""
    last = time.monotonic()

    def after_step(tally: Tally) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            save(tally)
            last = time.monotonic()

    return after_step


def state_tensors(
    model: MaskedAutoencoder, optimizer: torch.optim.Optimizer, generator: torch.Generator | None
) -> dict[str, torch.Tensor]:
    """All that training goes on from: weights, moments, and within a round the generator of its draws."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"adam/{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
    return tensors | ({"generator/state": generator.get_state()} if generator else {})


def restore(
    folder: Path, settings: str, model: MaskedAutoencoder, optimizer: torch.optim.Optimizer
) -> tuple[History, Tally, torch.Tensor | None]:
    """Put the newest checkpoint of these settings into model and optimizer.

    Returns the log, how far the round under way has come, and the state of its generator; an empty log and no state
    when training begins.
    """
    found = load_checkpoint(folder, settings)
    if found is None:
        return [], Tally(), None
    tensors, facts = found
    model.load_state_dict(part_of(tensors, "model"))
    restore_optimizer(optimizer, part_of(tensors, "adam"))
    return facts["history"], Tally(**facts["tally"]), tensors.get("generator/state")


def trained_model(folder: Path, recipe: Recipe, seed: int) -> MaskedAutoencoder:
    """The whole autoencoder, decoder included, from the newest checkpoint in `folder`."""
    model = build_model(recipe, seed)
    model.load_state_dict(part_of(newest(folder)[0], "model"))
    return model


def newest(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The newest sound checkpoint in `folder`. Raises FileNotFoundError without any."""
    if (found := load_checkpoint(folder)) is None:
        raise FileNotFoundError(f"{folder}: no checkpoint")
    return found
