"""Every way of measuring on every measurement task; out come out-of-sample numbers beside those of the observers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.downstream.evaluate import one_thread
from ultrafm.downstream.measurement.measured import Measured
from ultrafm.downstream.measurement.muscle import MUSCLE_MEASURES, measure_muscle
from ultrafm.downstream.measurement.originals import curated_areas, scan_area_pictures
from ultrafm.downstream.methods.ridge import measurement_turn
from ultrafm.downstream.tasks import TaskData, turns
from ultrafm.downstream.tasks.data import unit_scale
from ultrafm.errors import UltraFMError

RIDGE, LINES, TRAINING_MEAN = "ridge", "lines", "training_mean"
PIXELS, ORIGINAL, CURATED, NOTHING = "pixels", "original", "curated", "nothing"
COLUMNS = (
    "task", "quantity", "unit", "method", "encoder", "image_id", "site", "patient", "fold", "truth", "prediction",
    "reason",
)  # fmt: skip
OBSERVER = "observer "
Known = dict[tuple[str, str], dict[str, Measured]]


@dataclass(frozen=True)
class Said:
    """What one way of measuring says of each image of a task: (N,) values, NaN where it has none, and the reasons."""

    method: str
    encoder: str
    values: np.ndarray
    reasons: Sequence[str | None]


def measure_tasks(
    tasks: Mapping[str, TaskData], encoders: Mapping[str, Path], curated: Path, folders: Mapping[str, Path]
) -> pd.DataFrame:
    """`measure_task` for every task that can be evaluated, one below the other; empty when there is none.

    curated: the folder of the stores. folders: site -> folder of its original files, see `site_folders`.
    """
    parts, known = [], {}
    for data in tasks.values():
        if data.skipped is None:
            is_muscle = quantity_of(data) in MUSCLE_MEASURES
            originals = scan_area_pictures(curated, data.table, folders) if is_muscle else None
            parts.append(measure_task(data, encoders, originals, known))
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return pd.concat(parts, ignore_index=True)


def measure_task(
    data: TaskData,
    encoders: Mapping[str, Path],
    originals: Sequence[np.ndarray | None] | None = None,
    known: Known | None = None,
) -> pd.DataFrame:
    """One row per image that is evaluated, method and encoder: COLUMNS, and a column "observer n" for each observer.

    Methods: "ridge" on the features of each encoder and on coarse pixels ("pixels"), fitted on other patients;
    "training_mean", which says the mean of those patients of every image: what a method must beat to have seen
    anything; and for a muscle "lines" (`measure_muscle`), which learns nothing, on the curated pictures and, where
    `originals` holds a picture for each image, on these. Both say pixels of the original picture.
    truth: the mean of the observers, or what the outlines give. prediction: NaN, and the reason, where there is none.
    known: what lines were found in which picture, so that tasks of the same pictures look once; it is added to.
    Raises UltraFMError for a task of another kind or one that is skipped.
    """
    if data.kind != "measurement":
        raise UltraFMError(f"task {data.task.name}", f"a {data.kind} task", "a measurement task")
    rows = np.concatenate([turn.predict for turn in turns(data)])
    rows = rows[np.argsort(data.table["image_id"].to_numpy()[rows])]
    said = [*_learned(data, encoders), *_lines(data, originals, rows, {} if known is None else known)]
    return pd.concat([_table(data, one, rows) for one in said], ignore_index=True)


def reasons_table(table: pd.DataFrame) -> pd.DataFrame:
    """For reading: how many images each method measured, and why not the others."""
    rows = []
    for (task, method, encoder), said in table.groupby(["task", "method", "encoder"], sort=False):
        why = said["reason"][said["prediction"].isna()].value_counts()
        reasons = "; ".join(f"{reason} ({count})" for reason, count in why.items())
        names = {"task": task, "method": method, "of": encoder}
        names = {column: name.replace("_", " ") for column, name in names.items()}
        rows.append(
            names | {"images": len(said), "measured": int(said["prediction"].notna().sum()), "why not": reasons}
        )
    return pd.DataFrame(rows)


def quantity_of(data: TaskData) -> str:
    """What a task measures, as one word: "muscle thickness" is "muscle_thickness"."""
    return (data.task.quantity or "").strip().lower().replace(" ", "_")


def _learned(data: TaskData, encoders: Mapping[str, Path]) -> Iterable[Said]:
    """What is fitted on patients: values of images that are never predicted stay NaN."""
    from ultrafm.downstream.methods.features import extract_features, pixel_features
    from ultrafm.pretraining.weights import load_encoder

    none = [None] * len(data.images)
    values, scale, dealt = data.truth / data.unit_scale, data.unit_scale, turns(data)
    means = np.full(len(values), np.nan)
    for turn in dealt:
        means[turn.predict] = data.truth[turn.train].mean()
    with one_thread():
        features = {
            name: extract_features(load_encoder(folder), data.images, data.sectors) for name, folder in encoders.items()
        }
        for name, found in [*features.items(), (PIXELS, pixel_features(data.images))]:
            told = np.full(len(values), np.nan)
            for turn in dealt:
                told[turn.predict] = measurement_turn(found, values, turn).predict(found[turn.predict])
            yield Said(RIDGE, name, told * scale, none)
    yield Said(TRAINING_MEAN, NOTHING, means, none)


def _lines(
    data: TaskData, originals: Sequence[np.ndarray | None] | None, rows: np.ndarray, known: Known
) -> Iterable[Said]:
    """What lines in the pictures of `rows` say; a length is told in the task's unit."""
    quantity = quantity_of(data)
    if quantity not in MUSCLE_MEASURES:
        return
    is_length = MUSCLE_MEASURES[quantity] != "degrees"
    curated = unit_scale(data.table, data.task.measured_in) if is_length else np.ones(len(data.table))
    shrink = data.table["shrink"].to_numpy(dtype=float) if is_length else 1.0
    kinds = {CURATED: (curated_areas(data.images, data.sectors), curated)}
    if originals is not None and all(picture is not None for picture in originals):
        kinds = {ORIGINAL: (originals, curated / shrink)} | kinds
    for name, (pictures, pixel) in kinds.items():
        values, reasons = np.full(len(pictures), np.nan), [None] * len(pictures)
        for row in rows:
            key = (name, str(data.table["image_id"].iloc[row]))
            if key not in known:
                known[key] = measure_muscle(pictures[row])
            found = known[key][quantity]
            values[row] = np.nan if found.value is None else found.value * pixel[row]
            reasons[row] = found.reason if np.isfinite(pixel[row]) else "size of a pixel not known"
        yield Said(LINES, name, values, reasons)


def _table(data: TaskData, said: Said, rows: np.ndarray) -> pd.DataFrame:
    kept = data.table.iloc[rows]
    fold = "test" if (kept["fold"] == "test").all() else "cross-validation"
    table = pd.DataFrame({
        "task": data.task.name, "quantity": data.task.quantity, "unit": data.task.measured_in,
        "method": said.method, "encoder": said.encoder, "image_id": kept["image_id"].to_numpy(),
        "site": kept["site"].to_numpy(), "patient": kept["patient"].to_numpy(), "fold": fold,
        "truth": data.truth[rows], "prediction": said.values[rows], "reason": [said.reasons[row] for row in rows],
    })  # fmt: skip
    observers = data.observers.iloc[rows].reset_index(drop=True) if data.observers is not None else None
    return table if observers is None else pd.concat([table, observers], axis=1)
