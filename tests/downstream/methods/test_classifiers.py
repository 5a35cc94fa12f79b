"""Classifiers on frozen features: what holds for each of them, whatever hangs together in the answers."""

from __future__ import annotations

import made_tasks
import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.methods.choosing import choose_setting, held_out_scores
from ultrafm.downstream.methods.features import extract_features, pixel_features
from ultrafm.downstream.methods.neighbours import NO_OPINION, fit_neighbours
from ultrafm.downstream.methods.ordinal import fit_grades
from ultrafm.downstream.methods.probe import fit_probe, probe_turn
from ultrafm.downstream.methods.ridge import (
    PENALTIES,
    fit_measurement,
    fit_ridge,
    measurement_turn,
    weighted_ridge,
)
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, Turn, turns
from ultrafm.errors import UltraFMError

WAYS = {"neighbours": (fit_neighbours, (5, 0.1)), "probe": (fit_probe, 1e-2), "ridge": (fit_ridge, 1.0)}
TASKS = {"classes": made_tasks.CLASSES, "labels": made_tasks.LABELS, "severity": made_tasks.SEVERITY}


def made(task: str, design: str = FIXED_FOLDS, **more: int) -> tuple[object, np.ndarray, dict[str, bool]]:
    data = made_tasks.made_classes(np.random.default_rng(0), TASKS[task], design, **more)
    features = pixel_features(data.images, 8)
    return data, features, {"exclusive": data.exclusive, "ordered": task == "severity"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TASKS)
