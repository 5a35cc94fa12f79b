"""Which choices of pre-training make better encoders: every combination trained alike, judged by a linear probe.

The probe answers for images of the validation fold; no test fold is read. Sets without fixed folds are
cross-validated, and named so. Encoders are trained on the training folds of all sites pooled: what is compared here is
how pictures are masked and changed, not how sites work together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ultrafm.downstream.designs.asking import Look, ask, patterns, prediction_rows
from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData, Turn, turns
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.recipe import Recipe
from ultrafm.progress import progress
from ultrafm.workers import worker_pool

ROUNDS = 10  # checkpoints and validation losses of a run
INNER_GROUPS = 4  # of the training fold's patients, to choose the probe's penalty on
RANDOM = "random"
CHOICES = ("masking", "scan conversion", "degradation")
DRAWS = 200  # of patients, for the intervals of AUPRC


@dataclass(frozen=True)
class Arm:
    """One combination of choices, and the seed it is trained from; see `Recipe` for the words."""

    masking: str
    conversion: str
    degraded: float
    seed: int

    @property
    def choices(self) -> str:
        """The combination in words, without the seed: "texture, correct, degraded 0.5"."""
        return f"{self.masking}, {self.conversion}, {f'degraded {self.degraded:g}' if self.degraded else 'clean'}"

    @property
    def name(self) -> str:
        """The arm in words, seed and all."""
        return f"{self.choices}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """A folder's name of its own."""
        return self.name.replace(", ", "_").replace(" ", "-")

    def recipe(self, base: Recipe) -> Recipe:
        """`base` with this arm's choices."""
        changes = {"masking": self.masking, "scan_conversion": self.conversion, "degraded_share": self.degraded}
        return replace(base, **changes)


def all_arms(maskings: Sequence[str], conversions: Sequence[str], degraded: Sequence[float], seed: int) -> list[Arm]:
    """Every combination; the first of each kind together are the reference. A word that is given twice counts once."""
    kinds = (dict.fromkeys(maskings), dict.fromkeys(conversions), dict.fromkeys(degraded))
    return [Arm(*choices, seed) for choices in itertools.product(*kinds)]


def repeat_best(screened: pd.DataFrame, arms: Sequence[Arm], count: int, seeds: Sequence[int]) -> list[Arm]:
    """The reference and the `count` arms best by AUROC of the screening, from each of the `seeds`.

    The seeds are others than the screening's: an arm is chosen there for its luck too, which must not count again.
    """
    if {arm.seed for arm in arms} & set(seeds):
        raise UltraFMError("ablation, seeds", f"{[*seeds]}", "other seeds than the screening's")
    best = screened[screened["choices"] != RANDOM].sort_values("estimate", ascending=False)["choices"]
    chosen = [arms[0].choices, *[name for name in best if name != arms[0].choices][:count]]
    by_choices = {arm.choices: arm for arm in arms}
    return [replace(by_choices[name], seed=seed) for name in chosen for seed in seeds]


def train_arms(
    arms: Sequence[Arm], curated: Path, sites: Sequence[str], folder: Path, base: Recipe, steps: int, workers: int
) -> dict[str, Path]:
    """Pre-train every arm on `steps` picture-steps, `workers` at a time: name -> folder of its encoder.

    An arm that is finished is not trained again; one that was interrupted goes on. Shows a progress bar.
    """
    jobs = [(arm, curated, tuple(sites), folder, arm.recipe(base), steps) for arm in arms]
    bar = progress(total=len(jobs), unit="encoder", title=f"pre-train {len(jobs)} encoders")
    with bar, worker_pool(max(workers, 1)) as pool:
        made = {}
        for arm, place in zip(arms, pool.map(_train_arm, jobs)):
            made[arm.name] = place
            bar.update()
    return made


def _train_arm(job: tuple[Arm, Path, tuple[str, ...], Path, Recipe, int]) -> Path:
    import torch

    from ultrafm.curation import load_pictures
    from ultrafm.pretraining.central import pretrain_centrally
    from ultrafm.pretraining.grey import grey_scale_of, grey_sums
    from ultrafm.pretraining.scans import scans_of
    from ultrafm.pretraining.weights import save_encoder

    torch.set_num_threads(1)
    arm, curated, sites, folder, recipe, steps = job
    training = scans_of(load_pictures(curated, sites, ["train"]))
    held_out = scans_of(load_pictures(curated, sites, ["validation"]))
    grey_scale = grey_scale_of([grey_sums(training)])
    model, history = pretrain_centrally(
        "ablation", folder / arm.folder, recipe, training, held_out, grey_scale, ROUNDS, -(-steps // ROUNDS), arm.seed
    )
    place = folder / arm.folder / "encoder"
    save_encoder(model, place, grey_scale, {"arm": arm.name, "recipe": recipe.settings(), "losses": history})
    return place


def untrained_encoder(trained: Path, base: Recipe, seed: int, folder: Path) -> Path:
    """The same network before training, as an encoder of its own, with the grey scale of a trained one."""
    from ultrafm.pretraining.grey import GreyScale
    from ultrafm.pretraining.recipe import build_model
    from ultrafm.pretraining.weights import load_encoder, save_encoder

    configuration = load_encoder(trained).pretrained_cfg
    grey_scale = GreyScale(configuration["mean"][0], configuration["std"][0])
    save_encoder(build_model(base, seed), folder / RANDOM, grey_scale, {"arm": RANDOM})
    return folder / RANDOM


def validation_turns(data: TaskData, generator: np.random.Generator) -> list[Turn]:
    """How a task is answered without its test fold.

    Fixed folds: fitted on the training fold, asked for the validation fold, and the probe's penalty is chosen inside
    the training fold, on groups of its patients. Cross-validation: as `turns`.
    """
    if data.design != FIXED_FOLDS:
        return turns(data)
    fold = data.table["fold"].to_numpy()
    train, held = (np.flatnonzero(fold == name) for name in ("train", "validation"))
    splitter = StratifiedGroupKFold(INNER_GROUPS, shuffle=True, random_state=int(generator.integers(2**31)))
    pairs = splitter.split(train, patterns(data.answer_truth)[train], data.patients[train])
    return [Turn(train, tuple((train[fit], train[held_out]) for fit, held_out in pairs), held, "validation")]


def probe_arms(tasks: Mapping[str, TaskData], encoders: Mapping[str, Path], seed: int) -> pd.DataFrame:
    """Scores of a linear probe of each encoder for each task that can be asked (columns of `asking`)."""
    from ultrafm.downstream.evaluate import one_thread
    from ultrafm.downstream.methods.features import extract_features
    from ultrafm.pretraining.weights import load_encoder
    from ultrafm.seeds import spawn

    rows = []
    asked = [(name, data) for name, data in tasks.items() if data.skipped is None]
    with one_thread():
        for name, folder in progress(encoders.items(), total=len(encoders), title="probe", unit="encoder"):
            encoder = load_encoder(folder)
            for task, data in asked:
                dealt = validation_turns(data, spawn(seed, "penalty groups", task))
                used = np.unique(np.concatenate([part for turn in dealt for part in (turn.train, turn.predict)]))
                features = np.zeros((len(data.images), 2 * encoder.embed_dim), np.float32)
                features[used] = extract_features(encoder, data.images[used], data.sectors[used])
                look = Look(data, name, features)
                rows += [prediction_rows(look, turn.predict, ask(look, turn), turn.fold) for turn in dealt]
    return pd.concat(rows, ignore_index=True)
