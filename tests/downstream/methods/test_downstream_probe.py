from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.methods.features import (
    as_input,
    as_pictures,
    coverage,
    extract_features,
    extract_patch_features,
    extract_tokens,
    pool_tokens,
    resized,
    token_shares,
)
from ultrafm.downstream.methods.finetune import Tuned, answer_loss, fine_tune, head_from
from ultrafm.downstream.methods.probe import (
    DEFAULT_PENALTY,
    PENALTIES,
    choose_penalty,
    fit_probe,
    probe_turn,
    steady_probe,
)
from ultrafm.downstream.metrics import Cases, auroc, interval
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData, Turn, turns
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.weights import load_encoder, save_encoder


def test_mean_patch_counts_only_the_scan_sector():
    sectors = torch.zeros(2, 1, 16, 16)
    sectors[0, :, :8, :8], sectors[0, :, :8, 8:12] = 1, 1  # patch 0 wholly inside, patch 1 by half
    weights = coverage(sectors, 8)
    assert weights[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert weights[1].tolist() == [0.25] * 4  # no sector: all alike
    tokens = torch.arange(10.0).reshape(1, 5, 2)
    pooled = pool_tokens(tokens, weights[:1])
    assert pooled[0].tolist() == pytest.approx([0, 1, 2 + 2 / 3, 3 + 2 / 3])


def test_features_are_deterministic_do_not_depend_on_the_batch_and_have_the_right_shape():
    data, encoder = made_tasks.made_diagnosis(np.random.default_rng(0), patients=4), made_tasks.tiny_encoder()
    features = extract_features(encoder, data.images, data.sectors)
    assert features.shape == (8, 48) and features.dtype == np.float32
    assert (features == extract_features(encoder, data.images, data.sectors)).all()
    assert features == pytest.approx(extract_features(encoder, data.images, data.sectors, batch=3), abs=1e-5)
    assert extract_patch_features(encoder, data.images).shape == (8, 16, 48)
    assert as_pictures(data.images).max() <= 1


def test_probe_standardises_with_training_images_only():
    generator = np.random.default_rng(0)
    features, truth = generator.normal(5, 3, size=(40, 6)), np.arange(40) % 2
    probe = fit_probe(features[:30], truth[:30], 0.1)
    assert probe.mean == pytest.approx(features[:30].mean(axis=0))
    changed = features.copy()
    changed[30:] += 100
    assert (fit_probe(changed[:30], truth[:30], 0.1).weights == probe.weights).all()


def test_a_constant_feature_does_no_harm():
    features = np.c_[np.arange(10.0), np.full(10, 7.0)]
    assert np.isfinite(fit_probe(features, np.arange(10) // 5, 1.0).score(features)).all()


def test_penalty_ties_go_to_the_stronger_one():
    features, truth = np.repeat(np.arange(20.0)[:, None], 2, axis=1), np.arange(20) // 10
    turn = Turn(np.arange(0, 20, 2), ((np.arange(0, 20, 2), np.arange(1, 20, 2)),), np.arange(0), "test")
    assert choose_penalty(features, truth, turn) == PENALTIES[0]  # every penalty ranks perfectly


def test_nothing_to_choose_on_gives_the_default():
    features, truth = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) // 6
    turn = Turn(np.arange(12), ((np.arange(0, 12, 2), np.arange(1, 6, 2)),), np.arange(0), "test")
    assert choose_penalty(features, truth, turn) == DEFAULT_PENALTY
    assert choose_penalty(features, truth, Turn(np.arange(12), (), np.arange(0), "test")) == DEFAULT_PENALTY


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_test_labels_and_test_images_change_neither_penalty_nor_probe(design):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), design, brightness=6)
    features = extract_features(made_tasks.tiny_encoder(), data.images, data.sectors)
    for turn in turns(data):
        probe = probe_turn(features, data.truth, turn)
        truth, changed = data.truth.copy(), features.copy()
        truth[turn.predict] = 1 - truth[turn.predict]
        changed[turn.predict] = 1e6
        again = probe_turn(changed, truth, turn)
        assert again.penalty == probe.penalty and (again.weights == probe.weights).all()


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_an_obvious_sign_is_found(design):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), design)
    features = extract_features(made_tasks.tiny_encoder(), data.images, data.sectors)
    made = turns(data)
    scores = np.concatenate([probe_turn(features, data.truth, turn).score(features[turn.predict]) for turn in made])
    truth = data.truth[np.concatenate([turn.predict for turn in made])]
    assert roc_auc_score(truth, scores) > 0.99