def test_obvious_signs_are_found_and_scores_hang_together(way, task):
    data, features, relation = made(task)
    (turn,), (fit, setting) = turns(data), WAYS[way]
    scores = fit(features[turn.train], data.answer_truth[turn.train], setting, **relation).score(features[turn.predict])
    truth = data.answer_truth[turn.predict]
    assert scores.shape == truth.shape and ((scores >= 0) & (scores <= 1)).all()
    assert min(roc_auc_score(truth[:, column], scores[:, column]) for column in range(truth.shape[1])) > 0.9
    if relation["exclusive"]:
        assert scores.sum(axis=1) == pytest.approx(1)
    if relation["ordered"]:
        assert (np.diff(scores, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("relation", [{"exclusive": True}, {"ordered": True}])
def test_grades_never_rise_and_classes_add_up_on_pure_noise_too(way, relation):
    generator, (fit, setting) = np.random.default_rng(1), WAYS[way]
    number = np.arange(40) % 4
    answers = np.eye(4)[number] if "exclusive" in relation else (number[:, None] >= [1, 2, 3]).astype(int)
    scores = fit(generator.normal(size=(40, 6)), answers, setting, **relation).score(generator.normal(size=(30, 6)))
    if "exclusive" in relation:
        assert scores.sum(axis=1) == pytest.approx(1)
    else:
        assert (np.diff(scores, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("way", WAYS)
def test_several_labels_are_answered_as_if_each_were_alone(way):
    generator, (fit, setting) = np.random.default_rng(2), WAYS[way]
    features, answers = generator.normal(size=(30, 5)), generator.integers(0, 2, size=(30, 3))
    together = fit(features, answers, setting).score(features)
    alone = [fit(features, answers[:, [column]], setting).score(features)[:, 0] for column in range(3)]
    assert together == pytest.approx(np.stack(alone, axis=1), abs=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_one_class_and_nan_are_clear_errors(way):
    (fit, setting), features = WAYS[way], np.random.default_rng(0).normal(size=(8, 3))
    answers = (np.arange(8) % 2)[:, None]
    with pytest.raises(UltraFMError, match="one class only"):
        fit(features, np.ones((8, 1), dtype=int), setting)
    broken = features.copy()
    broken[3, 0] = np.nan
    with pytest.raises(UltraFMError, match="features of the training images: found NaN"):
        fit(broken, answers, setting)
    with pytest.raises(UltraFMError, match="features: found NaN"):
        fit(features, answers, setting).score(broken)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_the_predicted_images_change_neither_setting_nor_scores_of_the_held_out(way, design):
    data, features, relation = made("classes", design, brightness=8)
    fit, _ = WAYS[way]
    settings = {"neighbours": [(10, 0.3), (3, 0.1)], "probe": [1e-4, 1e-1], "ridge": [10.0, 0.1]}[way]

    def fitted(part: np.ndarray, answers: np.ndarray, setting: object) -> object:
        return fit(part, answers, setting, **relation)

    for turn in turns(data):
        answers, changed = data.answer_truth, features.copy()
        changed[turn.predict] = 1e6
        hidden = answers.copy()
        hidden[turn.predict] = answers[turn.predict][:, ::-1]
        found = [
            choose_setting(fitted, settings, settings[0], *one, turn)
            for one in ((features, answers), (changed, hidden))
        ]
        assert found[0] == found[1]
        rows, scores = held_out_scores(fitted, found[0], features, answers, turn)
        again = held_out_scores(fitted, found[0], changed, hidden, turn)
        assert not set(rows) & set(turn.predict) and (rows == again[0]).all() and (scores == again[1]).all()
        assert set(rows) == set(np.concatenate([held for _, held in turn.selection]))


def test_probe_is_scikit_learns_logistic_regression():
    generator = np.random.default_rng(0)
    features, number = generator.normal(3, 2, size=(60, 4)), np.arange(60) % 3
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000).fit(standard, number)
    found = fit_probe(features, np.eye(3)[number], 0.1, exclusive=True).score(features)
    assert found == pytest.approx(softmax(model.decision_function(standard), axis=1), abs=1e-9)


def test_two_exclusive_classes_are_one_answer_and_its_opposite():
    generator = np.random.default_rng(0)
    features, number = generator.normal(size=(40, 4)), np.arange(40) % 2
    one = fit_probe(features, number, 0.1)
    both = fit_probe(features, np.eye(2)[number], 0.1, exclusive=True).score(features)
    assert one.score(features).shape == (40,)
    assert both == pytest.approx(np.stack([1 - one.score(features), one.score(features)], axis=1), abs=1e-12)


def test_grades_of_two_are_logistic_regression_and_their_cost_is_least():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(50, 3))
    number = np.digitize(features[:, 0] + generator.normal(size=50), [-0.5, 0.5])
    two = (number > 0).astype(int)[:, None]
    model = LogisticRegression(C=0.5, class_weight="balanced", max_iter=1000, tol=1e-8).fit(features, two[:, 0])
    lines, thresholds = fit_grades(features, two, 0.5)
    assert lines[0] == pytest.approx(model.coef_[0], abs=1e-3) and thresholds == pytest.approx(
        model.intercept_, abs=1e-3
    )
    lines, thresholds = fit_grades(features, (number[:, None] >= [1, 2]).astype(int), 0.5)
    assert (lines[0] == lines[1]).all() and thresholds[0] > thresholds[1]
    assert expit(features @ lines[0] + thresholds[0])[number == 2].mean() > 0.6


def test_votes_of_neighbours_by_hand():
    # Mean 0 and deviation 1 in each feature, so that directions are the rows: (1, 1), (1, -1), (-1, 1), (-1, -1).
    features, answers = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), np.array([[1], [1], [0], [0]])
    score = fit_neighbours(features, answers, (3, 0.5)).score(np.array([[2.0, 2.0]]))
    # Cosines 1, 0, 0 (and -1, which is the fourth nearest): votes 1, exp(-2), exp(-2); the third of them says no.
    away = np.exp(-1 / 0.5)
    assert score[0, 0] == pytest.approx((1 + away + 0.5 * NO_OPINION) / (1 + 2 * away + NO_OPINION))


def test_more_neighbours_than_images_are_all_images():
    features, answers = np.random.default_rng(0).normal(size=(6, 3)), (np.arange(6) % 2)[:, None]
    all_of_them = fit_neighbours(features, answers, (6, 0.1)).score(features)
    assert (fit_neighbours(features, answers, (50, 0.1)).score(features) == all_of_them).all()


def test_weighted_ridge_agrees_with_scikit_learn_in_both_forms():
    generator = np.random.default_rng(0)
    for images, features in ((40, 5), (8, 20)):
        rows, target = generator.normal(size=(images, features)), generator.normal(size=images)
        weights = generator.uniform(0.5, 2, size=images)
        model = Ridge(alpha=0.3 * images, tol=1e-12).fit(rows, target, sample_weight=weights)
        line, intercept = weighted_ridge(rows, target, weights, 0.3)
        assert line == pytest.approx(model.coef_, abs=1e-9) and intercept == pytest.approx(model.intercept_, abs=1e-9)


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_widths_are_measured_and_their_own_truth_is_not_read(design):
    data = made_tasks.made_measurement(np.random.default_rng(0), design, patients=48)
    features = extract_features(made_tasks.tiny_encoder(), data.images, data.sectors)
    for turn in turns(data):
        found = measurement_turn(features, data.truth, turn)
        predicted, truth = found.predict(features[turn.predict]), data.truth[turn.predict]
        assert abs(predicted - truth).mean() < 0.5 * abs(truth - data.truth[turn.train].mean()).mean()
        hidden = data.truth.copy()
        hidden[turn.predict] = -1e9
        assert (measurement_turn(features, hidden, turn).predict(features[turn.predict]) == predicted).all()
        assert found.penalty in PENALTIES


def test_a_line_gets_a_weak_penalty_and_noise_a_strong_one():
    generator = np.random.default_rng(1)
    features, noise = generator.normal(size=(60, 5)), generator.normal(size=(60, 28))
    values = 100 + features @ np.array([3.0, 0, 0, -2, 0])
    turn = Turn(np.arange(40), ((np.arange(30), np.arange(30, 40)),), np.arange(40, 60), "cross-validation")
    found = measurement_turn(features, values, turn)
    assert found.penalty == min(PENALTIES)
    assert found.predict(features[turn.predict]) == pytest.approx(values[turn.predict], abs=0.5)
    assert measurement_turn(noise, values, turn).penalty > min(PENALTIES)  # so many features fit 30 images of anything


def test_a_measurement_in_other_units_is_the_same_measurement():
    features, values = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20.0)
    one, ten = fit_measurement(features, values, 0.1), fit_measurement(features, 10 * values + 5, 0.1)
    assert ten.predict(features) == pytest.approx(10 * one.predict(features) + 5)


def test_a_constant_or_missing_measurement_is_no_crash_or_a_clear_error():
    features = np.random.default_rng(0).normal(size=(5, 3))
    assert fit_measurement(features, np.full(5, 7.0), 1.0).predict(features) == pytest.approx(7)
    with pytest.raises(UltraFMError, match="measured values of the training images: found NaN"):
        fit_measurement(features, np.array([1, 2, np.nan, 4, 5]), 1.0)
    with pytest.raises(UltraFMError, match="1 measured"):
        fit_measurement(features[:1], np.ones(1), 1.0)


def test_no_validation_images_give_the_default_and_no_held_out_scores():
    features, answers = np.random.default_rng(0).normal(size=(12, 3)), (np.arange(12) % 2)[:, None]
    turn = Turn(np.arange(12), (), np.arange(0), "test")
    assert choose_setting(fit_probe, (1e-5, 1.0), 1e-3, features, answers, turn) == 1e-3
    rows, scores = held_out_scores(fit_probe, 1e-3, features, answers, turn)
    assert rows.shape == (0,) and scores.shape == (0, 1)
    assert probe_turn(features, answers, turn).penalty == 1e-3
