"""Models trained on random halves of patients, each of them target and shadow in turn; and what their losses show."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError
from ultrafm.federation.grid import start_worker
from ultrafm.federation.leakage.likelihood import patient_scores, random_halves, scores_of_each
from ultrafm.federation.leakage.membership import mean_losses
from ultrafm.federation.leakage.rates import attack_table
from ultrafm.federation.leakage.updates import loss_gradients, noisy_mean
from ultrafm.files import hash_text, read_json, write_json
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import LearningRate, epoch_batches, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import Scans, as_batch, describe_scans, scans_of
from ultrafm.pretraining.views import training_view
from ultrafm.progress import progress
from ultrafm.seeds import spawn, spawn_torch
from ultrafm.workers import worker_pool

Trainer = Callable[["Pool", np.ndarray, int], MaskedAutoencoder]


@dataclass(frozen=True)
class Pool:
    """N pictures that any model of the game may be trained on, `patients` (N,) by site and name, and how it trains."""

    scans: Scans
    patients: np.ndarray
    grey_scale: GreyScale
    recipe: Recipe
    passes: int
    draws: int


def load_pool(
    curated: Path, sites: Sequence[str], grey_scale: GreyScale, recipe: Recipe, passes: int, draws: int,
    patients: int, seed: int,
) -> Pool:  # fmt: skip
    """Training and validation pictures of so many patients of these sites, drawn at random; all of theirs.

    draws: masks over which a picture's loss is averaged. Raises UltraFMError when there are fewer than two patients.
    """
    pictures = load_pictures(curated, sites, ["train", "validation"])
    names = (pictures.table["site"] + "/" + pictures.table["patient"].astype(str)).to_numpy()
    known = np.unique(names)
    if min(patients, len(known)) < 2:
        raise UltraFMError("membership game", f"{min(patients, len(known))} patients", "two or more")
    chosen = spawn(seed, "patients of the membership game").permutation(known)[:patients]
    rows = np.flatnonzero(np.isin(names, chosen))
    return Pool(scans_of(pictures).rows(rows), names[rows], grey_scale, recipe, passes, draws)


def train_plainly(pool: Pool, rows: np.ndarray, seed: int) -> MaskedAutoencoder:
    """A model trained on these rows of the pool as `pretraining` does, in one place."""
    model, batches, rate = begin(pool, rows, seed)
    train(
        model, make_optimizer(model, pool.recipe.weight_decay), pool.scans, batches, rate, pool.grey_scale, pool.recipe,
        spawn_torch(seed, "shadow training"),
    )  # fmt: skip
    return model


def train_with_noise(pool: Pool, rows: np.ndarray, seed: int, noise: float, clip: float = 1.0) -> MaskedAutoencoder:
    """The same, with every picture's gradient clipped and noise on their sum: a simulation of private training.

    It stands where a federation's own private training belongs: any `Trainer` fits.
    """
    model, batches, rate = begin(pool, rows, seed)
    optimizer, generator = make_optimizer(model, pool.recipe.weight_decay), spawn_torch(seed, "noisy training")
    named = dict(model.named_parameters())
    for step, batch in enumerate(batches):
        view = training_view(as_batch(pool.scans, batch), pool.recipe, generator)
        each = [loss_gradients(model, view.part(slice(one, one + 1)), pool.grey_scale) for one in range(len(batch))]
        for name, gradient in noisy_mean(each, clip, noise, generator).items():
            named[name].grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
    return model


def begin(
    pool: Pool, rows: np.ndarray, seed: int
) -> tuple[MaskedAutoencoder, list[np.ndarray], Callable[[int], float]]:
    """A fresh model, the batches of its training and the learning rate of each."""
    order = epoch_batches(len(rows), pool.recipe.batch_size, pool.passes, spawn(seed, "shadow batches"))
    batches = [rows[batch] for batch in order]
    schedule = LearningRate(pool.recipe.peak_rate, pool.recipe.warmup)
    return build_model(pool.recipe, seed), batches, lambda step: schedule.at(step / len(batches))


def trainer_named(protection: str) -> Trainer:
    """The training under a protection in words: "none", or "noise 0.5" for that multiple of the clipped length."""
    words = protection.split()
    if words == ["none"]:
        return train_plainly
    try:
        name, noise = words
        if name == "noise" and float(noise) >= 0:
            return partial(train_with_noise, noise=float(noise))
    except ValueError:
        pass
    raise UltraFMError("protection in training", repr(protection), "'none', or 'noise' and a number, as 'noise 0.5'")


def shadow_losses(
    pool: Pool, trainer: Trainer, models: int, folder: Path, seed: int, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train `models` models on random halves of the patients; losses and membership of all pictures, (M, N) each.

    Every model's losses are kept in `folder`; what is finished is not trained again.
    """
    members = random_halves(pool.patients, models, spawn(seed, "halves of the membership game"))
    jobs = [(pool, trainer, one, folder, seed + number) for number, one in enumerate(members)]
    shown = {"total": len(jobs), "title": f"{len(jobs)} shadow models", "unit": "model"}
    if workers < 2:
        return np.array([*progress(map(losses_of_one, jobs), **shown)]), members
    with worker_pool(workers, start_worker) as workplace:
        return np.array([*progress(workplace.map(losses_of_one, jobs), **shown)]), members


