"""Methods for classes and measurements, by name: each is asked one turn of a task at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ultrafm.downstream.methods import neighbours, probe, ridge
from ultrafm.downstream.methods.attentive import fit_attentive
from ultrafm.downstream.methods.choosing import Classifier, choose_setting, held_out_scores, usable_pairs
from ultrafm.downstream.methods.features import token_shares
from ultrafm.downstream.methods.finetune import Tuned, fine_tune
from ultrafm.downstream.methods.light_tuning import tune_lightly
from ultrafm.downstream.methods.seen import Seen
from ultrafm.downstream.tasks import Turn
from ultrafm.seeds import spawn_torch

Scored = Callable[[np.ndarray], np.ndarray]  # row numbers -> scores


@dataclass(frozen=True)
class Answered:
    """Scores (P, A) of the images of a turn, and of the `held` rows (M,), which were not fitted on, (M, A).

    The latter served to choose settings: thresholds and temperatures may be fixed on them, nothing is reported of them.
    """

    scores: np.ndarray
    held: np.ndarray
    held_scores: np.ndarray


@dataclass(frozen=True)
class OnFeatures:
    """A classifier on frozen features: how it is fitted with a setting, which ones there are, and which is usual."""

    fit: Callable[..., Classifier]
    settings: Sequence[Any]
    default: Any

    def __call__(self, seen: Seen, number: int) -> Answered:
        """Choose the setting on validation, fit on the training images of turn `number`, and score."""
        turn = seen.turns[number]

        def fit(features: np.ndarray, answers: np.ndarray, setting: Any) -> Classifier:
            return self.fit(features, answers, setting, **seen.data.relation)

        setting = choose_setting(fit, self.settings, self.default, seen.features, seen.answers, turn)
        model = fit(seen.features[turn.train], seen.answers[turn.train], setting)
        held = held_out_scores(fit, setting, seen.features, seen.answers, turn)
        return Answered(model.score(seen.features[turn.predict]), *held)


def answer_linearly(seen: Seen, number: int) -> Answered:
    """The linear probe, whose penalties are those that fine-tuning starts from."""
    return OnFeatures(probe.fit_probe, seen.penalties[number : number + 1], seen.penalties[number])(seen, number)


def answer_attentively(seen: Seen, number: int) -> Answered:
    """The attentive probe."""
    inside = token_shares(seen.encoder, seen.data.sectors) > 0

    def fit(turn: Turn, where: str) -> Scored:
        generator = spawn_torch(seen.seed, "attentive probe", f"{seen.data.task.name}{where}", number)
        fitted = fit_attentive(seen.tokens, inside, seen.answers, turn, generator, **seen.data.relation)
        return lambda rows: fitted.score(seen.tokens[rows], inside[rows])

    return _trained(fit, seen.answers, seen.turns[number], inner=True)


def answer_by_training(tune: Callable[..., Tuned], purpose: str, seen: Seen, number: int) -> Answered:
    """By training the encoder further, from a steady probe."""

    def fit(turn: Turn, where: str) -> Scored:
        generator = spawn_torch(seen.seed, purpose, f"{seen.data.task.name}{where}", number)
        start = probe.steady_probe(seen.features, seen.answers, turn, seen.penalties[number], **seen.data.relation)
        tuned = tune(seen.encoder, start, seen.data, turn, seen.epochs, seen.precision, generator)
        return lambda rows: tuned.score(seen.data, rows)

    return _trained(fit, seen.answers, seen.turns[number], seen.inner)


def _trained(fit: Callable[[Turn, str], Scored], answers: np.ndarray, turn: Turn, inner: bool) -> Answered:
    """Fixed folds: the validation images by the very model. Cross-validation: those of the first inner group whose
    others have every answer as 0 and as 1, by a model of these others, if `inner`."""
    score = fit(turn, "")
    scores = score(turn.predict)
    pairs = usable_pairs(answers, turn)
    part, held = pairs[0] if pairs else (turn.train, turn.predict[:0])
    if len(turn.selection) == 1 and not np.isin(held, turn.train).any():
        return Answered(scores, held, score(held))
    if not inner or not len(held):
        return Answered(scores, held[:0], scores[:0])
    return Answered(scores, held, fit(Turn(part, (), held, turn.fold), ", inner group")(held))


TRAINED = ("light_tuning", "fine_tuning")  # with epochs, the encoder too
CLASSIFIERS: dict[str, Callable[[Seen, int], Answered]] = {
    "nearest_neighbours": OnFeatures(neighbours.fit_neighbours, neighbours.SETTINGS, neighbours.DEFAULT_SETTING),
    "linear_probe": answer_linearly,
    "ridge_probe": OnFeatures(ridge.fit_ridge, ridge.PENALTIES, ridge.DEFAULT_PENALTY),
    "attentive_probe": answer_attentively,
    "light_tuning": partial(answer_by_training, tune_lightly, "light tuning"),
    "fine_tuning": partial(answer_by_training, fine_tune, "fine-tuning"),
}


def measure_by_ridge(seen: Seen, number: int) -> Answered:
    """Ridge regression of a measurement, fitted in pixels of the picture where its unit is a length."""
    turn, scale = seen.turns[number], seen.data.unit_scale
    values = seen.data.truth / scale
    fitted = ridge.measurement_turn(seen.features, values, turn)
    found = fitted.predict(seen.features[turn.predict]) * scale[turn.predict]
    inner = [
        (held, ridge.fit_measurement(seen.features[part], values[part], fitted.penalty).predict(seen.features[held]))
        for part, held in turn.selection
    ]
    held = np.concatenate([rows for rows, _ in inner]) if inner else turn.predict[:0]
    guessed = np.concatenate([guess for _, guess in inner]) if inner else found[:0]
    return Answered(found[:, None], held, (guessed * scale[held])[:, None])


REGRESSIONS: dict[str, Callable[[Seen, int], Answered]] = {"ridge_regression": measure_by_ridge}
