"""Comparisons: what is measured together, out of a table with a row per image, answer, method and encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import Cases
from ultrafm.downstream.tasks import patient_names
from ultrafm.errors import UltraFMError

MAIN, MACRO_AVERAGE = "federated", "macro_average"


@dataclass(frozen=True)
class Comparison:
    """One row to be measured: a task (or the macro average over several) with one method, for all its encoders.

    cases: one `Cases` for each task and answer; weights: how much each counts, None when all count alike; images: how
    many are measured. reason: why nothing can be measured, else None.
    """

    task: str
    method: str
    fold: str
    level: str | None
    reality: str
    encoders: tuple[str, ...]
    cases: tuple[Cases, ...]
    weights: np.ndarray | None
    images: int
    reason: str | None = None

    @property
    def patients(self) -> int:
        """How many patients the images are of."""
        return len(set().union(*(cases.patients.tolist() for cases in self.cases)))


def comparisons(table: pd.DataFrame, value: str, described: Mapping[str, Mapping[str, Any]]) -> Iterator[Comparison]:
    """Every task, every answer of a task with several, and the averages over tasks, for each method.

    table: columns task, method, encoder, image_id, site, patient, fold, the column `value`, and where there are:
    answer, truth (0/1), unmeasurable (a reason, or None). A task with several answers is the mean over them.
    described: task -> "images", real or simulated, and "averaged", False where averages leave it out.
    Raises UltraFMError for a value that is not a number and for images that some encoders did not answer.
    """
    for method in dict.fromkeys(table["method"]):
        rows = table[table["method"] == method]
        encoders = tuple(dict.fromkeys(rows["encoder"]))
        single = [
            _task(str(task), method, found, value, described[task]["images"], encoders)
            for task, found in rows.groupby("task", sort=True)
        ]
        for one in single:
            yield one
            yield from _answers(one)
        yield from _averages([one for one in single if described[one.task].get("averaged", True)])


def macro_comparison(predictions: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """All encoders on all tasks together, for one method and one kind of images. Raises UltraFMError for several."""
    found = [one for one in comparisons(predictions, "score", described) if one.task == MACRO_AVERAGE]
    if len(found) != 1:
        raise UltraFMError("macro average", f"{len(found)} of them", "one method, and images of one kind")
    return found[0]


def contrasts(
    one: Comparison, reference: str | None = None, main: str = MAIN
) -> list[tuple[str, str | None, np.ndarray]]:
    """Encoder, comparator (None: the value itself) and contrast of each row that is reported of a comparison.

    With a `reference`, differences are every other encoder minus that one; else the `main` one minus every other.
    """
    units = np.eye(len(one.encoders))
    rows: list[tuple[str, str | None, np.ndarray]] = [
        (encoder, None, unit) for encoder, unit in zip(one.encoders, units)
    ]
    if reference is not None:
        base = units[one.encoders.index(reference)]
        rows += [(name, reference, unit - base) for name, unit in zip(one.encoders, units) if name != reference]
    elif main in one.encoders:
        mine = units[one.encoders.index(main)]
        rows += [(main, other, mine - unit) for other, unit in zip(one.encoders, units) if other != main]
    return rows


def wide(rows: pd.DataFrame, value: str, encoders: Sequence[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Values (C, K) of the images of one task and answer in the order of their names, and their rows (K,)."""
    _check_numbers(rows, value)
    values = rows.pivot(index="image_id", columns="encoder", values=value).reindex(columns=list(encoders))
    if values.isna().any(axis=None):
        where = f"task {rows['task'].iloc[0]}, method {rows['method'].iloc[0]}"
        raise UltraFMError(where, "images that some encoders did not answer", "the same images for all encoders")
    first = rows.drop_duplicates("image_id").set_index("image_id").loc[values.index]
    return values.to_numpy(dtype=float).T, first


def _task(
    task: str, method: str, rows: pd.DataFrame, value: str, reality: str, encoders: tuple[str, ...]
) -> Comparison:
    answers = list(dict.fromkeys(rows["answer"])) if "answer" in rows else [None]
    parts = [rows if answer is None else rows[rows["answer"] == answer] for answer in answers]
    names = [str(answer) if len(answers) > 1 else "" for answer in answers]
    cases = tuple(_cases(part, value, encoders, name) for part, name in zip(parts, names))
    weights = np.full(len(cases), 1 / len(cases)) if len(cases) > 1 else None
    reasons = rows["unmeasurable"].dropna() if "unmeasurable" in rows else []
    reason = str(reasons.iloc[0]) if len(reasons) else None
    images = rows["image_id"].nunique()
    return Comparison(task, method, rows["fold"].iloc[0], None, reality, encoders, cases, weights, images, reason)


def _cases(rows: pd.DataFrame, value: str, encoders: Sequence[str], name: str) -> Cases:
    values, first = wide(rows, value, encoders)
    truth = first["truth"].to_numpy(dtype=float) if "truth" in first else np.ones(len(first))
    whole = truth.astype(int)
    return Cases(values, whole if (whole == truth).all() else truth, patient_names(first).astype(str), name)


def _answers(one: Comparison) -> Iterator[Comparison]:
    """Each answer of a task with several."""
    if len(one.cases) > 1:
        for cases in one.cases:
            yield Comparison(
                one.task, one.method, one.fold, f"answer {cases.name}", one.reality, one.encoders, (cases,), None,
                cases.truth.size, one.reason,
            )  # fmt: skip


def _averages(single: Sequence[Comparison]) -> Iterator[Comparison]:
    """The macro average over tasks; simulated and real images are never averaged together."""
    kinds = sorted({one.reality for one in single})
    for reality in kinds:
        group = [one for one in single if one.reality == reality]
        folds = " and ".join(sorted({one.fold for one in group}, reverse=True))
        level = f"{reality} images" if len(kinds) > 1 else None
        cases = tuple(found for one in group for found in one.cases)
        weights = np.concatenate([np.full(len(one.cases), 1 / len(one.cases)) for one in group])
        reason = next((f"task {one.task}: {one.reason}" for one in group if one.reason), None)
        yield Comparison(
            MACRO_AVERAGE, group[0].method, folds, level, reality, group[0].encoders, cases,
            weights if len(cases) > len(group) else None, sum(one.images for one in group), reason,
        )  # fmt: skip


def _check_numbers(rows: pd.DataFrame, value: str) -> None:
    missing = rows[rows[value].isna()]
    if len(missing):
        row = missing.iloc[0]
        where = f"task {row['task']}, method {row['method']}, encoder {row['encoder']}, image {row['image_id']}"
        raise UltraFMError(where, f"no number (NaN) as {value}", "a number for every image", "see why the model failed")