def losses_of_one(job: tuple[Pool, Trainer, np.ndarray, Path, int]) -> list[float]:
    """Train one model and take the losses of all pictures, or read them where they are kept."""
    pool, trainer, member, folder, seed = job
    rows = np.flatnonzero(member)
    facts = [describe_scans(pool.scans), rows.tolist(), asdict(pool.grey_scale), pool.recipe.settings()]
    told = [describe_trainer(trainer), pool.passes, pool.draws, seed]
    path = folder / f"losses_{hash_text(json.dumps([*facts, *told]))[:16]}.json"
    if path.exists():
        return read_json(path)
    model = trainer(pool, rows, seed)
    losses = mean_losses(model, pool.scans, pool.grey_scale, pool.recipe, 0, pool.draws, "game").tolist()
    write_json(path, losses)
    return losses


def describe_trainer(trainer: Trainer) -> str:
    """The trainer's name with what it was given."""
    if isinstance(trainer, partial):
        return f"{trainer.func.__name__} {sorted(trainer.keywords.items())}"
    return trainer.__name__


def membership_game(losses: np.ndarray, members: np.ndarray, patients: np.ndarray, seed: int) -> pd.DataFrame:
    """Every attack on every model: by loss threshold, and by likelihood ratio, offline, online and of whole patients.

    losses, members: (M, N). The rows of `attack_table`, with the column attack before.
    """
    online = scores_of_each(losses, members)
    whole, inside, names = patient_scores(online, members, patients)
    attacks = {
        "loss threshold": (-losses, members, patients),
        "likelihood ratio, offline": (scores_of_each(losses, members, online=False), members, patients),
        "likelihood ratio, online": (online, members, patients),
        "likelihood ratio, whole patients": (whole, inside, names),
    }
    tables = []
    for name, given in attacks.items():
        table = attack_table(*given, spawn(seed, "bootstrap of the membership game", name))
        tables.append(table.assign(attack=name))
    return pd.concat(tables, ignore_index=True)


def every_game(
    pool: Pool, protections: Sequence[str], models: int, folder: Path, seed: int, workers: int
) -> tuple[pd.DataFrame, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The membership game under each protection (see `trainer_named`), and curves of its online attack for a figure."""
    tables, curves = [], {}
    for protection in protections:
        losses, members = shadow_losses(pool, trainer_named(protection), models, folder, seed, workers)
        tables.append(membership_game(losses, members, pool.patients, seed).assign(protection=protection))
        curves[f"likelihood ratio, protection: {protection}"] = scores_of_each(losses, members), members
    return pd.concat(tables, ignore_index=True), curves
