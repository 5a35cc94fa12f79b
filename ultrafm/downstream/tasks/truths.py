"""What is true of each image of a task's sites: from labels, masks, or what observers measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks.answers import class_truth
from ultrafm.downstream.tasks.data import FOLDS, shrinks, unit_scale
from ultrafm.downstream.tasks.from_masks import measure_masks
from ultrafm.errors import nearest
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.question import CLASSIFYING
from ultrafm.manifests.schema import Task


@dataclass(frozen=True)
class Found:
    """truth, observers, masks: as in TaskData. lacking: why an image has no answer -> (N,) which images."""

    truth: np.ndarray
    lacking: Mapping[str, np.ndarray]
    observers: pd.DataFrame | None = None
    masks: np.ndarray | None = None

    def of(self, rows: np.ndarray) -> Found:
        """The same of the rows (N,) that are True; these lack nothing."""
        observers = None if self.observers is None else self.observers[rows].reset_index(drop=True)
        return Found(self.truth[rows], {}, observers, None if self.masks is None else self.masks[rows])


def find_truth(curated: Path, asked: TaskAtSites, table: pd.DataFrame, side: int) -> Found:
    """What is true of each row of `table`, the stores' rows of the task's sites; `side` of their pictures in pixels."""
    task = asked.task
    if task.kind in CLASSIFYING:
        truth, answered = class_truth(table[task.classes_of], task)
        return Found(truth, {_no_class(task): ~answered})
    if task.kind == "segmentation":
        truth, shown = _outlines(curated, asked)
        return Found(truth, {_not_outlined(task): ~shown})
    if needs_measured(task):
        return observed(table["measured"], task)
    masks, shown = _outlines(curated, asked)
    return _from_masks(table, masks, shown, task, side)


def needs_measured(task: Task) -> bool:
    """Is it a measurement that a table of the observers answers?"""
    return task.kind == "measurement" and not task.from_masks


def observed(cells: pd.Series, task: Task) -> Found:
    """The mean of what the observers measured; `cells` (N,) JSON {quantity: {observer: value}}, or None.

    An observer number means one person at one site only.
    """
    values = [(json.loads(cell) if isinstance(cell, str) else {}).get(task.quantity, {}) for cell in cells]
    names = sorted({name for found in values for name in found}, key=int)
    observers = pd.DataFrame([[found.get(name, np.nan) for name in names] for found in values], dtype=float)
    observers.columns = [f"observer {name}" for name in names]
    lacking = {f"{task.quantity} not measured": observers.isna().all(axis=1).to_numpy()}
    return Found(observers.mean(axis=1).to_numpy(), lacking, observers)


def never_found(task: Task, table: pd.DataFrame) -> str:
    """Words of the task that nothing at its sites bears, as an addition to why it is skipped; often a misspelling."""
    if task.kind in CLASSIFYING:
        words, there = task.words, {word for word in table[task.classes_of] if isinstance(word, str)}
    elif task.outlined:
        words, there = task.outlined, {name for text in set(table["structures"]) for name in json.loads(text)}
    else:
        words = (task.quantity,)
        there = {name for text in set(table["measured"]) if isinstance(text, str) for name in json.loads(text)}
    missing = [word for word in words if word not in there]
    known = ", ".join(sorted(there)) or "none"
    return f"; nothing at its sites is {missing[0]!r}, there is: {known}{nearest(missing[0], there)}" if missing else ""


def _outlines(curated: Path, asked: TaskAtSites) -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S) numbered structures, and (N,) does the mask tell of all of them and show at least one?"""
    from ultrafm.curation import load_masks

    truth, told = np.uint8(0), True
    for number, name in enumerate(asked.task.outlined, start=1):
        masks, has_mask = load_masks(curated, asked.sites, FOLDS, name)
        truth = np.where(masks > 0, np.uint8(number), truth)
        told = told & has_mask
    return truth, told & truth.any(axis=(1, 2))


def _from_masks(table: pd.DataFrame, masks: np.ndarray, shown: np.ndarray, task: Task, side: int) -> Found:
    """A measurement from the outlines of each image, told in the task's unit; see `TaskData.unit_scale`."""
    scale = unit_scale(table.assign(shrink=shrinks(table, side)), task.measured_in)
    measured = np.full(len(masks), np.nan)
    measured[shown] = measure_masks(masks[shown], task.from_masks)
    lacking = {
        _not_outlined(task): ~shown,
        "size of a pixel not known": ~np.isfinite(scale),
        f"{task.quantity} cannot be taken from the outlines": np.isnan(measured),
    }
    return Found(measured * scale, lacking, masks=masks)


def _no_class(task: Task) -> str:
    if task.is_binary:
        return "label neither positive nor negative"
    return "label missing" if task.several else f"{task.classes_of} of no class"


def _not_outlined(task: Task) -> str:
    return f"{' and '.join(task.outlined)} not outlined or not in the image"
