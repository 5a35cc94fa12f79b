"""Fitting the head that is kept: like the one that is evaluated, with threshold and recalibration from validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ultrafm.curation.sheets.licences import licences
from ultrafm.downstream.heads.artifact import CLASS_NUMBERS, Facts, Head
from ultrafm.downstream.methods.cache import cached_features
from ultrafm.downstream.methods.choosing import held_out_scores
from ultrafm.downstream.methods.drawing import choose_thresholds, fitting_rows, structure_masks
from ultrafm.downstream.methods.encoders import encoder_hash
from ultrafm.downstream.methods.patch_head import fit_head, head_shares
from ultrafm.downstream.methods.probe import choose_penalty, fit_probe
from ultrafm.downstream.metrics import choose_threshold, fit_recalibration
from ultrafm.downstream.tasks import CLASSIFYING, FIXED_FOLDS, TaskData, Turn, turns
from ultrafm.errors import UltraFMError

PROBE, OUTLINE = "linear_probe", "linear_head"


def fit_kept_head(encoder: Path, data: TaskData, curated: Path, cache: Path | None = None) -> Head:
    """The head of a task on the frozen encoder in a folder, ready to be saved: a linear probe, or a linear head.

    With fixed folds it is the one whose test scores are in the table of predictions. In cross-validation it is fitted
    on all images of the task, and no score of the table comes from it: threshold and recalibration then come from
    images that were held out in turn. Features are kept in the folder `cache`, if given. Raises UltraFMError for a task
    that is skipped, or of a kind that no head is kept of.
    """
    outlines = data.kind == "segmentation"
    if not outlines and data.kind not in CLASSIFYING:
        expected = f"one of {', '.join((*CLASSIFYING, 'segmentation'))}"
        raise UltraFMError(f"task {data.task.name}", f"the kind {data.kind}", expected, "no head is kept of others")
    turn = kept_turn(data)
    numbers, chosen = (_fit_outline if outlines else _fit_probe)(encoder, data, turn, cache)
    used, sites = data.table.iloc[turn.train], tuple(sorted(data.table["site"].iloc[turn.train].unique()))
    facts = Facts(
        task=data.task.name, kind=data.kind, method=OUTLINE if outlines else PROBE, organs=data.task.organs,
        answers=data.answers, exclusive=not outlines and data.exclusive, ordered=data.kind == "severity", **chosen,
        chosen_on=_chosen_on(data), encoder=encoder_hash(encoder), image_size=int(data.images.shape[1]),
        images="simulated" if data.simulated else "real", pictures=len(used),
        patients=len(set(data.patients[turn.train])), sites=sites, licences=tuple(licences(curated, list(sites))),
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


def _fit_probe(encoder: Path, data: TaskData, turn: Turn, cache: Path | None) -> tuple[dict, dict]:
    features, answers = cached_features(encoder, data.images, data.sectors, "pooled", cache), data.answer_truth

    def fit(part: np.ndarray, own: np.ndarray, penalty: float) -> object:
        return fit_probe(part, own, penalty, **data.relation)

    penalty = choose_penalty(features, answers, turn, **data.relation)
    probe = fit(features[turn.train], answers[turn.train], penalty)
    rows, scores = held_out_scores(fit, penalty, features, answers, turn)
    columns = [(name, scores[:, place], answers[rows, place]) for place, name in enumerate(data.answers)]
    thresholds = {} if data.exclusive else {name: _threshold(own, truth) for name, own, truth in columns}
    numbers = {name: getattr(probe, name) for name in CLASS_NUMBERS}
    return numbers, {
        "thresholds": thresholds,
        "recalibration": {name: _recalibration(own, truth) for name, own, truth in columns},
    }


def _fit_outline(encoder: Path, data: TaskData, turn: Turn, cache: Path | None) -> tuple[dict, dict]:
    features = cached_features(encoder, data.images, data.sectors, "patches", cache)
    head = fit_head(features, data, turn)
    _, held = fitting_rows(turn)
    masks = structure_masks(data.truth[held], len(data.answers))
    thresholds = choose_thresholds(head_shares(head, features[held]), masks)
    numbers = {name: values.numpy() for name, values in head.state_dict().items()}
    found = {name: float(value) for name, value in zip(data.answers, thresholds)}
    return numbers, {"thresholds": found, "recalibration": {}}


def _threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """Youden's; one half where the held-out images have one class."""
    return choose_threshold(scores, truth).value if len(set(truth.tolist())) == 2 else 0.5


def _recalibration(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Temperature and intercept; those that change nothing where the held-out images have one class."""
    if len(set(truth.tolist())) < 2:
        return 1.0, 0.0
    found = fit_recalibration(scores, truth, intercept=True)
    return found.temperature, found.intercept


def _chosen_on(data: TaskData) -> str:
    return "the validation fold" if data.design == FIXED_FOLDS else "groups of patients held out in turn"
