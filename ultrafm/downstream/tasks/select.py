"""Choosing the images of a task from the curated stores of its sites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks.data import COLUMNS, FOLDS, NO_DESIGN, TaskData, divided_unit, shrinks
from ultrafm.downstream.tasks.enough import design_of
from ultrafm.downstream.tasks.truths import Found, find_truth, needs_measured, never_found
from ultrafm.errors import NothingToDo, UltraFMError, nearest
from ultrafm.manifests import TaskAtSites


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
    of no class; no mask, or a mask in which none of the structures occurs; nothing measured). A task that cannot be
    evaluated comes back with the reason in `skipped`: a site that was not curated, or before measurements were kept,
    too few patients of a class in a fold, a clip or patient with two answers where that is the unit, or a leak between
    folds.

    Raises UltraFMError for a store that was changed or that nobody signed for, as `load_pictures` does.
    """
    from ultrafm.curation import load_pictures
    from ultrafm.downstream.tasks.leaks import leak_reason

    try:
        pictures = load_pictures(curated, asked.sites, FOLDS)
    except UltraFMError:
        unknown = _not_curated(Path(curated), asked)
        if unknown is None:
            raise
        return _no_images(asked, unknown)
    table = pictures.table.reset_index(drop=True)
    if needs_measured(asked.task) and "measured" not in table:
        return _no_images(asked, "its sites were curated by a version that kept no measurements; curate them again")
    found = find_truth(curated, asked, table, pictures.images.shape[1])
    keep, left_out = _leave_out(_reasons(asked, table, found), len(table))
    rows, images, sectors = table[keep], pictures.images[keep], pictures.sectors[keep]
    found = found.of(keep)
    kept = _columns(rows, images.shape[1])
    design, skipped = design_of(kept, asked.task, found.truth, left_out)
    skipped = skipped and skipped + never_found(asked.task, table)
    skipped = skipped or divided_unit(rows, asked.task, found.truth) or leak_reason(rows, images, sectors)
    return TaskData(
        asked.task, design, images, sectors, found.truth, kept, left_out, skipped, found.observers, found.masks
    )  # fmt: skip


def _reasons(asked: TaskAtSites, table: pd.DataFrame, found: Found) -> dict[str, np.ndarray]:
    """Why a row is left out -> (N,) which rows."""
    return {
        "another organ": ~table["organ"].isin(asked.task.organs).to_numpy(),
        "site only pre-trains": _only_trains(table),
        **found.lacking,
    }


def _not_curated(curated: Path, asked: TaskAtSites) -> str | None:
    """Which site of a task has no store in `curated`, in words; None when all have one."""
    there = sorted(path.parent.parent.name for path in curated.glob("*/store/state.json"))
    missing = [site for site in asked.sites if site not in there]
    if not missing:
        return None
    return f"its site {missing[0]!r} is not among the curated ones ({', '.join(there)}){nearest(missing[0], there)}"


def _no_images(asked: TaskAtSites, why: str) -> TaskData:
    images, table = np.zeros((0, 1, 1), dtype=np.uint8), pd.DataFrame(columns=list(COLUMNS))
    truth = np.zeros((0, len(asked.task.classes)) if asked.task.several else 0, dtype=np.int64)
    return TaskData(asked.task, NO_DESIGN, images, images > 0, truth, table, {}, why)


def _columns(table: pd.DataFrame, side: int) -> pd.DataFrame:
    """The columns of COLUMNS of a store's rows; `side` is that of its pictures in pixels."""
    return table.assign(shrink=shrinks(table, side)).reindex(columns=list(COLUMNS)).reset_index(drop=True)


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
