"""How each way of measuring agrees with the observers, and they among themselves: records and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.measurement.evaluate import OBSERVER
from ultrafm.downstream.metrics import (
    Cases,
    Interval,
    Resampling,
    draw_patients,
    interval,
    limits_of_agreement,
    measurement,
)
from ultrafm.downstream.records import MAIN
from ultrafm.downstream.tasks import TaskData, patient_names
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import FEWEST_PATIENTS, interval_text, record

SECTION, ERROR = "measurement", "mean_absolute_error"
LIMITS = ("bias", "lower_limit", "upper_limit")


@dataclass(frozen=True)
class Pair:
    """Measured and true values (K,) of one task in one unit, by one method ("ridge/federated" or "observer/1")."""

    task: str
    method: str
    unit: str
    fold: str
    measured: np.ndarray
    truth: np.ndarray
    patients: np.ndarray
    images: int


def pairs(table: pd.DataFrame) -> list[Pair]:
    """Each method against the mean of the observers, and each observer against the mean of the others.

    table: of `measure_task`. Images without a number are left out; `images` counts them too.
    """
    found = []
    for task, rows in table.groupby("task", sort=True):
        for (method, encoder), said in rows.groupby(["method", "encoder"], sort=False):
            found.append(_pair(str(task), f"{method}/{encoder}", said, said["prediction"], said["truth"]))
        first = rows.drop_duplicates("image_id")
        names = [name for name in rows if name.startswith(OBSERVER) and rows[name].notna().any()]
        for name in names if len(names) > 1 else ():
            others = first[[other for other in names if other != name]].mean(axis=1)
            found.append(_pair(str(task), name.replace(OBSERVER, OBSERVER.strip() + "/"), first, first[name], others))
    return found


def _pair(task: str, method: str, rows: pd.DataFrame, measured: pd.Series, truth: pd.Series) -> Pair:
    kept = (measured.notna() & truth.notna()).to_numpy()
    unit, fold = str(rows["unit"].iloc[0]), str(rows["fold"].iloc[0])
    values = measured.to_numpy(dtype=float)[kept], truth.to_numpy(dtype=float)[kept]
    return Pair(task, method, unit, fold, *values, patient_names(rows)[kept].astype(str), len(rows))


def agreement_records(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    generator: np.random.Generator,
    replicates: int = 1000,
) -> list[dict[str, Any]]:
    """Records of every pair: bias and 95 % limits of agreement, mean absolute error, share of images with a number.

    Limits heed patients measured repeatedly (`limits_of_agreement`); the mean absolute error has a patient bootstrap,
    as have its differences, ridge on the main encoder minus every other method, on the images that both measure.
    Observers are compared with the mean of the other observers, which is less steady than the mean of all that the
    methods are compared with: their limits are a little too wide beside those of the methods.
    described: what `describe_tasks` says. Fewer than FEWEST_PATIENTS patients: no interval.
    """
    if table.empty:
        return []
    draws = draw_patients(patient_names(table), replicates, generator)
    found = pairs(table)
    made = [row for pair in found for row in _records(pair, described[pair.task]["images"], draws)]
    return made + list(_differences(table, described, draws))


def _records(pair: Pair, images: str, draws: Resampling) -> Iterator[dict[str, Any]]:
    common = _common(pair, images)
    share = len(pair.measured) / pair.images
    yield record(metric="share_measured", estimate=share, **common)
    for name, (estimate, low, high) in zip(LIMITS, _limits(pair)):
        method = "Bland and Altman 2007, patients as clusters"
        found = _enough(pair, Interval(estimate, low, high, method))
        yield record(metric=name, unit=pair.unit, **_ends(found), **common)
    cases = [Cases(pair.measured[None], pair.truth, pair.patients)]
    error = interval(measurement(ERROR, cases, draws), np.ones(1))
    yield record(metric=ERROR, unit=pair.unit, **_ends(_enough(pair, error)), **common)


def _limits(pair: Pair) -> list[tuple[float | None, float | None, float | None]]:
    """Bias, lower and upper limit of agreement, each with its interval; None where not defined."""
    try:
        found = limits_of_agreement(pair.measured, pair.truth, pair.patients)
    except UltraFMError:  # fewer than two patients or images
        bias = float((pair.measured - pair.truth).mean()) if len(pair.measured) else None
        return [(bias, None, None), (None, None, None), (None, None, None)]
    return [
        (found.bias, found.bias_low, found.bias_high), (found.lower, found.lower_low, found.lower_high),
        (found.upper, found.upper_low, found.upper_high),
    ]  # fmt: skip


def _enough(pair: Pair, found: Interval) -> Interval:
    patients = len(set(pair.patients.tolist()))
    if patients >= FEWEST_PATIENTS:
        return found
    return Interval(found.estimate, None, None, f"not defined: too few patients ({patients})")


def _ends(found: Interval) -> dict[str, Any]:
    return {"estimate": found.estimate, "ci_low": found.low, "ci_high": found.high, "ci_method": found.method}


def _common(pair: Pair, images: str) -> dict[str, Any]:
    return {
        "section": SECTION, "task": pair.task, "method": pair.method, "fold": pair.fold, "images": images,
        "n": len(pair.measured), "n_patients": len(set(pair.patients.tolist())),
        "readers": images if pair.method.startswith(OBSERVER.strip()) else None,
    }  # fmt: skip


def _differences(
    table: pd.DataFrame, described: Mapping[str, Mapping[str, Any]], draws: Resampling
) -> Iterator[dict[str, Any]]:
    main = f"ridge/{MAIN}"
    for task, rows in table.groupby("task", sort=True):
        named = rows.assign(named=rows["method"] + "/" + rows["encoder"])
        wide = named.pivot(index="image_id", columns="named", values="prediction")
        first = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
        for other in [name for name in dict.fromkeys(named["named"]) if name != main] if main in wide else ():
            kept = wide[[main, other]].notna().all(axis=1).to_numpy()
            if kept.sum() < 2:
                continue
            values, truth = wide.loc[kept, [main, other]].to_numpy(dtype=float).T, first["truth"].to_numpy()[kept]
            patients = patient_names(first)[kept].astype(str)
            cases = Cases(values, truth.astype(float), patients)
            pair = Pair(
                str(task), main, str(rows["unit"].iloc[0]), str(rows["fold"].iloc[0]), *values, patients, len(wide)
            )
            found = _enough(pair, interval(measurement(ERROR, [cases], draws), np.array([1.0, -1.0])))
            images = described[str(task)]["images"]
            yield record(metric=ERROR, comparator=other, unit=pair.unit, **_ends(found), **_common(pair, images))


def agreement_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records for reading: one row per task and method; bias, limits and mean absolute error with their intervals."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records:
        if row["comparator"] is None:
            method, name = row["method"].split("/")
            task = row["task"].replace("_", " ")
            line = rows.setdefault((row["task"], row["method"]), {"task": task, "method": method.replace("_", " ")})
            line |= {"of": name.replace("_", " "), "unit": row["unit"] or line.get("unit"), "images": row["n"]}
            line["patients"] = row["n_patients"]
            if row["metric"] != "share_measured":
                text = interval_text(row["estimate"], row["ci_low"], row["ci_high"], digits=1)
                line[row["metric"].replace("_", " ")] = text
    return pd.DataFrame(rows.values())


def what_is_missing(tasks: Mapping[str, TaskData]) -> str:
    """What a reader should know of the tasks that are not evaluated; a sentence, also when there is none at all."""
    if not tasks:
        return "No site of this study has a measurement task: below, only drawn scenes are measured."
    skipped = [f"{name} is not evaluated: {data.skipped}." for name, data in tasks.items() if data.skipped]
    return " ".join(skipped) or "All measurement tasks are evaluated."


def error_table(records: Sequence[Mapping[str, Any]], differences: bool) -> pd.DataFrame:
    """Records of the mean absolute error for `interval_plot`: task, method, estimate, ci_low, ci_high, unit."""
    wanted = [row for row in records if row["metric"] == ERROR and (row["comparator"] is not None) == differences]
    return pd.DataFrame(
        [
            {"task": f"{row['task']} ({row['unit']})".replace("_", " ")}
            | {"method": (row["comparator"] or row["method"]).replace("_", " ").replace("/", ", ")}
            | {name: row[name] for name in ("estimate", "ci_low", "ci_high", "unit", "n", "n_patients")}
            for row in wanted
        ]
    )
