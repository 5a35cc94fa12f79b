"""How each way of measuring agrees with the observers, and they among themselves: records and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.measurement.evaluate import OBSERVER, RIDGE
from ultrafm.downstream.metrics import Cases, Interval, Resampling, draw_patients, interval, measurement
from ultrafm.downstream.records import measurement_records
from ultrafm.downstream.records.comparisons import MAIN
from ultrafm.downstream.tasks import TaskData, patient_names
from ultrafm.reporting.records import FEWEST_PATIENTS, interval_text, record

SECTION, ERROR = "measurement", "mean_absolute_error"


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
        for name, others in _observers(first).items():
            method = name.replace(OBSERVER, OBSERVER.strip() + "/")
            found.append(_pair(str(task), method, first, first[name], first[others].mean(axis=1)))
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
    """Records of every method and observer by `measurement_records`, and the share of images that have a number.

    Ridge regression is compared among encoders, and on the main one with each other way of measuring, by the mean
    absolute error on the images that both measure. Observers are compared with the mean of the other observers, which
    is less steady than the mean of all that the methods are compared with: their limits are a little too wide beside
    those of the methods. described: what `describe_tasks` says.
    """
    if table.empty:
        return []
    units = dict(zip(table["task"], table["unit"]))
    made = list(_shares(table, described))
    for part in _parts(table):
        found = measurement_records(part, described, units, generator, replicates)
        is_observer = part["method"].iloc[0] == OBSERVER.strip()
        made += [row | {"readers": row["images"]} if is_observer else row for row in found]
    draws = draw_patients(patient_names(table), replicates, generator)
    return made + [
        row for task, rows in table.groupby("task") for row in _between_methods(rows, described[task], draws)
    ]


def _parts(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """What each task's methods and observers say, as `measurement_records` takes it: the same images for all encoders.

    Ridge regression measures all images; of other methods each kind of picture makes a part.
    """
    for _task, rows in table.groupby("task", sort=True):
        said = rows.rename(columns={"prediction": "score"}).dropna(subset="score")
        for _method, part in said.groupby(
            said["method"].where(said["method"] == RIDGE, said["method"] + said["encoder"]), sort=False
        ):
            yield part
        first = rows.drop_duplicates("image_id")
        for name, others in _observers(first).items():
            part = first.assign(method=OBSERVER.strip(), encoder=name.removeprefix(OBSERVER))
            part = part.assign(score=first[name], truth=first[others].mean(axis=1)).dropna(subset=["score", "truth"])
            if len(part):
                yield part


def _observers(first: pd.DataFrame) -> dict[str, list[str]]:
    """Each observer's column -> those of the others; none where there is only one."""
    names = [name for name in first if name.startswith(OBSERVER) and first[name].notna().any()]
    return {name: [other for other in names if other != name] for name in names} if len(names) > 1 else {}


def _shares(table: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for (task, method, encoder), rows in table.groupby(["task", "method", "encoder"], sort=False):
        yield record(
            section=SECTION, task=task, method=f"{method}/{encoder}", metric="share_measured",
            fold=rows["fold"].iloc[0], images=described[task]["images"], estimate=rows["prediction"].notna().mean(),
            n=len(rows), n_patients=len(set(patient_names(rows))),
        )  # fmt: skip


def _between_methods(rows: pd.DataFrame, described: Mapping[str, Any], draws: Resampling) -> Iterator[dict[str, Any]]:
    """Mean absolute error of ridge regression on the main encoder minus that of each method that is no ridge."""
    main, first = f"{RIDGE}/{MAIN}", rows.iloc[0]
    named = rows.assign(named=rows["method"] + "/" + rows["encoder"])
    wide = named.pivot(index="image_id", columns="named", values="prediction")
    for other in [name for name in wide if not name.startswith(RIDGE)] if main in wide else ():
        both = wide[[main, other]].dropna()
        if both.empty:
            continue
        told = rows.drop_duplicates("image_id").set_index("image_id").loc[both.index]
        patients = patient_names(told).astype(str)
        cases = Cases(both.to_numpy(dtype=float).T, told["truth"].to_numpy(dtype=float), patients)
        found, count = interval(measurement(ERROR, [cases], draws), np.array([1.0, -1.0])), len(set(patients.tolist()))
        if count < FEWEST_PATIENTS:
            found = Interval(found.estimate, None, None, f"not defined: too few patients ({count})")
        yield record(
            section=SECTION, task=first["task"], method=main, comparator=other, metric=ERROR, fold=first["fold"],
            images=described["images"], unit=first["unit"], n=len(both), n_patients=count, estimate=found.estimate,
            ci_low=found.low, ci_high=found.high, ci_method=found.method,
        )  # fmt: skip


def agreement_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records for reading: one row per task and method, a column a measure with its interval."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records:
        if row["comparator"] is None:
            method, name = row["method"].split("/")
            task = row["task"].replace("_", " ")
            line = rows.setdefault((row["task"], row["method"]), {"task": task, "method": method.replace("_", " ")})
            line |= {"of": name.replace("_", " "), "unit": row["unit"] or line.get("unit")}
            if row["metric"] != "share_measured":
                digits = 1 if row["unit"] else 2
                text = interval_text(row["estimate"], row["ci_low"], row["ci_high"], digits)
                line |= {"images": row["n"], "patients": row["n_patients"], row["metric"].replace("_", " "): text}
    return pd.DataFrame(rows.values()).fillna("")


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
