"""Evaluation: every encoder on every task, in parallel; out come predictions out of sample, a row an image and answer.

Which methods are asked is a parameter (CLASSIFIERS, REGRESSIONS and SEGMENTERS name them). A method that cannot answer,
for instance because a part has one class, is told of in `failures`, and all else is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ultrafm.downstream.methods.jobs import (
    FAILURE_COLUMNS,
    PREDICTION_COLUMNS,
    SCORE_COLUMNS,
    Evaluation,
    Job,
    Segmentations,
    answer,
    answered_by_all,
    joined,
    segment,
)
from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import one_of
from ultrafm.progress import progress
from ultrafm.workers import worker_pool

__all__ = [
    "FAILURE_COLUMNS",
    "PREDICTION_COLUMNS",
    "SCORE_COLUMNS",
    "Evaluation",
    "Segmentations",
    "answered_by_all",
    "evaluate_diagnosis",
    "evaluate_measurement",
    "evaluate_segmentation",
    "one_thread",
    "told_failures",
]
LINEAR_PROBE, LINEAR_HEAD, FINE_TUNING, RIDGE = "linear_probe", "linear_head", "fine_tuning", "ridge_regression"
PIXELS = "pixels"
Part = TypeVar("Part")


def evaluate_diagnosis(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    seed: int,
    epochs: int = 8,
    workers: int = 1,
    precision: str = "auto",
    methods: Sequence[str] = (LINEAR_PROBE, FINE_TUNING),
    cache: Path | None = None,
    inner: bool = False,
) -> Evaluation:
    """Out-of-sample scores of each encoder for each answer of each task whose answers are classes (CLASSIFYING kinds).

    methods: names of CLASSIFIERS; with `epochs` 0 those that train the encoder are left out. All encoders see the same
    batches and augmentations; the number of workers does not change the result. If linear probes are asked for, one on
    coarse pixels ("pixels") is beside the encoders, as a control. Features are kept in the folder `cache`, if given.
    inner: in cross-validation, methods that train the encoder give validation scores too, at the price of a second
    training in each turn; the others always do.
    """
    from ultrafm.downstream.methods.classifying import CLASSIFIERS

    asked = _asked(methods, CLASSIFIERS, epochs)
    jobs = _jobs(tasks, encoders, asked, seed, epochs, precision, cache)
    jobs = [replace(job, inner=inner) for job in jobs]
    return _evaluation(_run(answer, [*jobs, *_controls(jobs, LINEAR_PROBE)], workers, "diagnosis"))


def evaluate_measurement(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    seed: int,
    workers: int = 1,
    methods: Sequence[str] = (RIDGE,),
    cache: Path | None = None,
) -> Evaluation:
    """Out-of-sample values of each encoder for each measurement; truth and score are numbers in the task's unit.

    methods: names of REGRESSIONS; else as evaluate_diagnosis.
    """
    from ultrafm.downstream.methods.classifying import REGRESSIONS

    jobs = _jobs(tasks, encoders, _asked(methods, REGRESSIONS, 0), seed, 0, "fp32", cache)
    return _evaluation(_run(answer, [*jobs, *_controls(jobs, RIDGE)], workers, "measurement"))


def evaluate_segmentation(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    seed: int,
    epochs: int = 8,
    workers: int = 1,
    precision: str = "auto",
    methods: Sequence[str] = (LINEAR_HEAD, FINE_TUNING),
    cache: Path | None = None,
) -> Segmentations:
    """Scores and predicted mask of each image and structure, out of sample, for each encoder and task.

    methods: names of SEGMENTERS; with `epochs` 0 only the linear head is left. Else as evaluate_diagnosis.
    """
    from ultrafm.downstream.methods.segmenting import SEGMENTERS

    jobs = _jobs(tasks, encoders, _asked(methods, SEGMENTERS, epochs), seed, epochs, precision, cache)
    parts = _run(segment, jobs, workers, "segmentation")
    masks = [part.masks for part in parts if len(part.masks)]
    return Segmentations(
        joined([part.scores for part in parts], SCORE_COLUMNS),
        np.concatenate(masks) if masks else np.zeros((0, 1, 1), dtype=np.uint8),
        joined([part.validation for part in parts], SCORE_COLUMNS),
        joined([part.failures for part in parts], FAILURE_COLUMNS),
    )


def told_failures(*failures: pd.DataFrame) -> str:
    """A line for each method that could not answer, or that there is none."""
    rows = pd.concat(failures).to_dict("records")
    lines = [f"{row['task']}, {row['encoder']}, {row['method']}: {row['why']}" for row in rows]
    return "\n".join(lines) or "Every method answered every task."


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


def _asked(methods: Sequence[str], known: Iterable[str], epochs: int) -> tuple[str, ...]:
    """The methods that are to be asked. Raises UltraFMError for a name that is none."""
    from ultrafm.downstream.methods.classifying import TRAINED
    from ultrafm.downstream.methods.segmenting import TRAINED_TO_DRAW

    asked = tuple(dict.fromkeys(one_of("methods", method, known) for method in methods))
    return tuple(method for method in asked if epochs or method not in (*TRAINED, *TRAINED_TO_DRAW))


def _jobs(
    tasks: Mapping[str, TaskData],
    encoders: Mapping[str, Path],
    methods: tuple[str, ...],
    seed: int,
    epochs: int,
    precision: str,
    cache: Path | None,
) -> list[Job]:
    from ultrafm.pretraining.precision import choose_precision

    chosen = choose_precision(precision)
    return [
        Job(data, encoder, Path(folder), methods, seed, epochs, chosen, cache)
        for data in tasks.values()
        if data.skipped is None
        for encoder, folder in encoders.items()
    ]


def _controls(jobs: Sequence[Job], method: str) -> list[Job]:
    """For each task one job that asks `method` of the pixels, if the jobs ask it of encoders."""
    found = {
        job.data.task.name: replace(job, encoder=PIXELS, folder=None, methods=(method,))
        for job in jobs
        if method in job.methods
    }
    return list(found.values())


def _evaluation(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        joined([part.predictions for part in parts], PREDICTION_COLUMNS),
        joined([part.validation for part in parts], PREDICTION_COLUMNS),
        joined([part.failures for part in parts], FAILURE_COLUMNS),
    )


def _run(ask: Callable[[Job], Part], jobs: Sequence[Job], workers: int, title: str) -> list[Part]:
    """The answers in the order of the jobs; `workers` fresh processes, or this one when there is one worker or job."""
    if workers <= 1 or len(jobs) <= 1:
        with one_thread():
            return [ask(job) for job in progress(jobs, total=len(jobs), title=title, unit="job")]
    with worker_pool(min(workers, len(jobs))) as pool:
        asked = pool.map(_on_one_thread, [ask] * len(jobs), jobs)
        return list(progress(asked, total=len(jobs), title=title, unit="job"))


def _on_one_thread(ask: Callable[[Job], Part], job: Job) -> Part:
    with one_thread():
        return ask(job)
