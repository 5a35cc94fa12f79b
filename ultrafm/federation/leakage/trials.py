"""Inversion tried on one kind of update after another, over pictures of different sites."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.leakage.assembly import Masks, assemble
from ultrafm.federation.leakage.inversion import Recovered, match_patches, match_pictures
from ultrafm.federation.leakage.rates import mean_interval
from ultrafm.federation.leakage.similarity import best_order, compare_pictures, structural_similarity
from ultrafm.federation.leakage.updates import Case, Gradients, length, seen_gradients
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, as_batch, scans_of
from ultrafm.pretraining.views import View, training_view
from ultrafm.seeds import spawn, spawn_torch

RANGES = {"psnr": (-np.inf, np.inf), "ssim": (-1.0, 1.0), "picked_out": (0.0, 1.0)}
OTHERS = 20  # pictures of the site that a recovered one is compared with
ATTACKS: dict[str, Callable[..., Recovered]] = {"patches": match_patches, "pictures": match_pictures}


@dataclass(frozen=True)
class Victims:
    """Pictures that updates are made of, (N,), with the name of each one's site, and how they are trained on."""

    scans: Scans
    sites: np.ndarray
    grey_scale: GreyScale
    recipe: Recipe


def load_victims(curated: Path, sites: Sequence[str], grey_scale: GreyScale, recipe: Recipe) -> Victims:
    """The training pictures of these sites."""
    pictures = load_pictures(curated, sites, ["train"])
    return Victims(scans_of(pictures), pictures.table["site"].to_numpy(), grey_scale, recipe)


@dataclass(frozen=True)
class Example:
    """One picture of a trial: as it was shown in training, and as it was recovered; (S, S), grey values 0 to 1."""

    case: str
    original: np.ndarray
    recovered: np.ndarray
    ssim: float


def inversion_trials(
    model: MaskedAutoencoder, victims: Victims, cases: Sequence[Case], repeats: int, steps: int, seed: int,
    attack: str = "patches",
) -> tuple[pd.DataFrame, list[Example]]:  # fmt: skip
    """Invert the update of every case `repeats` times, each of other pictures; what came out, and the last of each.

    One row per case, repeat and picture: those of `compare_pictures`, the same for an attacker who knows the masks and
    sees no update (`blind_`), and case, repeat, distance and seconds. Whoever
    attacks a sum or several steps searches for all pictures in it at once, as if all were shown to the same weights.
    """
    one_of("inversion", attack, ATTACKS)
    tables, examples = [], []
    for case in cases:
        for repeat in range(repeats):
            views, others = draw_views(victims, case, spawn(seed, "pictures to invert", case.name, repeat))
            noise = spawn_torch(seed, "noise on updates", case.name, repeat)
            seen = seen_gradients(model, views, victims.grey_scale, case, noise)
            start = time.monotonic()
            found = ATTACKS[attack](
                model, seen, masks_of(views), victims.grey_scale, steps, spawn_torch(seed, "search", case.name, repeat)
            )
            originals = torch.cat([view.clean for view in views])[:, 0].numpy()
            recovered = found.pictures[:, 0].numpy()
            facts = {"case": case.name, "repeat": repeat, "distance": found.distance}
            facts |= {"seconds": time.monotonic() - start}
            blind = compare_pictures(without_update(views, victims.grey_scale), originals, others)
            blind = blind[["psnr", "ssim", "picked_out"]].add_prefix("blind_")
            tables.append(compare_pictures(recovered, originals, others).join(blind).assign(**facts))
        matched = recovered[best_order(recovered, originals)][0]
        examples.append(Example(case.name, originals[0], matched, structural_similarity(matched, originals[0])))
    return pd.concat(tables, ignore_index=True), examples


def draw_views(
    victims: Victims, case: Case, generator: np.random.Generator
) -> tuple[list[View], np.ndarray]:  # fmt: skip
    """A view for each site and step of the case, and other pictures of the first site, in views too: (M, S, S).

    Pictures are drawn without repetition, each site's from one site where there are enough of them.
    """
    wanted = case.pictures * case.steps
    counts = pd.Series(victims.sites).value_counts().sort_index()
    able = counts.index[counts > wanted].to_numpy()
    if not len(able):
        found = f"sites with at most {counts.max()} pictures"
        raise UltraFMError(f"update {case.name!r}", found, f"one with more than {wanted}")
    views, others = [], np.empty(0)
    for number, site in enumerate(generator.choice(able, case.sites, replace=len(able) < case.sites)):
        rows = generator.permutation(np.flatnonzero(victims.sites == site))
        dice = torch.Generator().manual_seed(int(generator.integers(2**62)))
        for part in rows[:wanted].reshape(case.steps, -1):
            views.append(training_view(as_batch(victims.scans, part), victims.recipe, dice))
        if not number:
            rest = as_batch(victims.scans, rows[wanted : wanted + OTHERS])
            others = training_view(rest, victims.recipe, dice).clean[:, 0].numpy()
    return views, others


def masks_of(views: Sequence[View]) -> Masks:
    """The masks of all views, one after the other."""
    return Masks(*(torch.cat([getattr(view, name) for view in views]) for name in ("keep", "wanted", "scored")))


def without_update(views: Sequence[View], grey_scale: GreyScale) -> np.ndarray:
    """Pictures (N, S, S) of an attacker who knows the masks alone: they tell where a scan lies, and no more."""
    masks = masks_of(views)
    pixels = views[0].clean[0].numel() // (masks.keep.shape[1] + masks.wanted.shape[1])
    patches = [torch.zeros(*places.shape, pixels) for places in (masks.keep, masks.wanted)]
    return assemble(*patches, masks, grey_scale)[:, 0].numpy()


def random_update(like: Gradients, generator: torch.Generator) -> Gradients:
    """An update of the same length that tells nothing, for checking that an attack then finds nothing."""
    made = {name: torch.randn(one.shape, generator=generator) for name, one in like.items()}
    scale = length(like) / length(made)
    return {name: one * scale for name, one in made.items()}


def inversion_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over repeats with Student's intervals, cut at what is possible. One row per case and metric (RANGES).

    `baseline` is what another picture of the same site has (of picked_out: 0.5, when nothing is told); `blind` what
    masks alone give, and `gain` with its interval how much more the update gives.
    """
    rows = []
    for case, part in table.groupby("case", sort=False):
        each = part.drop(columns="case").groupby("repeat").mean()
        for metric, ends in RANGES.items():
            baseline = each[f"baseline_{metric}"].mean() if metric != "picked_out" else 0.5
            blind = each[f"blind_{metric}"]
            found, gain = np.clip(mean_interval(each[metric]), *ends), mean_interval(each[metric] - blind)
            rows.append((case, metric, *found.tolist(), baseline, blind.mean(), *gain, len(part), len(each)))
    columns = ["case", "metric", "estimate", "low", "high", "baseline", "blind", "gain", "gain_low", "gain_high"]
    columns += ["images", "repeats"]
    return pd.DataFrame(rows, columns=columns)
