"""Fitting the head that is kept: like the one that is evaluated, with threshold and temperature from validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from timm.models.vision_transformer import VisionTransformer

from ultrafm.curation.sheets.licences import licences
from ultrafm.downstream.heads.artifact import Facts, Head, encoder_hash
from ultrafm.downstream.heads.choosing import temperature_of, youden
from ultrafm.downstream.methods.features import extract_features, extract_patch_features
from ultrafm.downstream.methods.probe import choose_penalty, fit_probe
from ultrafm.downstream.methods.segmentation import choose_threshold, fit_head, fitting_rows, head_shares
from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData, Turn, turns

METHODS = {"diagnosis": "linear_probe", "segmentation": "linear_head"}


def fit_kept_head(folder: Path, encoder: VisionTransformer, data: TaskData, curated: Path) -> Head:
    """The head of a task on the frozen encoder in `folder`, ready to be saved.

    With fixed folds it is the one whose test scores are in the table of predictions. In cross-validation it is fitted
    on all images of the task, and no score of the table comes from it: threshold and temperature then come from images
    that were held out in turn. Raises UltraFMError for a task that is skipped or of a kind that has no head.
    """
    if data.task.kind not in METHODS:
        expected = f"one of {', '.join(METHODS)}"
        raise UltraFMError(f"task {data.task.name}", f"the kind {data.task.kind}", expected, "no head can be kept of it")
    turn = kept_turn(data)
    fitted = _fit_probe if data.task.kind == "diagnosis" else _fit_outline
    answers, numbers, thresholds, temperatures = fitted(encoder, data, turn)
    used = data.table.iloc[turn.train]
    sites = tuple(sorted(used["site"].unique()))
    facts = Facts(
        data.task.name, data.task.kind, METHODS[data.task.kind], data.task.organ, answers, False, thresholds,
        temperatures, _chosen_on(data), encoder_hash(folder), int(data.images.shape[1]),
        "simulated" if data.simulated else "real", len(used), len(set(data.patients[turn.train])), sites,
        tuple(licences(curated, list(sites))),
    )  # fmt: skip
    return Head(facts, numbers)


def kept_turn(data: TaskData) -> Turn:
    """The turn whose model is kept: that of the fixed folds; in cross-validation, all images.

    In the latter each group is held out once in `selection`, and `predict` is empty.
    """
    dealt = turns(data)
    if data.design == FIXED_FOLDS:
        return dealt[0]
    everything = np.arange(len(data.table))
    pairs = tuple((np.setdiff1d(everything, turn.predict), turn.predict) for turn in dealt)
    return Turn(everything, pairs, np.array([], dtype=int), dealt[0].fold)


def _fit_probe(encoder: VisionTransformer, data: TaskData, turn: Turn) -> tuple:
    features = extract_features(encoder, data.images, data.sectors)
    penalty = choose_penalty(features, data.truth, turn)
    probe = fit_probe(features[turn.train], data.truth[turn.train], penalty)
    held = np.concatenate([rows for _, rows in turn.selection])
    parts = [fit_probe(features[fit], data.truth[fit], penalty).score(features[rows]) for fit, rows in turn.selection]
    scores = np.concatenate(parts)
    name = data.task.disease or data.task.name
    numbers = {
        "mean": probe.mean, "deviation": probe.deviation, "weights": probe.weights[None],
        "intercept": np.array([probe.intercept]),
    }  # fmt: skip
    threshold, temperature = youden(scores, data.truth[held]), temperature_of(scores, data.truth[held])
    return (name,), numbers, {name: threshold}, {name: temperature}


def _fit_outline(encoder: VisionTransformer, data: TaskData, turn: Turn) -> tuple:
    features = extract_patch_features(encoder, data.images)
    head = fit_head(features, data, turn, encoder.patch_embed.patch_size[0])
    _, held = fitting_rows(turn)
    threshold = choose_threshold(head_shares(head, features[held]), data.truth[held])
    name = data.task.structure or "lesion"
    numbers = {key: values.numpy() for key, values in head.state_dict().items()}
    return (name,), numbers, {name: threshold}, {name: 1.0}


def _chosen_on(data: TaskData) -> str:
    return "the validation fold" if data.design == FIXED_FOLDS else "groups of patients held out in turn"
