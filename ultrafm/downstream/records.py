"""Records of diagnosis and segmentation: each encoder, its difference from the others, and the average over tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import Cases, Estimates, Interval, auprc, auroc, draw_patients, interval, mean_dice
from ultrafm.downstream.tasks import patient_names
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import FEWEST_PATIENTS, record

MAIN, MACRO_AVERAGE = "federated", "macro_average"
Measure = Callable[[Sequence[Cases]], Estimates]


@dataclass(frozen=True)
class Comparison:
    """One row to be measured: a task (or the macro average over several) with one method, for all its encoders."""

    task: str
    method: str
    fold: str
    level: str | None
    images: str
    encoders: tuple[str, ...]
    cases: tuple[Cases, ...]


def diagnosis_records(
    predictions: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 1000,
    section: str = "diagnosis",
    reference: str | None = None,
) -> list[dict[str, Any]]:
    """Records of AUROC and AUPRC from the predictions of `evaluate_diagnosis`.

    For each task and method: one record an encoder (method "linear_probe/federated"), one for each difference federated
    minus another encoder (comparator), and the same for the average over tasks (task "macro_average"). With a
    `reference`, the differences are every other encoder minus that one instead.
    described: what `describe_tasks` says. generator: draws the patients of the bootstrap.
    """
    if predictions.empty:
        return []
    draws = draw_patients(patient_names(predictions), replicates, generator)
    measures: dict[str, Measure] = {"auroc": auroc, "auprc": lambda tasks: auprc(tasks, draws)}
    compared = list(_comparisons(predictions, "score", described))
    return [
        row
        for one in compared
        for name, measure in measures.items()
        for row in _records(section, one, name, measure, reference)
    ]


def segmentation_records(
    scores: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 1000,
) -> list[dict[str, Any]]:
    """Records of mean Dice from the scores of `evaluate_segmentation`; otherwise as `diagnosis_records`."""
    if scores.empty:
        return []
    draws = draw_patients(patient_names(scores), replicates, generator)
    compared = list(_comparisons(scores, "dice", described))
    return [
        row for one in compared for row in _records("segmentation", one, "dice", lambda tasks: mean_dice(tasks, draws))
    ]


def macro_comparison(predictions: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """All encoders on all tasks together, for one method and one kind of images. Raises UltraFMError for several."""
    found = [one for one in _comparisons(predictions, "score", described) if one.task == MACRO_AVERAGE]
    if len(found) != 1:
        raise UltraFMError("macro average", f"{len(found)} of them", "one method, and images of one kind")
    return found[0]


def records_table(records: Sequence[Mapping[str, Any]], metric: str, differences: bool) -> pd.DataFrame:
    """Records of one metric as a table for reading and drawing, either of values or of differences.

    Columns task, model ("linear probe"), encoder (or "federated - random"), estimate, ci_low, ci_high, ci_method, n,
    n_patients, fold, images.
    """
    wanted = [row for row in records if row["metric"] == metric and (row["comparator"] is not None) == differences]
    rows = []
    for row in wanted:
        model, encoder = row["method"].split("/")
        other = f" − {row['comparator'].split('/')[1]}" if differences else ""
        level = f" ({row['level']})" if row["level"] else ""
        rows.append(
            {"task": f"{row['task']}{level}".replace("_", " "), "model": model.replace("_", " ")}
            | {"encoder": f"{encoder}{other}".replace("_", " ")}
            | {name: row[name] for name in ("estimate", "ci_low", "ci_high", "ci_method", "n", "n_patients")}
            | {"fold": row["fold"], "images": row["images"]}
        )
    return pd.DataFrame(rows)


def _comparisons(table: pd.DataFrame, value: str, described: Mapping[str, Mapping[str, Any]]) -> Iterator[Comparison]:
    for method in dict.fromkeys(table["method"]):
        rows = table[table["method"] == method]
        encoders = tuple(dict.fromkeys(rows["encoder"]))
        single = [
            Comparison(
                str(task), method, found["fold"].iloc[0], None, described[task]["images"], encoders,
                (_cases(found, value, encoders),),
            )
            for task, found in rows.groupby("task", sort=True)
        ]  # fmt: skip
        yield from single
        yield from _averages(single)


def _averages(single: Sequence[Comparison]) -> Iterator[Comparison]:
    """The macro average over tasks; simulated and real images are never averaged together."""
    kinds = sorted({one.images for one in single})
    for images in kinds:
        group = [one for one in single if one.images == images]
        folds = " and ".join(sorted({one.fold for one in group}, reverse=True))
        level = f"{images} images" if len(kinds) > 1 else None
        cases = tuple(one.cases[0] for one in group)
        yield Comparison(MACRO_AVERAGE, group[0].method, folds, level, images, group[0].encoders, cases)


def _cases(rows: pd.DataFrame, value: str, encoders: Sequence[str]) -> Cases:
    """The images of one task in the order of their names, scored by each encoder."""
    wide = rows.pivot(index="image_id", columns="encoder", values=value).reindex(columns=list(encoders))
    if wide.isna().any(axis=None):
        where = f"task {rows['task'].iloc[0]}, method {rows['method'].iloc[0]}"
        raise UltraFMError(where, "images that some encoders did not answer", "the same images for all encoders")
    first = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
    truth = first["truth"].to_numpy(dtype=int) if "truth" in first else np.ones(len(first), dtype=int)
    return Cases(wide.to_numpy(dtype=float).T, truth, patient_names(first).astype(str))


def _records(
    section: str, one: Comparison, metric: str, measure: Measure, reference: str | None = None
) -> Iterator[dict[str, Any]]:
    estimates = measure(one.cases)
    patients = set().union(*(cases.patients.tolist() for cases in one.cases))
    units = np.eye(len(one.encoders))
    rows: list[tuple[str, str | None, np.ndarray]] = [
        (encoder, None, unit) for encoder, unit in zip(one.encoders, units)
    ]
    if reference is not None:
        base = units[one.encoders.index(reference)]
        rows += [(name, reference, unit - base) for name, unit in zip(one.encoders, units) if name != reference]
    elif MAIN in one.encoders:
        main = units[one.encoders.index(MAIN)]
        rows += [(MAIN, other, main - unit) for other, unit in zip(one.encoders, units) if other != MAIN]
    for encoder, other, contrast in rows:
        found = interval(estimates, contrast)
        if len(patients) < FEWEST_PATIENTS:
            found = Interval(found.estimate, None, None, f"not defined: too few patients ({len(patients)})")
        yield record(
            section=section, task=one.task, metric=metric, fold=one.fold, level=one.level, images=one.images,
            method=f"{one.method}/{encoder}", comparator=f"{one.method}/{other}" if other else None,
            estimate=found.estimate, ci_low=found.low, ci_high=found.high, ci_method=found.method,
            n=sum(len(cases.patients) for cases in one.cases), n_patients=len(patients),
        )  # fmt: skip
