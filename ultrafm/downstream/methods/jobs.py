"""Jobs: one encoder on one task, asked in several ways; out come tables of predictions, and of what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import UltraFMError

if TYPE_CHECKING:
    from ultrafm.downstream.methods.seen import Seen

VALIDATION = "validation"
# turn: which training of a cross-validation made the row; validation rows fix thresholds for the rows of their turn.
ROW = ("task", "method", "encoder", "answer", "image_id", "clip", "site", "patient", "fold", "turn")
PREDICTION_COLUMNS = [*ROW, "truth", "score", "difficulty"]
SCORE_COLUMNS = [*ROW, "dice", "iou", "hd95", "nsd", "unit"]
FAILURE_COLUMNS = ["task", "encoder", "method", "why"]


@dataclass(frozen=True)
class Job:
    """One encoder on one task, asked by several `methods`; for the rest see `Seen`."""

    data: TaskData
    encoder: str
    folder: Path | None
    methods: tuple[str, ...]
    seed: int
    epochs: int
    precision: str
    cache: Path | None = None
    inner: bool = False


@dataclass(frozen=True)
class Evaluation:
    """predictions: out of sample (PREDICTION_COLUMNS). failures: what was asked in vain, and why (FAILURE_COLUMNS).

    validation: the same columns, fold "validation", of images that were not fitted on but that choices were made on:
    to fix thresholds and temperatures, never to be reported; kept apart so that no table mixes them.
    """

    predictions: pd.DataFrame
    validation: pd.DataFrame
    failures: pd.DataFrame


@dataclass(frozen=True)
class Segmentations:
    """scores: a row an image, structure, method and encoder (SCORE_COLUMNS); masks: the 0/1 masks (rows, S, S) of the
    structure, in the same order. validation: scores of the images that thresholds were chosen on. failures: as above.

    dice, iou, nsd 0 to 1; hd95 in `unit`, which is "mm" where the size of a pixel is known, else "pixels".
    """

    scores: pd.DataFrame
    masks: np.ndarray
    validation: pd.DataFrame
    failures: pd.DataFrame


def answer(job: Job) -> Evaluation:
    """The predictions of one job, by methods of CLASSIFIERS or REGRESSIONS."""
    from ultrafm.downstream.methods.classifying import CLASSIFIERS, REGRESSIONS

    seen = _seen(job)
    found, failures = _attempts(job, seen, CLASSIFIERS | REGRESSIONS)
    tables = [
        (method, number, turn, one)
        for method, answered in found.items()
        for number, (turn, one) in enumerate(zip(seen.turns, answered))
    ]
    predictions = [_predictions(job, name, number, turn.fold, turn.predict, one.scores)
                   for name, number, turn, one in tables]  # fmt: skip
    validation = [_predictions(job, name, number, VALIDATION, one.held, one.held_scores)
                  for name, number, _, one in tables]  # fmt: skip
    return Evaluation(
        in_order(joined(predictions, PREDICTION_COLUMNS), job.methods),
        in_order(joined(validation, PREDICTION_COLUMNS), job.methods),
        failures,
    )


def segment(job: Job) -> Segmentations:
    """The scores and masks of one job, by methods of SEGMENTERS."""
    from ultrafm.downstream.methods.segmenting import SEGMENTERS

    seen = _seen(job)
    found, failures = _attempts(job, seen, SEGMENTERS)
    scores, masks, validation = [], [], []
    for method, drawn in found.items():
        for number, (turn, one) in enumerate(zip(seen.turns, drawn)):
            scores.append(_overlaps(job, method, number, turn.fold, turn.predict, one.masks))
            masks += [one.masks == structure for structure in range(1, len(job.data.answers) + 1)]
            validation.append(_overlaps(job, method, number, VALIDATION, one.held, one.held_masks))
    table = joined(scores, SCORE_COLUMNS).reset_index(drop=True)
    order = in_order(table, job.methods, keep_index=True).index.to_numpy()
    drawn = np.concatenate(masks).astype(np.uint8) if masks else np.zeros((0, 1, 1), dtype=np.uint8)
    return Segmentations(
        table.loc[order].reset_index(drop=True), drawn[order] if len(order) else drawn,
        in_order(joined(validation, SCORE_COLUMNS), job.methods), failures,
    )  # fmt: skip


def joined(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables one below the other; one with these columns and no row where there are none."""
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    return pd.concat(tables, ignore_index=True)


def in_order(table: pd.DataFrame, methods: Sequence[str], keep_index: bool = False) -> pd.DataFrame:
    """Rows by method (as asked), then image, then answer (as they were)."""
    rank = table["method"].map({name: number for number, name in enumerate(methods)}).astype(float)
    order = np.lexsort([np.arange(len(table)), table["image_id"].astype(str), rank])
    found = table.iloc[order]
    return found if keep_index else found.reset_index(drop=True)


def _seen(job: Job) -> Seen:
    from ultrafm.downstream.methods.seen import Seen

    return Seen(job.data, job.folder, job.seed, job.epochs, job.precision, job.cache, job.inner)


def _attempts(
    job: Job, seen: Seen, ways: Mapping[str, Callable[[Seen, int], Any]]
) -> tuple[dict[str, list[Any]], pd.DataFrame]:
    """What each method gives in each turn, and a table of the methods that cannot answer; other errors are bugs."""
    found, failures = {}, []
    for method in job.methods:
        try:
            found[method] = [ways[method](seen, number) for number in range(len(seen.turns))]
        except UltraFMError as error:
            failures.append([job.data.task.name, job.encoder, method, str(error)])
    return found, pd.DataFrame(failures, columns=FAILURE_COLUMNS, dtype=object)


def _rows(job: Job, method: str, turn: int, fold: str, rows: np.ndarray, truth: Sequence[np.ndarray]) -> pd.DataFrame:
    """A row an answer and image of `rows`; answer by answer, of which `truth` has the values."""
    images = job.data.table.iloc[rows].reset_index(drop=True)
    images = images.assign(task=job.data.task.name, method=method, encoder=job.encoder, fold=fold, turn=turn)
    parts = [images.assign(answer=name, truth=values) for name, values in zip(job.data.answers, truth)]
    return pd.concat(parts, ignore_index=True)


def _predictions(job: Job, method: str, turn: int, fold: str, rows: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    truth = job.data.truth[:, None] if job.data.kind == "measurement" else job.data.answer_truth
    table = _rows(job, method, turn, fold, rows, truth[rows].T)
    return table.assign(score=scores.T.ravel(), difficulty=table["difficulty"].astype(float))[PREDICTION_COLUMNS]


def _overlaps(job: Job, method: str, turn: int, fold: str, rows: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    from ultrafm.downstream.metrics import overlap

    spacing = np.repeat(job.data.table["pixel_mm"].to_numpy(dtype=float)[rows, None], 2, axis=1)
    count = len(job.data.answers)
    found = overlap(masks, job.data.truth[rows], count, spacing)
    table = _rows(job, method, turn, fold, rows, [np.ones(len(rows))] * count)
    values = {name: getattr(found, name).T.ravel() for name in ("dice", "iou", "hd95", "nsd")}
    return table.assign(**values, unit=np.tile(found.unit, count))[SCORE_COLUMNS]