def test_random_labels_in_unequal_groups_are_not_below_chance():
    # Pooled cross-validation is biased below 0.5 unless classes weigh alike: a group short of positives leaves a
    # training part rich in them, and so a high score.
    aurocs, covered = [], 0
    for seed in range(12):
        data = made_tasks.made_diagnosis(np.random.default_rng(seed), CROSS_VALIDATION, patients=60, brightness=0)
        generator = np.random.default_rng(100 + seed)
        truth = (generator.random(60) < (0.2 + 0.3 * (np.arange(60) // 2 % 3))).repeat(2).astype(int)
        features, made = generator.normal(size=(120, 8)), turns(data)
        scores = np.concatenate([probe_turn(features, truth, turn).score(features[turn.predict]) for turn in made])
        order = np.concatenate([turn.predict for turn in made])
        found = interval(auroc([Cases(scores[None], truth[order], data.patients[order].astype(str))]), np.array([1.0]))
        aurocs.append(found.estimate)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 9 and np.mean(aurocs) == pytest.approx(0.5, abs=0.05)


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


def test_registers_of_an_encoder_are_no_patches(tmp_path):
    sizes = {"image_size": 32, "width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1}
    model = build_model(Recipe(**sizes, registers=True), 0)
    save_encoder(model, tmp_path / "encoder", GreyScale(0.3, 0.2), {})
    encoder = load_encoder(tmp_path / "encoder")
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    features = extract_features(encoder, images, np.ones(images.shape, bool))
    tokens = encoder.forward_features((torch.from_numpy(images).float()[:, None] / 255 - 0.3) / 0.2)
    assert tokens.shape[1] == 3 + 16
    expected = torch.cat([tokens[:, 0], tokens[:, 3:].mean(dim=1)], dim=1)
    assert np.allclose(features, expected.detach().numpy(), atol=1e-5)
    assert extract_patch_features(encoder, images).shape == (3, 16, 64)


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


def test_pictures_are_resized_and_given_the_colours_that_an_encoder_wants():
    pictures = torch.rand(2, 1, 32, 32)
    grey = made_tasks.tiny_encoder()
    assert as_input(grey, pictures).equal((pictures - 0.3) / 0.2)
    coloured = made_tasks.tiny_encoder(img_size=48, patch_size=16, in_chans=3)
    coloured.pretrained_cfg |= {"mean": (0.1, 0.2, 0.3), "std": (0.5, 1.0, 2.0)}
    seen = as_input(coloured, torch.full((2, 1, 32, 32), 0.6))
    assert seen.shape == (2, 3, 48, 48) and seen[0, :, 5, 5].tolist() == pytest.approx([1.0, 0.4, 0.15])
    assert resized(coloured, pictures).mean().item() == pytest.approx(pictures.mean().item(), abs=0.02)


def test_features_of_an_encoder_of_another_size_are_those_of_resized_pictures():
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    sectors = np.zeros(images.shape, dtype=bool)
    sectors[:, :, :16] = True
    encoder = made_tasks.tiny_encoder(img_size=64, patch_size=16)
    features = extract_features(encoder, images, sectors)
    tokens = (
        encoder.forward_features(as_input(encoder, as_pictures(images))).detach().numpy()[:, 1:].reshape(3, 4, 4, 24)
    )
    shares = token_shares(encoder, sectors)[:, 1:].reshape(3, 4, 4)
    assert shares[:, :, :2].sum(axis=(1, 2)) == pytest.approx(1, abs=0.03) and features.shape == (3, 48)
    expected = (tokens * shares[..., None]).sum(axis=(1, 2))
    assert features[:, 24:] == pytest.approx(expected, abs=1e-5)
    assert extract_tokens(encoder, images).shape == (3, 17, 24)
