from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from ultrafm.downstream.metrics import Cases, call, choose_threshold, decision, draw_patients, interval
from ultrafm.downstream.metrics.classes import predicted_classes
from ultrafm.errors import UltraFMError

SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.6, 0.8, 0.9])
TRUTH = np.array([0, 0, 1, 0, 1, 0, 1, 1])


def test_youden_by_hand_takes_the_lowest_of_equal_thresholds():
    # Sensitivity + specificity - 1 at 0.3: 4/4 + 2/4 - 1 = 1/2; at 0.6: 3/4 + 3/4 - 1 = 1/2; at 0.8: 2/4 + 4/4 - 1.
    found = choose_threshold(SCORES, TRUTH)
    assert (found.value, found.sensitivity, found.specificity) == (0.3, 1.0, 0.5)


def test_a_stated_sensitivity_takes_the_highest_threshold_that_reaches_it():
    assert choose_threshold(SCORES, TRUTH, 0.75).value == 0.6
    assert choose_threshold(SCORES, TRUTH, 0.76).value == 0.3
    assert choose_threshold(SCORES, TRUTH, 1.0).value == 0.3
    assert choose_threshold(SCORES, TRUTH, 0.1).value == 0.9


def test_youden_is_the_best_point_of_the_roc_curve():
    generator = np.random.default_rng(0)
    for _ in range(100):
        truth = np.r_[0, 1, generator.integers(0, 2, 28)]
        scores = np.round(generator.random(30) + 0.3 * truth, 1)
        share, hits, thresholds = roc_curve(truth, scores, drop_intermediate=False)
        found = choose_threshold(scores, truth)
        best = (hits - share)[1:]
        assert found.sensitivity + found.specificity - 1 == pytest.approx(best.max())
        assert found.value == thresholds[1:][np.isclose(best, best.max())].min()


def test_a_threshold_needs_both_classes_and_numbers():
    with pytest.raises(UltraFMError, match="one class"):
        choose_threshold(SCORES, np.ones(8))
    with pytest.raises(UltraFMError, match="row 2"):
        choose_threshold(np.array([0.1, 0.2, np.nan, 0.3]), np.array([0, 1, 0, 1]))
    with pytest.raises(UltraFMError, match="sensitivity"):
        choose_threshold(SCORES, TRUTH, 90)


def test_the_threshold_of_validation_decides_the_test_images_and_is_not_chosen_again():
    patients = np.array([f"a/{number}" for number in range(4)])
    test = Cases(np.array([[0.05, 0.35, 0.45, 0.2], [0.9, 0.9, 0.9, 0.9]]), np.array([0, 0, 1, 1]), patients)
    called = call(test, np.array([0.3, 0.95]))
    assert called.scores.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    draws = draw_patients(patients, 50, np.random.default_rng(0))
    assert decision("sensitivity", [called], draws).values.tolist() == [0.5, 0.0]
    assert decision("specificity", [called], draws).values.tolist() == [0.5, 1.0]
    assert decision("balanced_accuracy", [called], draws).values.tolist() == [0.5, 0.5]
    assert decision("f1", [called], draws).values.tolist() == [0.5, 0.0]
    each = call(test, np.array([[0.0, 0.4, 0.5, 0.2], [0.9, 0.95, 0.9, 1.0]]))
    assert each.scores.tolist() == [[1, 0, 0, 1], [1, 0, 1, 0]]


def test_a_measure_that_is_none_is_named():
    with pytest.raises(UltraFMError, match="specificity"):
        decision("specifity", [], None)


def test_no_spread_is_not_an_interval_of_zero_width():
    patients = np.array([f"a/{number}" for number in range(8)])
    draws = draw_patients(patients, 50, np.random.default_rng(0), TRUTH)
    found = interval(decision("sensitivity", [Cases(TRUTH[None].astype(float), TRUTH, patients)], draws), np.ones(1))
    assert found.estimate == 1 and found.low is None and "no spread" in found.method


def test_classes_and_grades_by_hand():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    assert predicted_classes(probabilities, ordered=False).tolist() == [1, 0]
    at_least = np.array([[0.9, 0.5, 0.1], [0.4, 0.3, 0.2], [0.9, 0.9, 0.9]])
    assert predicted_classes(at_least, ordered=True).tolist() == [2, 0, 3]
