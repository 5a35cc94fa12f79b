"""Evaluating own weights: task by task, so that a stopped run goes on; predictions, records, figures and heads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.downstream import evaluate
from ultrafm.downstream.heads.artifact import head_folder, save_head
from ultrafm.downstream.heads.fitting import fit_kept_head
from ultrafm.downstream.methods.cache import picture_hash
from ultrafm.downstream.methods.classifying import CLASSIFIERS, REGRESSIONS, TRAINED
from ultrafm.downstream.methods.encoders import FILES, encoder_hash
from ultrafm.downstream.methods.jobs import PREDICTION_COLUMNS, SCORE_COLUMNS
from ultrafm.downstream.methods.segmenting import SEGMENTERS, TRAINED_TO_DRAW
from ultrafm.downstream.own.opponents import Opponents, gather_opponents
from ultrafm.downstream.own.records import own_records
from ultrafm.downstream.tasks import CLASSIFYING, TaskData, select_task
from ultrafm.errors import UltraFMError, one_of
from ultrafm.files import hash_text, read_json, replacing, write_json
from ultrafm.manifests import gather_tasks, load_sites
from ultrafm.reporting.records import write_results
from ultrafm.seeds import spawn

USUAL = {**dict.fromkeys(CLASSIFYING, ("linear_probe",)), "segmentation": ("linear_head",)} | {
    "measurement": ("ridge_regression",)
}
KNOWN = {**dict.fromkeys(CLASSIFYING, CLASSIFIERS), "segmentation": SEGMENTERS, "measurement": REGRESSIONS}
MODEL, WORK, RECORDS = "model", "work", "records.json"


@dataclass(frozen=True)
class Places:
    """weights: encoder folder. curated: stores of the sites. manifests: of the same sites. study: whose encoders are
    compared, or None. out: where everything goes."""

    weights: Path
    curated: Path
    manifests: Path
    study: Path | None
    out: Path


@dataclass(frozen=True)
class Wish:
    """methods: empty for the usual one of each kind. epochs: of methods that train the encoder."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...] = ()
    seed: int = 0
    epochs: int = 8
    replicates: int = 1000
    workers: int = 1


