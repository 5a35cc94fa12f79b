"""What a site does when it is asked: say how much it holds, and train the model it is sent. Ignorant of Flower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ultrafm.curation import load_pictures
from ultrafm.federation.compression import compress, expand, parts
from ultrafm.federation.memory import recall, remember
from ultrafm.federation.schedule import share_of
from ultrafm.federation.vector import WEIGHTS, as_views, layout, split_weights
from ultrafm.pretraining.checkpoint import part_of
from ultrafm.pretraining.grey import GreyScale, grey_sums
from ultrafm.pretraining.loop import LearningRate, epoch_batches, image_losses, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import Scans, scans_of
from ultrafm.pretraining.weights import optimizer_tensors, restore_optimizer
from ultrafm.seeds import spawn, spawn_torch


@dataclass(frozen=True)
class RoundPlan:
    """What the coordinator asks of a site in round `round` of `rounds`: train on share `share` of `shares` of a pass.

    With `local_epochs` above 1, it is that many whole passes, of which `pass_number` is the last.
    `run` is the fingerprint of the run, so that nothing is remembered of another one.
    `last_round` is the last one in which the site's answer counted, 0 for none; `kept_rounds` those after which it goes
    on remembering. The rest is as in `plan.Federation`; with adaptive optimizers at the sites, the recipe's rate rises
    and falls over all rounds.
    """

    run: str
    seed: int
    round: int
    rounds: int
    last_round: int
    kept_rounds: list[int]
    pass_number: int
    share: int
    shares: int
    local_epochs: int
    adaptive: str
    site_step: float
    proximal: float
    compression: str
    local_weights: str
    grey_mean: float
    grey_deviation: float


@dataclass(frozen=True)
class RoundOutcome:
    """What a site reports: the mean loss, over how many images it was taken, and the arrays that it sends."""

    images: int
    loss: float
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteModel:
    """A model, its shared weights as one vector (changed with it, and it with them), and how they are laid out in it.

    `own` are the weights that stay at the site, by name.
    """

    model: MaskedAutoencoder
    weights: torch.Tensor
    layout: dict[str, list[str]]
    own: dict[str, torch.nn.Parameter]


@lru_cache(maxsize=64)
def site_scans(curated: str, site: str, fold: str) -> Scans:
    """The pictures of one fold of this site, read from its own store once per process and kept for all rounds."""
    return scans_of(load_pictures(Path(curated), [site], [fold]))


def describe_site(curated: str, site: str) -> tuple[int, float, float]:
    """What the site tells of its training pictures, for the normalisation of all: see `grey_sums`."""
    return grey_sums(site_scans(curated, site, "train"))


def site_organs(curated: str, site: str) -> dict[str, int]:
    """How many training images of each organ the site holds."""
    counts = load_pictures(Path(curated), [site], ["train"]).table["organ"].value_counts()
    return {str(organ): int(count) for organ, count in sorted(counts.items())}


def open_site_model(recipe: Recipe, local: Sequence[str], device: torch.device) -> SiteModel:
    """An empty model for the weights that the coordinator sends."""
    model = build_model(recipe, seed=0).to(device)
    _shared, own = split_weights(model, local)
    return SiteModel(model, as_views(model, local), layout(model, local), own)


def train_site(here: SiteModel, recipe: Recipe, plan: RoundPlan, curated: str, site: str, folder: Path) -> RoundOutcome:
    """Train the model in place on one round's share of the site's training fold.

    What the site remembers of its last round is read from `folder`, and what it will need written there, so that a
    round which is repeated after a crash starts from the same.
    """
    scans = site_scans(curated, site, "train")
    grey_scale = GreyScale(plan.grey_mean, plan.grey_deviation)
    batches = batches_of_round(len(scans), recipe.batch_size, plan, site)
    memory = recall(folder, plan.run, plan.last_round, site) if needs_memory(plan) and plan.last_round else {}
    take_own_weights(here, recipe, plan.seed, memory)
    optimizer = make_site_optimizer(here.model, recipe, plan.adaptive)
    if moments := part_of(memory, "moments"):
        restore_optimizer(optimizer, moments)
    schedule = LearningRate(recipe.peak_rate, recipe.warmup)
    start = here.weights.clone()

    def rate(step: int) -> float:
        if plan.adaptive == "server":
            return plan.site_step
        return schedule.at((plan.round - 1 + step / len(batches)) / plan.rounds)

    generator = spawn_torch(plan.seed, "training", site, plan.round)
    pull = partial(pull_towards, here, plan.proximal, start) if plan.proximal else None
    loss = train(here.model, optimizer, scans, batches, rate, grey_scale, recipe, generator, adjust=pull)
    arrays, lost = pack(here.weights, start, plan.compression, memory, trained=bool(batches))
    if needs_memory(plan):
        kept = {f"own/{name}": weight.detach().cpu() for name, weight in here.own.items()} | lost
        if plan.adaptive == "kept":
            kept |= {f"moments/{name}": one for name, one in optimizer_tensors(optimizer).items()}
        remember(folder, plan.run, plan.round, kept, plan.kept_rounds)
    return RoundOutcome(sum(len(rows) for rows in batches), loss, arrays)


def needs_memory(plan: RoundPlan) -> bool:
    """Must the site keep something until its next round?"""
    return plan.adaptive == "kept" or plan.compression != "none" or bool(plan.local_weights)


@torch.no_grad()
def take_own_weights(here: SiteModel, recipe: Recipe, seed: int, memory: Mapping[str, torch.Tensor]) -> None:
    """Fill in the weights that stay at the site: as it remembers them, or as training begins."""
    if not here.own:
        return
    found = part_of(memory, "own") or dict(build_model(recipe, seed).named_parameters())
    for name, weight in here.own.items():
        weight.copy_(found[name])


def pack(
    weights: torch.Tensor, start: torch.Tensor, compression: str, memory: Mapping[str, torch.Tensor], trained: bool
) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """What a site sends, and what rounding lost by it, to be remembered: see `compression.py`.

    A site that sits a round out (not `trained`) sends no change, and keeps what earlier rounding lost.
    """
    if compression == "none":
        return {WEIGHTS: weights.cpu().numpy()}, {}
    change = (weights - start).cpu()
    left = memory.get("lost/update", torch.zeros_like(change))
    wanted = (change + left if trained else change).numpy()
    arrays = compress(wanted, compression)
    if not trained:
        return arrays, {"lost/update": left}
    sent = np.concatenate([expand(arrays, part) for part in parts(len(wanted))])
    return arrays, {"lost/update": torch.from_numpy(wanted - sent)}


def validate_site(
    here: SiteModel, recipe: Recipe, plan: Mapping[str, Any], curated: str, site: str, folder: Path
) -> RoundOutcome:
    """Mean reconstruction loss over the site's validation images, under the same masks every time.

    `plan` names the run, the seed, the grey scale and the last round that counted, whose own weights the site takes.
    """
    last = plan["last_round"]
    memory = recall(folder, plan["run"], last, site) if here.own and last else {}
    take_own_weights(here, recipe, plan["seed"], memory)
    scans, grey_scale = site_scans(curated, site, "validation"), GreyScale(plan["grey_mean"], plan["grey_deviation"])
    losses = image_losses(here.model, scans, grey_scale, recipe, spawn_torch(plan["seed"], "validation masks", site))
    return RoundOutcome(len(losses), float(losses.mean()) if len(losses) else 0.0)


def batches_of_round(images: int, batch_size: int, plan: RoundPlan, site: str) -> list[np.ndarray]:
    """The round's share of the pass's batches, or those of its passes; shares are as even as whole batches allow.

    A site with fewer batches than a pass has shares sits some rounds out: its list is then empty.
    """
    found: list[np.ndarray] = []
    for number in range(plan.pass_number - plan.local_epochs + 1, plan.pass_number + 1):
        batches = list(epoch_batches(images, batch_size, 1, spawn(plan.seed, "batches", site, number)))
        found += batches[share_of(len(batches), plan.share, plan.shares)]
    return found


def make_site_optimizer(model: MaskedAutoencoder, recipe: Recipe, adaptive: str) -> torch.optim.Optimizer:
    """AdamW, or plain gradient descent where the server adapts."""
    if adaptive == "server":
        return torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.0)
    return make_optimizer(model, recipe.weight_decay)


@torch.no_grad()
def pull_towards(here: SiteModel, strength: float, start: torch.Tensor) -> None:
    """Add to gradients what pulls the shared weights back to `start` (FedProx; Li et al. 2020, arXiv 1812.06127)."""
    named = dict(here.model.named_parameters())
    weights = [named[name] for name in here.layout["names"]]
    for weight, part in zip(weights, start.split([one.numel() for one in weights])):
        if weight.grad is not None:
            weight.grad.add_(weight - part.view_as(weight), alpha=strength)
