"""Choosing the images of a task from the curated stores of its sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks.answers import class_truth
from ultrafm.downstream.tasks.data import COLUMNS, FOLDS, TaskData
from ultrafm.downstream.tasks.enough import design_of
from ultrafm.errors import NothingToDo, UltraFMError
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.question import CLASSIFYING
from ultrafm.manifests.schema import Task


@dataclass(frozen=True)
class Found:
    """truth as in TaskData; known: (N,) has the image an answer? why: what is said of those without one."""

    truth: np.ndarray
    known: np.ndarray
    why: str


def select_tasks(curated: Path, tasks: Mapping[str, TaskAtSites], *kinds: str) -> dict[str, TaskData]:
    """The data of every task of these kinds ("diagnosis", "segmentation", ...), in the order of their names."""
    return {name: select_task(curated, tasks[name]) for name in sorted(tasks) if tasks[name].task.kind in kinds}


def require_tasks(asked: Mapping[str, TaskData], kind: str) -> None:
    """Raise NothingToDo, with the reasons, when none of the tasks can be evaluated."""
    if all(data.skipped for data in asked.values()):
        reasons = "; ".join(f"{name}: {data.skipped}" for name, data in asked.items()) or "no site has such a task"
        raise NothingToDo(f"no {kind} task can be evaluated ({reasons})")


def select_task(curated: Path, asked: TaskAtSites) -> TaskData:
    """The images of one task from the curated stores in `curated`; see TaskData.

    Left out and counted: images of another organ, of sites that only pre-train, and images without an answer (a label
    of no class; no mask, or a mask in which none of the structures occurs). A task that cannot be evaluated comes back
    with the reason in `skipped`.
    """
    from ultrafm.curation import load_pictures

    task = asked.task
    pictures = load_pictures(curated, asked.sites, FOLDS)
    table = pictures.table.reset_index(drop=True)
    found = _answer(curated, asked, table)
    reasons = {
        "another organ": ~table["organ"].isin(task.organs).to_numpy(),
        "site only pre-trains": _only_trains(table),
        found.why: ~np.asarray(found.known),
    }
    keep, left_out = _leave_out(reasons, len(table))
    truth, kept = found.truth[keep], _columns(table[keep], pictures.images.shape[1])
    design, skipped = design_of(kept, task, truth, left_out)
    return TaskData(task, design, pictures.images[keep], pictures.sectors[keep], truth, kept, left_out, skipped)


def _answer(curated: Path, asked: TaskAtSites, table: pd.DataFrame) -> Found:
    task = asked.task
    if task.kind in CLASSIFYING:
        return Found(*class_truth(table[task.classes_of], task), _no_class(task))
    if task.kind == "segmentation":
        return _outlines(curated, asked)
    raise UltraFMError(f"task {task.name}", f"the kind {task.kind}", "a kind that can be selected")


def _no_class(task: Task) -> str:
    if task.is_binary:
        return "label neither positive nor negative"
    return "label missing" if task.several else f"{task.classes_of} of no class"


def _outlines(curated: Path, asked: TaskAtSites) -> Found:
    """Numbered structures; an image is known when its mask tells of all of them and shows at least one."""
    from ultrafm.curation import load_masks

    names = asked.task.outlined
    truth, told = 0, True
    for number, name in enumerate(names, start=1):
        masks, has_mask = load_masks(curated, asked.sites, FOLDS, name)
        truth = np.where(masks > 0, np.uint8(number), truth).astype(np.uint8)
        told = told & has_mask
    return Found(truth, told & truth.any(axis=(1, 2)), f"{' and '.join(names)} not outlined or not in the image")


def _columns(table: pd.DataFrame, side: int) -> pd.DataFrame:
    """The columns of COLUMNS of a store's rows; `side` is that of its pictures in pixels."""
    return table.assign(shrink=_shrink(table, side)).reindex(columns=list(COLUMNS)).reset_index(drop=True)


def _shrink(table: pd.DataFrame, side: int) -> list[float]:
    """Pixels of the original picture in one curated pixel, along a line: the crop's longer side became `side`."""
    boxes = table["crop"] if "crop" in table else [None] * len(table)
    return [np.nan if box is None else max(box[2] - box[0], box[3] - box[1]) / side for box in boxes]


def _only_trains(table: pd.DataFrame) -> np.ndarray:
    evaluates = table["fold"].ne("train").groupby(table["site"]).any()
    return ~table["site"].map(evaluates).to_numpy(dtype=bool)


def _leave_out(reasons: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, dict[str, int]]:
    """(N,) True for rows that stay; each row that goes is counted under its first reason."""
    keep, left_out = np.ones(count, dtype=bool), {}
    for reason, goes in reasons.items():
        if (goes & keep).any():
            left_out[reason] = int((goes & keep).sum())
        keep &= ~goes
    return keep, left_out
