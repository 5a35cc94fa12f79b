"""Evaluation: every encoder on every task, in parallel; out come out-of-sample predictions, one row per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ultrafm.downstream.tasks import TaskData, Turn, turns
from ultrafm.progress import progress
from ultrafm.seeds import spawn_torch
from ultrafm.workers import worker_pool

LINEAR_PROBE, LINEAR_HEAD, FINE_TUNING = "linear_probe", "linear_head", "fine_tuning"
PIXELS = "pixels"
ROW = ["task", "method", "encoder", "image_id", "site", "patient", "fold"]
PREDICTION_COLUMNS = [*ROW, "truth", "score", "difficulty"]
SCORE_COLUMNS = [*ROW, "dice"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job:
    """One encoder on one task; without a folder, the pixels themselves stand in for features.

    epochs: of fine-tuning, 0 for none; precision: "fp32" or "bf16".
    """

    data: TaskData
    encoder: str
    folder: Path | None
    epochs: int
    precision: str
    seed: int


@dataclass(frozen=True)
class Segmentations:
    """scores: a row per image, method and encoder (SCORE_COLUMNS); masks: the 0/1 masks (N, S, S) in the same order."""

    scores: pd.DataFrame
    masks: np.ndarray


def evaluate_diagnosis(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    seed: int,
    epochs: int = 8,
    workers: int = 1,
    precision: str = "auto",
) -> pd.DataFrame:
    """Out-of-sample scores of each encoder on each task that can be evaluated (PREDICTION_COLUMNS).

    Methods: "linear_probe" on the frozen encoder and, unless `epochs` is 0, "fine_tuning". Fine-tuning draws the same
    batches and augmentations for all encoders. The number of workers does not change the result. A task's data come
    from `select_tasks`. A linear probe on coarse pixels ("pixels") is always beside the encoders, as a control.
    """
    jobs = _jobs(tasks, encoders, seed, epochs, precision)
    controls = {job.data.task.name: replace(job, encoder=PIXELS, folder=None, epochs=0) for job in jobs}
    parts = _run(diagnose, [*jobs, *controls.values()], workers, "diagnosis")
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in PREDICTION_COLUMNS})
    return pd.concat(parts, ignore_index=True)


def evaluate_segmentation(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    seed: int,
    epochs: int = 8,
    workers: int = 1,
    precision: str = "auto",
) -> Segmentations:
    """Dice and predicted mask of each image, out of sample, for each encoder and task that can be evaluated.

    Methods: "linear_head" on the frozen encoder and, unless `epochs` is 0, "fine_tuning"; else as evaluate_diagnosis.
    """
    parts = _run(segment, _jobs(tasks, encoders, seed, epochs, precision), workers, "segmentation")
    if not parts:
        empty = pd.DataFrame({name: pd.Series(dtype=object) for name in SCORE_COLUMNS})
        return Segmentations(empty, np.zeros((0, 1, 1), dtype=np.uint8))
    scores = pd.concat([part.scores for part in parts], ignore_index=True)
    return Segmentations(scores, np.concatenate([part.masks for part in parts]))


def diagnose(job: Job) -> pd.DataFrame:
    """The predictions of one job."""
    from ultrafm.downstream.methods.features import extract_features, pixel_features
    from ultrafm.downstream.methods.finetune import fine_tune
    from ultrafm.downstream.methods.probe import probe_turn, steady_probe
    from ultrafm.pretraining.weights import load_encoder

    data, encoder = job.data, load_encoder(job.folder) if job.folder else None
    features = extract_features(encoder, data.images, data.sectors) if encoder else pixel_features(data.images)
    parts = []
    for number, turn in enumerate(turns(data)):
        probe = probe_turn(features, data.truth, turn)
        parts.append(_predictions(job, LINEAR_PROBE, turn, probe.score(features[turn.predict])))
        if job.epochs:
            generator = spawn_torch(job.seed, "fine-tuning", data.task.name, number)
            start = steady_probe(features, data.truth, turn, probe.penalty)
            scores = fine_tune(encoder, start, data, turn, job.epochs, job.precision, generator)
            parts.append(_predictions(job, FINE_TUNING, turn, scores))
    return pd.concat(parts, ignore_index=True).sort_values(["method", "image_id"], ascending=[False, True])


def segment(job: Job) -> Segmentations:
    """The scores and masks of one job."""
    from ultrafm.downstream.methods.features import extract_patch_features
    from ultrafm.downstream.methods.segmentation import draw, fine_tune_segmentation, fit_head
    from ultrafm.pretraining.weights import load_encoder

    data, encoder = job.data, load_encoder(job.folder)
    features = extract_patch_features(encoder, data.images)
    scores, masks = [], []
    for number, turn in enumerate(turns(data)):
        generator = spawn_torch(job.seed, "segmentation", data.task.name, number)
        head = fit_head(features, data, turn, encoder.patch_embed.patch_size[0])
        drawn = {LINEAR_HEAD: draw(head, features, data, turn)}
        if job.epochs:
            drawn[FINE_TUNING] = fine_tune_segmentation(encoder, head, data, turn, job.epochs, job.precision, generator)
        scores += [_dice_rows(job, method, turn, found) for method, found in drawn.items()]
        masks += list(drawn.values())
    table = pd.concat(scores, ignore_index=True)
    order = table.sort_values(["method", "image_id"], ascending=[False, True]).index.to_numpy()
    return Segmentations(table.loc[order].reset_index(drop=True), np.concatenate(masks)[order])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, because the number of threads changes the last bits of a result."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def _jobs(
    tasks: Mapping[str, TaskData], encoders: Mapping[str, Path], seed: int, epochs: int, precision: str
) -> list[Job]:
    from ultrafm.pretraining.precision import choose_precision

    chosen = choose_precision(precision)
    return [
        Job(data, encoder, Path(folder), epochs, chosen, seed)
        for data in tasks.values()
        if data.skipped is None
        for encoder, folder in encoders.items()
    ]


def _run(answer: Callable[[Job], Answer], jobs: Sequence[Job], workers: int, title: str) -> list[Answer]:
    """The answers in the order of the jobs; `workers` fresh processes, or this one when there is one worker or job."""
    if workers <= 1 or len(jobs) <= 1:
        with one_thread():
            return [answer(job) for job in progress(jobs, total=len(jobs), title=title, unit="job")]
    with worker_pool(min(workers, len(jobs))) as pool:
        asked = pool.map(_on_one_thread, [answer] * len(jobs), jobs)
        return list(progress(asked, total=len(jobs), title=title, unit="job"))


def _on_one_thread(answer: Callable[[Job], Answer], job: Job) -> Answer:
    with one_thread():
        return answer(job)


def _rows(job: Job, method: str, turn: Turn) -> pd.DataFrame:
    rows = job.data.table.iloc[turn.predict].reset_index(drop=True)
    return rows.assign(task=job.data.task.name, method=method, encoder=job.encoder, fold=turn.fold)


def _predictions(job: Job, method: str, turn: Turn, scores: np.ndarray) -> pd.DataFrame:
    rows = _rows(job, method, turn).assign(truth=job.data.truth[turn.predict], score=scores)
    return rows.assign(difficulty=rows["difficulty"].astype(float))[PREDICTION_COLUMNS]


def _dice_rows(job: Job, method: str, turn: Turn, masks: np.ndarray) -> pd.DataFrame:
    from ultrafm.downstream.methods.segmentation import dice

    return _rows(job, method, turn).assign(dice=dice(masks, job.data.truth[turn.predict]))[SCORE_COLUMNS]
