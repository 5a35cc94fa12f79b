"""The encoders of several pre-training seeds, and what a probe of few labels makes of them. Resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ultrafm.downstream.designs.distance import ENCODERS, SeedScores
from ultrafm.downstream.designs.few_labels import labelled_turn, probe_few_labels
from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData
from ultrafm.errors import NothingToDo, UltraFMError
from ultrafm.federation.arms import Workplace, count_training_images, keep_encoder, pretrain_arm, pretrain_federated
from ultrafm.federation.grid import start_worker
from ultrafm.manifests.schema import PhantomSource, SiteManifest
from ultrafm.phantom.observer import best_auroc, best_of_stated
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.recipe import build_model
from ultrafm.progress import progress
from ultrafm.seeds import spawn
from ultrafm.workers import worker_pool

Encoders = dict[tuple[int, str], Path]


def train_seeds(
    place: Workplace, sites: list[str], grey_scale: GreyScale, seeds: Sequence[int], workers: int
) -> Encoders:
    """(seed, encoder) -> its folder: the study's own arms, trained from each seed, `workers` at a time.

    Every seed has a folder of its own below the workplace's. What is finished is not trained again; what was
    interrupted goes on after its last round.
    """
    jobs = [(place, sites, grey_scale, seed, arm) for seed in seeds for arm in ENCODERS]
    made: Encoders = {}
    bar = progress(total=len(jobs), unit="encoder", title="pre-train")
    with bar, worker_pool(max(workers, 1), start_worker) as pool:
        for job, folder in zip(jobs, pool.map(_train, jobs)):
            made[job[3], job[4]] = folder
            bar.update()
    return made


def _train(job: tuple[Workplace, list[str], GreyScale, int, str]) -> Path:
    """The folder of one encoder, which is trained unless its card, which is written last, is there."""
    place, sites, grey_scale, seed, arm = job
    at = replace(place, folder=place.folder / f"seed-{seed}", seed=seed)
    target = at.folder / "encoders" / arm
    if (target / "README.md").exists():
        return target
    if arm == "random":
        keep_encoder(at, arm, build_model(at.recipe, seed), grey_scale, [])
    elif arm == "pooled":
        pretrain_arm(at, arm, sites, sites, grey_scale, sum(count_training_images(at.curated).values()))
    else:
        pretrain_federated(at, sites, 1)
    return target


def known_best(
    sites: Mapping[str, SiteManifest], asked: Mapping[str, TaskData]
) -> tuple[dict[str, float], dict[str, str]]:
    """Task -> AUROC of the ideal observer (`ultrafm.phantom.observer`), wrong labels reckoned in; and task -> why not.

    Known of tasks about images that can be evaluated on fixed folds, ask for benign against malignant, and whose sites
    are simulated alike. Raises NothingToDo when it is known of none.
    """
    best, unknown = {}, {}
    for name, data in asked.items():
        try:
            best[name] = _best(data, [sites[site] for site in data.table["site"].unique()])
        except UltraFMError as error:
            unknown[name] = error.found
    if not best:
        raise NothingToDo(f"no task has a known best AUROC ({'; '.join(map(': '.join, unknown.items()))})")
    return best, unknown


def _best(data: TaskData, sites: Sequence[SiteManifest]) -> float:
    task, sources = data.task, [site.sources.phantom for site in sites]
    if data.skipped:
        raise UltraFMError(f"task {task.name}", data.skipped, "a task that can be evaluated")
    if (task.positive, task.negative) != (("malignant",), ("benign",)) or data.design != FIXED_FOLDS:
        asks = f"{', '.join(task.positive)} against {', '.join(task.negative)}" if task.positive else "several classes"
        found = f"{asks}, {data.design}"
        raise UltraFMError(f"task {task.name}", found, "malignant against benign, fixed folds: its best is known")
    if task.unit != "image":
        raise UltraFMError(f"task {task.name}", f"asked by {task.unit}", "a task about images: its best is known")
    if not all(isinstance(source, PhantomSource) for source in sources):
        raise UltraFMError(f"task {task.name}", "a site that is not simulated", "simulated sites: their best is known")
    if len({(source.best_auroc, source.shortcut) for source in sources}) > 1 or sources[0].shortcut:
        raise UltraFMError(f"task {task.name}", "sites with several best_auroc, or confounded", "sites alike and fair")
    return best_of_stated(sources[0].best_auroc or best_auroc(1.0), sources, task.organ)


def score_seeds(
    asked: Mapping[str, TaskData], best: Mapping[str, float], encoders: Encoders, share: float, draws: int, workers: int
) -> list[SeedScores]:
    """Test scores of each task by every seed's encoders, probed with `share` of the labelled training patients.

    Within a seed all encoders get the same `draws` of patients, and smaller shares are parts of larger ones; seeds
    draw anew. With all labels there is nothing to draw, and one draw is made.
    """
    seeds = sorted({seed for seed, _arm in encoders})
    often = draws if share < 1 else 1
    jobs = [(data, encoders[seed, arm], seed, share, often) for data in asked.values() for seed in seeds
            for arm in ENCODERS]  # fmt: skip
    with worker_pool(max(workers, 1), start_worker) as pool:
        scored = progress(pool.map(_score, jobs), total=len(jobs), unit="probe", title=f"probe, {share:.0%} of labels")
        found = list(scored)
    each, made = len(seeds) * len(ENCODERS), []
    for number, (name, data) in enumerate(asked.items()):
        scores = np.stack(found[number * each : (number + 1) * each])
        test = (data.table["fold"] == "test").to_numpy()
        shaped = scores.reshape(len(seeds), len(ENCODERS), often, -1)
        made.append(SeedScores(name, shaped, data.truth[test], data.patients[test], best[name]))
    return made


def _score(job: tuple[TaskData, Path, int, float, int]) -> np.ndarray:
    """(R, K) test scores of one encoder on one task."""
    from ultrafm.downstream.evaluate import one_thread
    from ultrafm.downstream.methods.features import extract_features
    from ultrafm.pretraining.weights import load_encoder

    data, folder, seed, share, draws = job
    fold = data.table["fold"].to_numpy()
    with one_thread():
        features = extract_features(load_encoder(folder), data.images, data.sectors)
        asked = [
            labelled_turn(data.truth, data.patients, fold, share, spawn(seed, "few labels", data.task.name, draw))
            for draw in range(draws)
        ]
        return np.stack([probe_few_labels(features, data.truth, turn) for turn in asked])
