"""Every measure against an independent implementation on random cases, 1,000 each in the slow run."""

from __future__ import annotations

import numpy as np
import pytest
from random_cases import few_and_many, random_cases
from scipy.stats import pearsonr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    recall_score,
    roc_auc_score,
)

from ultrafm.downstream.metrics import (
    Cases,
    auprc,
    auroc,
    auroc_bootstrap,
    average_precision,
    brier,
    call,
    decision,
    draw_patients,
    interval,
    of_classes,
    weighted_auroc,
)
from ultrafm.downstream.metrics.classes import CLASS_MEASURES
from ultrafm.downstream.metrics.decisions import DECISIONS, confusions

ONE = np.ones(1)
EXACT = {"rel": 1e-9, "abs": 1e-9}


def both_classes(truth: np.ndarray, weights: np.ndarray) -> bool:
    return len(set(truth[weights > 0].tolist())) == 2


@few_and_many
def test_ranking_of_weighted_images_equals_scikit_learn(count: int):
    compared = 0
    for cases, weights in random_cases(0, count):
        scores, truth, row = cases.scores[0], cases.truth, weights[0]
        area, precision = weighted_auroc(scores, truth, weights), average_precision(scores, truth, weights)
        if not both_classes(truth, row):
            assert np.isnan(area[0])
            continue
        assert area[0] == pytest.approx(roc_auc_score(truth, scores, sample_weight=row), **EXACT)
        assert precision[0] == pytest.approx(average_precision_score(truth, scores, sample_weight=row), **EXACT)
        compared += 1
    assert compared > 0.7 * count


@few_and_many
def test_values_equal_scikit_learn_or_say_why_there_are_none(count: int):
    found_reasons = set()
    for cases, _ in random_cases(1, count):
        draws = draw_patients(cases.patients, 2, np.random.default_rng(0))
        scores, truth = cases.scores[0], cases.truth
        found = {"auroc": auroc([cases]), "auroc_bootstrap": auroc_bootstrap([cases], draws)}
        found |= {"auprc": auprc([cases], draws)}
        if len(set(truth.tolist())) < 2:
            assert all(interval(one, ONE).estimate is None and "one class" in one.reason for one in found.values())
            found_reasons.add("one class")
        else:
            expected = roc_auc_score(truth, scores)
            assert found["auroc"].values[0] == pytest.approx(expected, **EXACT)
            assert found["auroc_bootstrap"].values[0] == pytest.approx(expected, **EXACT)
            assert found["auprc"].values[0] == pytest.approx(average_precision_score(truth, scores), **EXACT)
        if len(set(cases.patients.tolist())) == 1:
            assert all(one.reason and interval(one, ONE).low is None for one in found.values())
            found_reasons.add("one patient")
        assert brier([cases], draws).values[0] == pytest.approx(brier_score_loss(truth, scores, pos_label=1), **EXACT)
    assert found_reasons == {"one class", "one patient"}


@few_and_many
def test_decisions_equal_scikit_learn(count: int):
    compared = 0
    for cases, weights in random_cases(2, count):
        called = call(cases, np.array([np.quantile(cases.scores, 0.4)]))
        chosen, truth, row = called.scores[0].astype(int), cases.truth, weights[0]
        found = {name: of(confusions(chosen, truth, 2, weights))[0] for name, of in DECISIONS.items()}
        if both_classes(truth, row):
            about = {"sample_weight": row}
            expected = {
                "sensitivity": recall_score(truth, chosen, **about),
                "specificity": recall_score(truth, chosen, pos_label=0, **about),
                "balanced_accuracy": balanced_accuracy_score(truth, chosen, **about),
                "f1": f1_score(truth, chosen, **about),
            }
            assert found == pytest.approx(expected, **EXACT)
            compared += 1
        if len(set(truth.tolist())) == 1:
            draws = draw_patients(cases.patients, 2, np.random.default_rng(0))
            assert interval(decision("f1", [called], draws), ONE).estimate is None
    assert compared > 0.7 * count


@few_and_many
def test_classes_and_grades_equal_scikit_learn(count: int):
    generator, compared = np.random.default_rng(3), 0
    for _ in range(count):
        images, classes = int(generator.integers(2, 40)), int(generator.integers(2, 6))
        truth, chosen = generator.integers(0, classes, (2, images))
        weights = generator.multinomial(images, np.full(images, 1 / images), 1)
        found = {name: of(confusions(chosen, truth, classes, weights))[0] for name, of in CLASS_MEASURES.items()}
        kept = weights[0] > 0
        if len(set(truth[kept].tolist())) < 2 or not set(chosen[kept].tolist()) <= set(truth[kept].tolist()):
            continue  # scikit-learn warns of classes that only occur among the chosen
        about = {"sample_weight": weights[0]}
        assert found["top_1"] == pytest.approx(accuracy_score(truth, chosen, **about), **EXACT)
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, chosen, **about), **EXACT)
        kappa = cohen_kappa_score(truth, chosen, labels=range(classes), weights="quadratic", **about)
        assert found["quadratic_kappa"] == pytest.approx(kappa, **EXACT)
        compared += 1
    assert compared > 0.5 * count


def test_one_class_has_no_kappa_and_no_top_1():
    cases = Cases(np.array([[0.0, 1.0, 2.0]]), np.array([1, 1, 1]), np.array(["a/1", "a/2", "a/3"]))
    draws = draw_patients(cases.patients, 10, np.random.default_rng(0))
    for name in CLASS_MEASURES:
        found = interval(of_classes(name, [cases], draws), ONE)
        assert found.estimate is None and "one class" in found.method


def test_perfect_agreement_of_grades_and_correlation_of_standardised_grades():
    # With equal margins, quadratic weighted kappa is the correlation of the two lists of grades.
    generator = np.random.default_rng(4)
    truth = np.arange(60) % 4
    chosen = generator.permutation(truth)
    found = CLASS_MEASURES["quadratic_kappa"](confusions(chosen, truth, 4, np.ones((1, 60))))[0]
    assert found == pytest.approx(pearsonr(truth, chosen).statistic, **EXACT)
    assert CLASS_MEASURES["quadratic_kappa"](confusions(truth, truth, 4, np.ones((1, 60))))[0] == 1