def evaluate_own(places: Places, wish: Wish, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Evaluate the weights on every task that is wished for; the records, which also lie in out/records.json.

    Beside them predictions.parquet (classes and measurements) and outlines.parquet (Dice of every image), and in
    out/model the encoder with a head for each task, for `ultrafm predict`. A task that cannot be evaluated is told of
    and passed over. Raises UltraFMError for an unknown task or method, and when nothing could be evaluated.
    """
    known = gather_tasks(load_sites(places.manifests))
    methods = {name: _methods_for(known[one_of("--task", name, known)].task.kind, wish) for name in wish.tasks}
    opponents = gather_opponents(places.weights, places.study, places.out / WORK, wish.seed)
    tell(f"Own weights: {opponents.own}; beside them: {', '.join(list(opponents.folders)[1:])}")
    keep_model(places.weights, places.out / MODEL)
    skipped, records, tables = [], [], {"predictions": [], "outlines": []}
    for name in wish.tasks:
        data = select_task(places.curated, known[name])
        if data.skipped or not methods[name]:
            why = f"none of the methods is for its kind{' with --epochs 0' * (wish.epochs == 0)}"
            skipped.append(f"{name}: {data.skipped or why}")
            tell(f"Skipped {skipped[-1]}")
            continue
        found, validation, failures = task_tables(places, wish, data, methods[name], opponents)
        for row in failures.itertuples():
            tell(f"{name}: {row.encoder}, {row.method}: {row.why}")
        if found.empty:
            skipped.append(f"{name}: {failures['why'].iloc[0]}")
            continue
        generator = spawn(wish.seed, "own weights", name)
        records += own_records(data, found, validation, opponents.own, generator, wish.replicates)
        tables["outlines" if data.kind == "segmentation" else "predictions"].append(found)
        keep_head(places, data)
    if not records:
        raise UltraFMError(
            "ultrafm evaluate",
            f"no answer ({'; '.join(skipped) or 'no task is named'})",
            "a task that can be evaluated",
        )
    _write(places.out, records, tables)
    return records


def keep_head(places: Places, data: TaskData) -> None:
    """Fit and save the head of a task beside the copied encoder; none is kept of measurements."""
    if data.kind != "measurement":
        with evaluate.one_thread():
            head = fit_kept_head(places.weights, data, places.curated, places.out / WORK / "features")
        save_head(head_folder(places.out / MODEL, data.task.name), head)


def task_tables(
    places: Places, wish: Wish, data: TaskData, methods: tuple[str, ...], opponents: Opponents
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions, validation scores and failures of one task; read from out/work where they are finished."""
    hashes = {name: encoder_hash(folder) for name, folder in opponents.folders.items()}
    made_of = [hashes, methods, wish.seed, wish.epochs, data.task.model_dump_json(), data.table.to_json()]
    made_of += [picture_hash(data.images, data.sectors), str(data.truth.tobytes())]
    identity = hash_text(json.dumps(made_of))
    folder = places.out / WORK / data.task.name
    names = ("predictions", "validation", "failures")
    if (folder / "of.json").is_file() and read_json(folder / "of.json") == identity:
        return tuple(pd.read_parquet(folder / f"{name}.parquet") for name in names)
    tables = _asked(places, wish, data, methods, opponents)
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, table in zip(names, tables, strict=True):
            table.to_parquet(temporary / f"{name}.parquet", index=False)
        write_json(temporary / "of.json", identity)
    return tables


def keep_model(weights: Path, folder: Path) -> None:
    """Copy an encoder, with its model card, to where its heads will lie; heads that are there for it stay."""
    if all((folder / name).is_file() for name in FILES) and encoder_hash(folder) == encoder_hash(weights):
        return
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name in (*FILES, "README.md"):
            if (Path(weights) / name).is_file():
                shutil.copyfile(Path(weights) / name, temporary / name)


def _methods_for(kind: str, wish: Wish) -> tuple[str, ...]:
    """The wished methods that are for tasks of a kind; the usual one where none is wished for.

    Without epochs, those that train the encoder are left out.
    """
    everything = list(dict.fromkeys(name for names in KNOWN.values() for name in names))
    for name in wish.methods:
        one_of("--methods", name, everything)
    trained = () if wish.epochs else (*TRAINED, *TRAINED_TO_DRAW)
    return tuple(name for name in wish.methods or USUAL[kind] if name in KNOWN[kind] and name not in trained)


def _asked(
    places: Places, wish: Wish, data: TaskData, methods: tuple[str, ...], opponents: Opponents
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    tasks, folders, cache = {data.task.name: data}, opponents.folders, places.out / WORK / "features"
    common: dict[str, Any] = {"workers": wish.workers, "methods": methods, "cache": cache}
    if data.kind == "measurement":
        found = evaluate.evaluate_measurement(tasks, folders, wish.seed, **common)
    elif data.kind == "segmentation":
        drawn = evaluate.evaluate_segmentation(tasks, folders, wish.seed, wish.epochs, **common)
        return drawn.scores[SCORE_COLUMNS], drawn.validation[SCORE_COLUMNS], drawn.failures
    else:
        found = evaluate.evaluate_diagnosis(tasks, folders, wish.seed, wish.epochs, inner=True, **common)
    return found.predictions[PREDICTION_COLUMNS], found.validation[PREDICTION_COLUMNS], found.failures


def _write(out: Path, records: list[dict[str, Any]], tables: Mapping[str, list[pd.DataFrame]]) -> None:
    write_results(out / RECORDS, [records])
    for name, parts in tables.items():
        if parts:
            with replacing(out / f"{name}.parquet") as temporary:
                pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
