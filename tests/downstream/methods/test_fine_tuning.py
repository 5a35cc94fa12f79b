from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.methods.features import (
    extract_features,
)
from ultrafm.downstream.methods.finetune import Tuned, answer_loss, fine_tune, head_from
from ultrafm.downstream.methods.probe import (
    DEFAULT_PENALTY,
    fit_probe,
    probe_turn,
    steady_probe,
)
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData, turns


def test_head_starts_as_the_probe():
    generator = np.random.default_rng(0)
    features, truth = generator.normal(2, 4, size=(30, 5)).astype(np.float32), np.arange(30) % 2
    probe = fit_probe(features, truth, 0.1)
    with torch.inference_mode():
        scores = head_from(probe)(torch.from_numpy(features))[:, 0].sigmoid().numpy()
    assert scores == pytest.approx(probe.score(features), abs=1e-5)


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_fine_tuning_is_deterministic_blind_to_test_labels_and_leaves_the_encoder_alone(design):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), design, brightness=40)
    encoder, turn = made_tasks.tiny_encoder(), turns(data)[0]
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    start = probe_turn(extract_features(encoder, data.images, data.sectors), data.truth, turn)

    def tuned(asked: TaskData, seed: int) -> np.ndarray:
        made = fine_tune(encoder, start, asked, turn, 2, "fp32", torch.Generator().manual_seed(seed))
        return made.score(asked, turn.predict)[:, 0]

    scores = tuned(data, 3)
    flipped = data.truth.copy()
    flipped[turn.predict] = 1 - flipped[turn.predict]
    blind = type(data)(**{**vars(data), "truth": flipped})
    torch.manual_seed(99)  # the global state plays no part
    assert (scores == tuned(blind, 3)).all()
    other = tuned(data, 4)
    assert (scores != other).any() or design == FIXED_FOLDS  # there the start may be kept
    assert all((weight == before[name]).all() for name, weight in encoder.state_dict().items())
    assert roc_auc_score(data.truth[turn.predict], scores) > 0.9


def test_the_epoch_of_fine_tuning_is_not_chosen_on_test_labels():
    # Nothing to be found, so the ranking of epochs by test AUROC turns round when the test labels do.
    data = made_tasks.made_diagnosis(np.random.default_rng(1), brightness=0, patients=40)
    encoder, (turn,) = made_tasks.tiny_encoder(), turns(data)
    start = probe_turn(extract_features(encoder, data.images, data.sectors), data.truth, turn)
    flipped = data.truth.copy()
    flipped[turn.predict] = 1 - flipped[turn.predict]
    blind = type(data)(**{**vars(data), "truth": flipped})
    scores = [
        fine_tune(encoder, start, one, turn, 4, "fp32", torch.Generator().manual_seed(0)).score(one, turn.predict)
        for one in (data, blind)
    ]
    assert (scores[0] == scores[1]).all()


def test_very_sure_scores_are_not_tied():
    data, encoder = made_tasks.made_diagnosis(np.random.default_rng(0), patients=4), made_tasks.tiny_encoder()
    head = torch.nn.Linear(48, 1)
    with torch.no_grad():
        head.bias.fill_(25.0)
    assert len(set(Tuned(encoder, head).score(data, np.arange(8))[:, 0].tolist())) == 8


def test_fine_tuning_never_starts_from_a_weakly_penalised_probe():
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    features, (turn,) = np.random.default_rng(0).normal(size=(48, 4)), turns(data)
    assert steady_probe(features, data.truth, turn, 10.0).penalty == DEFAULT_PENALTY
    assert steady_probe(features, data.truth, turn, 1e-5).penalty == 1e-5


@pytest.mark.parametrize(
    "task", [made_tasks.CLASSES, made_tasks.LABELS, made_tasks.SEVERITY], ids=lambda task: task.name
)
def test_fine_tuning_answers_several_and_starts_as_the_probe(task):
    data, encoder = made_tasks.made_classes(np.random.default_rng(0), task), made_tasks.tiny_encoder()
    (turn,), relation = turns(data), {"exclusive": data.exclusive, "ordered": task.kind == "severity"}
    features = extract_features(encoder, data.images, data.sectors)
    start = fit_probe(features[turn.train], data.answer_truth[turn.train], 1e-3, **relation)
    untouched = fine_tune(encoder, start, data, turn, 0, "fp32", torch.Generator()).score(data, turn.predict)
    assert untouched == pytest.approx(start.score(features[turn.predict]), abs=1e-5)
    scores = fine_tune(encoder, start, data, turn, 3, "fp32", torch.Generator().manual_seed(0)).score(
        data, turn.predict
    )
    truth = data.answer_truth[turn.predict]
    assert np.mean([roc_auc_score(truth[:, column], scores[:, column]) for column in range(truth.shape[1])]) > 0.6
    if relation["exclusive"]:
        assert scores.sum(axis=1) == pytest.approx(1)
    if relation["ordered"]:
        assert (np.diff(scores, axis=1) <= 0).all()


def test_the_loss_of_one_class_is_a_softmax_and_of_labels_a_sigmoid_each():
    logits, answers = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    softmax = -logits.log_softmax(dim=1)[0, 1]
    assert answer_loss(logits, answers, torch.full((1, 3), 2.0), exclusive=True).item() == pytest.approx(2 * softmax)
    each = -torch.stack([(-logits[0, 0]).sigmoid(), logits[0, 1].sigmoid(), (-logits[0, 2]).sigmoid()]).log()
    assert answer_loss(logits, answers, torch.ones(1, 3)).item() == pytest.approx(each.mean().item())
