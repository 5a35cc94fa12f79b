"""What a site does when it is asked: say how much it holds, and train the model it is sent. Ignorant of Flower."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.loop import GreyScale, LearningRate, epoch_batches, image_losses, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.weights import load_state, optimizer_tensors, restore_optimizer, save_state
from ultrafm.seeds import spawn, spawn_torch


@dataclass(frozen=True)
class RoundPlan:
    """What the coordinator asks of a site in one round; rounds count from 1, `last_round` is 0 the first time."""

    seed: int
    round: int
    last_round: int
    rounds: int
    local_epochs: int
    site_optimizer: str  # "kept": moments stay at the site from round to round; "reset": they start anew
    grey_mean: float
    grey_deviation: float


@dataclass(frozen=True)
class RoundOutcome:
    """What a site reports beside its weights; losses are means over its images."""

    images: int
    loss: float
    validation_images: int
    validation_loss: float


@lru_cache(maxsize=64)
def site_images(curated: str, site: str, fold: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, S, S) and scan sectors of one fold of this site, read from its own store once per process."""
    pictures = load_pictures(Path(curated), [site], [fold])
    return pictures.images, pictures.sectors


def describe_site(curated: str, site: str) -> tuple[int, float, float]:
    """Number of training images, and the sums of grey values and of their squares per image inside the scan sector.

    Each image counts once, however large its sector. These three numbers give the federation its normalisation.
    """
    images, sectors = site_images(curated, site, "train")
    grey, squares = 0.0, 0.0
    for image, sector in zip(images, sectors):
        values = image[sector].astype(np.float64) / 255 if sector.any() else np.zeros(1)
        grey, squares = grey + values.mean(), squares + (values**2).mean()
    return len(images), grey, squares


def grey_scale_of(descriptions: list[tuple[int, float, float]]) -> GreyScale:
    """Mean and deviation over all sites, from what `describe_site` gave of each."""
    count, grey, squares = (sum(column) for column in zip(*descriptions))
    mean = grey / count
    return GreyScale(mean=round(mean, 6), deviation=round(max(squares / count - mean**2, 1e-6) ** 0.5, 6))


def moments_path(folder: Path, number: int) -> Path:
    """Where a site keeps its optimizer's moments after round `number`."""
    return folder / f"moments_{number:04d}.safetensors"


def train_site(
    model: MaskedAutoencoder, recipe: Recipe, plan: RoundPlan, curated: str, site: str, folder: Path
) -> RoundOutcome:
    """Train `model` in place on the site's training fold for one round; the validation loss is the received model's.

    With `site_optimizer="kept"` the moments of the site's last round are read from `folder` and those of this round
    written there, so that a round which is repeated after a crash starts from the same ones.
    """
    images, sectors = site_images(curated, site, "train")
    held_out, held_out_sectors = site_images(curated, site, "validation")
    grey_scale = GreyScale(plan.grey_mean, plan.grey_deviation)
    validation = image_losses(
        model, held_out, held_out_sectors, grey_scale, recipe.mask_ratio, recipe.precision,
        spawn_torch(plan.seed, "validation masks", site),
    )  # fmt: skip
    optimizer = make_optimizer(model, recipe.weight_decay)
    if plan.site_optimizer == "kept" and plan.last_round:
        restore_optimizer(optimizer, kept_moments(folder, plan.last_round, site))
    batches = list(
        epoch_batches(len(images), recipe.batch_size, plan.local_epochs, spawn(plan.seed, "batches", site, plan.round))
    )
    rate = LearningRate(recipe.learning_rate, recipe.warmup)
    loss = train(
        model, optimizer, images, sectors, iter(batches),
        lambda step: rate.at((plan.round - 1 + step / len(batches)) / plan.rounds),
        grey_scale, recipe.mask_ratio, recipe.precision, spawn_torch(plan.seed, "training", site, plan.round),
    )  # fmt: skip
    if plan.site_optimizer == "kept":
        save_state(moments_path(folder, plan.round), optimizer_tensors(optimizer), {"round": plan.round})
        forget_before(folder, plan.last_round)
    mean = float(validation.mean()) if len(validation) else 0.0
    return RoundOutcome(len(images), loss, len(validation), mean)


def forget_before(folder: Path, number: int) -> None:
    """Delete moments older than those of round `number`, from which a repeated round would start."""
    for path in folder.glob("moments_*.safetensors"):
        if path.name < moments_path(folder, number).name:
            path.unlink()


def kept_moments(folder: Path, number: int, site: str) -> dict:
    """The moments that the site kept after round `number`."""
    path = moments_path(folder, number)
    if not path.exists():
        raise UltraFMError(
            f"site {site}, {path.name}", "no such file", f"the optimizer's moments after round {number}",
            "delete the step's folder to begin again, or choose site_optimizer 'reset'",
        )  # fmt: skip
    return load_state(path)[0]
