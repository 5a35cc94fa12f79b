"""The whole review of one task: mistakes, tested saliency and themes, from predictions and a kept head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.heads.artifact import Head
from ultrafm.downstream.methods.features import extract_features
from ultrafm.downstream.review import faithfulness
from ultrafm.downstream.review.faithfulness import against_itself, against_random, verdict
from ultrafm.downstream.review.saliency import Asked, ask, gradient_times_input, map_over_pixels, occlusions
from ultrafm.downstream.review.themes import failure_themes
from ultrafm.downstream.tasks import TaskData
from ultrafm.reporting.records import record

OCCLUSION, GRADIENT = "occlusion", "gradient x input"
MOST = 30  # pictures that maps are made of and tested on


@dataclass(frozen=True)
class Maps:
    """Maps of some pictures of a task, one picture a patient.

    rows: (M,) their row numbers in the task. patients: (M,). called: (M,) bool. pixels: map -> M arrays (S, S).
    tests: one row per map and test, with verdict.
    """

    rows: np.ndarray
    patients: np.ndarray
    called: np.ndarray
    pixels: dict[str, list[np.ndarray]]
    tests: pd.DataFrame


def tested_maps(
    data: TaskData, head: Head, encoder: VisionTransformer, candidates: np.ndarray, generator: np.random.Generator,
    lesions: np.ndarray | None = None, answer: int = 0, most: int = MOST,
) -> Maps:  # fmt: skip
    """Maps of at most `most` pictures among the rows `candidates`, one a patient, and how true they are to the model.

    lesions: (N, S, S) outlines 0 or 1, zeros where there is none; without them nothing can be said of pointing.
    generator: draws pictures, random orders and the randomised head.
    """
    rows = one_a_patient(candidates, data.patients, generator)[:most]
    weights, bias = head.raw_weights(answer)
    called = head.calls(head.scores(extract_features(encoder, data.images[rows], data.sectors[rows])))[:, answer] == 1
    shuffled = generator.permutation(weights)
    found, numbers = [], []
    for row, call in zip(rows, called):
        asked, other = (
            ask(encoder, one, bias, data.images[row], data.sectors[row], bool(call)) for one in (weights, shuffled)
        )
        maps, others = both_maps(asked, other.direction)
        found.append((maps, faithfulness.order_curves(asked, maps, generator)))
        for name, saliency in maps.items():
            inside, share = faithfulness.pointing(saliency, asked, None if lesions is None else lesions[row])
            alike = faithfulness.likeness(saliency, others[name], asked.inside)
            numbers.append({"map": name, "inside": inside, "share": share, "alike": alike})
    side = data.images.shape[1]
    pixels = {name: [map_over_pixels(maps[name], side) for maps, _ in found] for name in (OCCLUSION, GRADIENT)}
    curves = {name: [curve[name] for _, curve in found] for name in pixels}
    patients = data.patients[rows]
    table = _tests(data.task.name, curves, pd.DataFrame(numbers), patients)
    return Maps(rows, patients, called, pixels, table)


def both_maps(asked: Asked, other: torch.Tensor) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Maps of a picture for its head, and for another head (F,) on the same features."""
    own, others = occlusions(asked, torch.stack([asked.direction, other]))
    gradients = [gradient_times_input(one) for one in (asked, replace(asked, direction=other))]
    return {OCCLUSION: own, GRADIENT: gradients[0]}, {OCCLUSION: others, GRADIENT: gradients[1]}


def one_a_patient(rows: np.ndarray, patients: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One row of each patient, drawn, in a drawn order."""
    order = generator.permutation(np.asarray(rows, dtype=int))
    _, first = np.unique(patients[order].astype(str), return_index=True)
    return order[np.sort(first)]


def themes_of(called: pd.DataFrame, properties: pd.DataFrame) -> pd.DataFrame:
    """`failure_themes` of what `with_calls` gives; `properties` as `picture_properties` gives for the whole task."""
    rows = pd.Index(properties["image_id"]).get_indexer(called["image_id"])
    chosen = properties.iloc[rows].reset_index(drop=True)
    errors = called["error"].to_numpy(dtype=float)
    return failure_themes(errors, called["truth"].to_numpy(), called["patient_name"].to_numpy(), chosen)


def outline_themes(data: TaskData, scores: pd.DataFrame, properties: pd.DataFrame) -> pd.DataFrame:
    """`failure_themes` of outlines: 1 - Dice as error, of the scores of one method, encoder and structure."""
    rows = pd.Index(properties["image_id"]).get_indexer(scores["image_id"])
    patients = data.patients[pd.Index(data.table["image_id"]).get_indexer(scores["image_id"])]
    errors = 1 - scores["dice"].to_numpy(dtype=float)
    return failure_themes(errors, np.ones(len(errors)), patients, properties.iloc[rows].reset_index(drop=True))


def saliency_records(section: str, tests: pd.DataFrame, images: str, method: str) -> list[dict[str, Any]]:
    """Records of the tests of saliency of one task (`Maps.tests`). images: "real" or "simulated"."""
    return [
        record(
            section=section, task=row["task"], method=f"{method}/{row['map']}", metric=f"saliency {row['test']}",
            estimate=row["estimate"], ci_low=row["ci_low"], ci_high=row["ci_high"],
            ci_method="clustered t over patients" if pd.notna(row["ci_low"]) else None, n=row["n"],
            n_patients=row["n_patients"], images=images,
        )
        for row in tests[tests["estimate"].notna()].to_dict("records")
    ]  # fmt: skip


def theme_records(section: str, task: str, themes: pd.DataFrame, images: str, method: str) -> list[dict[str, Any]]:
    """Records of the themes of one task that could be measured."""
    return [
        record(
            section=section, task=task, method=method, metric="error difference", level=row["property"],
            estimate=float(row["difference"]), ci_low=float(row["ci_low"]), ci_high=float(row["ci_high"]),
            ci_method="clustered sandwich over patients", n=row["n"], n_patients=row["n_patients"],
            unit="standard deviations", images=images,
        )
        for row in themes[themes["difference"].notna()].to_dict("records")
    ]  # fmt: skip


def sentences_on_tests(tests: pd.DataFrame) -> list[str]:
    """One plain sentence per map: what each test says of it."""
    return [
        f"{task.replace('_', ' ')}, {name}: "
        + "; ".join(f"{row['test']}: {row['verdict']}" for row in group.to_dict("records"))
        + "."
        for (task, name), group in tests.groupby(["task", "map"], sort=False)
    ]


def _tests(task: str, curves: Mapping[str, Sequence], numbers: pd.DataFrame, patients: np.ndarray) -> pd.DataFrame:
    rows = []
    for name in curves:
        won, told = faithfulness.gains(curves[name]), numbers[numbers["map"] == name]
        found = {kind: verdict(won[kind].to_numpy(), patients, against_random) for kind in ("deletion", "insertion")}
        found["pointing"] = verdict((told["inside"] - told["share"]).to_numpy(), patients, against_random)
        found["randomised head"] = verdict(told["alike"].to_numpy(), patients, against_itself)
        rows += [{"task": task, "map": name, "test": test} | row for test, row in found.items()]
    return pd.DataFrame(rows)
