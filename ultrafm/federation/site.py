"""What a site does when it is asked: say how much it holds, and train the model it is sent. Ignorant of Flower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.checkpoint import checksum
from ultrafm.pretraining.grey import GreyScale, grey_sums
from ultrafm.pretraining.loop import LearningRate, epoch_batches, image_losses, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, scans_of
from ultrafm.pretraining.weights import load_state, optimizer_tensors, restore_optimizer, save_state
from ultrafm.seeds import spawn, spawn_torch


@dataclass(frozen=True)
class RoundPlan:
    """What the coordinator asks of a site in round `round` of `rounds`: train on share `share` of `shares` of a pass.

    `last_round` is the last one in which the site took part, 0 for none; `kept_rounds` those after which it keeps its
    moments. `adaptive` says where the adaptive optimizer
    is: AdamW at the site, its moments "kept" or "reset" between rounds, with the recipe's rate rising and falling over
    all rounds; or at the "server", and the site takes plain gradient steps of size `site_step`.
    """

    seed: int
    round: int
    rounds: int
    last_round: int
    kept_rounds: list[int]
    pass_number: int
    share: int
    shares: int
    adaptive: str
    site_step: float
    grey_mean: float
    grey_deviation: float


@dataclass(frozen=True)
class RoundOutcome:
    """What a site reports beside its weights: the mean loss, and over how many images it was taken in this round."""

    images: int
    loss: float


@lru_cache(maxsize=64)
def site_scans(curated: str, site: str, fold: str) -> Scans:
    """The pictures of one fold of this site, read from its own store once per process and kept for all rounds."""
    return scans_of(load_pictures(Path(curated), [site], [fold]))


def describe_site(curated: str, site: str) -> tuple[int, float, float]:
    """What the site tells of its training pictures, for the normalisation of all: see `grey_sums`."""
    return grey_sums(site_scans(curated, site, "train"))


def moments_path(folder: Path, number: int) -> Path:
    """Where a site keeps its optimizer's moments after round `number`."""
    return folder / f"moments_{number:04d}.safetensors"


def train_site(
    model: MaskedAutoencoder, recipe: Recipe, plan: RoundPlan, curated: str, site: str, folder: Path
) -> RoundOutcome:
    """Train `model` in place on one round's share of the site's training fold.

    With kept moments, those of the last round are read from `folder` and those of this one written there, so that a
    round which is repeated after a crash starts from the same ones.
    """
    scans = site_scans(curated, site, "train")
    grey_scale = GreyScale(plan.grey_mean, plan.grey_deviation)
    batches = batches_of_round(len(scans), recipe.batch_size, plan, site)
    kept = plan.adaptive == "kept"
    optimizer = make_site_optimizer(model, recipe, plan.adaptive)
    if kept and plan.last_round:
        restore_optimizer(optimizer, kept_moments(folder, plan.last_round, site))
    schedule = LearningRate(recipe.peak_rate, recipe.warmup)

    def rate(step: int) -> float:
        if plan.adaptive == "server":
            return plan.site_step
        return schedule.at((plan.round - 1 + step / len(batches)) / plan.rounds)

    generator = spawn_torch(plan.seed, "training", site, plan.round)
    loss = train(model, optimizer, scans, batches, rate, grey_scale, recipe, generator)
    if kept:
        moments = optimizer_tensors(optimizer)
        facts = {"round": plan.round, "checksum": checksum(moments)}
        save_state(moments_path(folder, plan.round), moments, facts)
        forget_all_but(folder, [*plan.kept_rounds, plan.round])
    seen = sum(len(rows) for rows in batches)
    return RoundOutcome(seen, loss)


def validate_site(
    model: MaskedAutoencoder, recipe: Recipe, seed: int, grey_scale: GreyScale, curated: str, site: str
) -> RoundOutcome:
    """Mean reconstruction loss over the site's validation images, under the same masks every time."""
    scans = site_scans(curated, site, "validation")
    losses = image_losses(model, scans, grey_scale, recipe, spawn_torch(seed, "validation masks", site))
    return RoundOutcome(len(losses), float(losses.mean()) if len(losses) else 0.0)


def batches_of_round(images: int, batch_size: int, plan: RoundPlan, site: str) -> list[np.ndarray]:
    """The round's share of the pass's batches; shares are as even as whole batches allow.

    A site with fewer batches than a pass has shares sits some rounds out: its list is then empty.
    """
    batches = list(epoch_batches(images, batch_size, 1, spawn(plan.seed, "batches", site, plan.pass_number)))
    first, end = (len(batches) * share // plan.shares for share in (plan.share - 1, plan.share))
    return batches[first:end]


def make_site_optimizer(model: MaskedAutoencoder, recipe: Recipe, adaptive: str) -> torch.optim.Optimizer:
    """AdamW, or plain gradient descent where the server adapts."""
    if adaptive == "server":
        return torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.0)
    return make_optimizer(model, recipe.weight_decay)


def forget_all_but(folder: Path, rounds: Sequence[int]) -> None:
    """Delete the moments of all rounds but these, from which a repeated round would start."""
    kept = {moments_path(folder, number) for number in rounds}
    for path in set(folder.glob("moments_*.safetensors")) - kept:
        path.unlink()


def kept_moments(folder: Path, number: int, site: str) -> dict:
    """The moments that the site kept after round `number`."""
    path = moments_path(folder, number)
    if not path.exists():
        raise UltraFMError(
            f"site {site}, {path.name}", "no such file", f"the optimizer's moments after round {number}",
            "delete the step's folder to begin again, or choose adaptive 'reset'",
        )  # fmt: skip
    moments, facts = load_state(path)
    if facts.get("checksum") != checksum(moments):
        mend = "delete the step's folder to begin again, or choose adaptive 'reset'"
        raise UltraFMError(
            f"site {site}, {path.name}", "contents that do not match their checksum", "a sound file", mend
        )
    return moments
