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
from ultrafm.federation.privacy.accounting import noise_for
from ultrafm.federation.privacy.draws import SeededDraws
from ultrafm.federation.privacy.protection import Protection
from ultrafm.federation.privacy.training import train_privately
from ultrafm.federation.privacy.views import Roster
from ultrafm.files import hash_text, read_json, write_json
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import LearningRate, epoch_batches, make_optimizer, train
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import Scans, describe_scans, scans_of
from ultrafm.progress import progress
from ultrafm.seeds import spawn, spawn_torch
from ultrafm.workers import worker_pool

DELTA, CLIP = 1e-3, 1.0  # of private shadow models; there are hundreds of patients at most
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


def train_privately_in_one_place(pool: Pool, rows: np.ndarray, seed: int, epsilon: float) -> MaskedAutoencoder:
    """A model trained on these rows with differential privacy of patients, by the mechanism of a federation's sites.

    Unlike there, AdamW takes the noisy averages, at a constant rate; and the pool's grey scale counts as public. Noise
    comes from the seed.
    """
    roster = Roster({name: rows[pool.patients[rows] == name] for name in np.unique(pool.patients[rows])}, True)
    of_pass = -(-len(roster) // pool.recipe.batch_size)
    steps = of_pass * pool.passes
    protection = Protection(
        privacy="patients", noise=noise_for(epsilon, DELTA, 1 / of_pass, steps), clip=CLIP, delta=DELTA,
        secure_noise=False, public_mean=pool.grey_scale.mean, public_deviation=pool.grey_scale.deviation,
    )  # fmt: skip
    model = build_model(pool.recipe, seed)
    train_privately(
        model, make_optimizer(model, pool.recipe.weight_decay), pool.scans, roster, pool.recipe, protection, steps,
        of_pass, pool.recipe.peak_rate / 2, SeededDraws(seed, "shadow model", 0),
        lambda patient, step: spawn_torch(seed, f"view of {patient} in step {step}"),
    )  # fmt: skip
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
    """The training under a protection in words: "none", or "epsilon 8" for privacy of patients at that epsilon."""
    words = protection.split()
    if words == ["none"]:
        return train_plainly
    try:
        name, epsilon = words
        if name == "epsilon" and float(epsilon) > 0:
            return partial(train_privately_in_one_place, epsilon=float(epsilon))
    except ValueError:
        pass
    raise UltraFMError("protection in training", repr(protection), "'none', or 'epsilon' and a number, as 'epsilon 8'")


def epsilon_of_words(protection: str) -> float:
    """The epsilon of a protection in words; infinite for none."""
    trainer = trainer_named(protection)
    return trainer.keywords["epsilon"] if isinstance(trainer, partial) else np.inf


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
    """The membership game under each protection (see `trainer_named`), and curves of its online attack for a figure.

    The table has columns protection and epsilon, infinite without protection.
    """
    tables, curves = [], {}
    for protection in protections:
        losses, members = shadow_losses(pool, trainer_named(protection), models, folder, seed, workers)
        found = membership_game(losses, members, pool.patients, seed)
        tables.append(found.assign(protection=protection, epsilon=epsilon_of_words(protection)))
        curves[f"likelihood ratio, protection: {protection}"] = scores_of_each(losses, members), members
    return pd.concat(tables, ignore_index=True), curves
