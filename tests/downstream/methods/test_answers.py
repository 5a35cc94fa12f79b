from __future__ import annotations

import numpy as np
import pytest

from ultrafm.downstream.methods.answers import (
    balanced_weights,
    check_numbers,
    check_training,
    class_numbers,
    has_both,
    mean_auroc,
    never_rising,
    probabilities,
)
from ultrafm.errors import UltraFMError

GRADES = np.array([[0, 0], [0, 0], [1, 0], [1, 1]])


def test_yes_and_no_weigh_alike_in_each_label():
    weights = balanced_weights(np.array([[1, 0], [0, 0], [0, 0], [0, 1]]))
    assert weights[:, 0] == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3]) and weights[:, 1] == pytest.approx(
        [2 / 3, 2 / 3, 2 / 3, 2]
    )


@pytest.mark.parametrize(("answers", "words"), [(np.eye(3)[[0, 0, 1, 2]], "exclusive"), (GRADES, "ordered")])
def test_classes_and_grades_weigh_alike_in_all_columns(answers, words):
    weights = balanced_weights(answers, **{words: True})
    assert (weights == weights[:, :1]).all() and weights[:, 0] == pytest.approx([2 / 3, 2 / 3, 4 / 3, 4 / 3])


def test_a_class_that_is_absent_takes_no_weight_from_the_others():
    assert balanced_weights(np.eye(3)[[0, 0, 2, 2]], exclusive=True) == pytest.approx(1)


def test_class_numbers_count_grades_and_find_the_one():
    assert class_numbers(GRADES, exclusive=False).tolist() == [0, 0, 1, 2]
    assert class_numbers(np.eye(3)[[2, 0]], exclusive=True).tolist() == [2, 0]


def test_probabilities_of_classes_add_up_and_those_of_grades_never_rise():
    logits = np.array([[0.0, 1.0, -2.0], [40.0, 41.0, 39.0]])
    assert probabilities(logits, exclusive=True).sum(axis=1) == pytest.approx(1)
    ordered = probabilities(logits, ordered=True)
    assert (np.diff(ordered, axis=1) <= 0).all() and ordered[0, 0] == ordered[0, 1] == 0.5
    assert probabilities(logits)[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_one_exclusive_answer_is_a_plain_yes_or_no():
    assert probabilities(np.array([[0.0]]), exclusive=True).tolist() == [[0.5]]


def test_scores_that_do_not_rise_stay():
    scores = np.array([[0.9, 0.5, 0.5], [0.3, 0.2, 0.1]])
    assert (never_rising(scores) == scores).all()


def test_mean_auroc_passes_over_answers_that_all_images_share():
    truth, scores = np.array([[0, 1], [1, 1], [1, 1]]), np.array([[0.1, 0.3], [0.4, 0.2], [0.3, 0.1]])
    assert mean_auroc(truth, scores) == 1.0 == mean_auroc(truth[:, 0], scores[:, 0])


def test_what_cannot_be_fitted_is_told():
    assert has_both(GRADES) and not has_both(GRADES[:3]) and not has_both(GRADES[:0])
    with pytest.raises(UltraFMError, match=r"one class only \(3 images, answer number 1\)"):
        check_training(np.zeros((3, 2)), GRADES[:3])
    features = np.zeros((4, 2))
    features[2, 1] = np.nan
    with pytest.raises(UltraFMError, match=r"1 of 4 rows \(the first: row 2\)"):
        check_training(features, GRADES)
    with pytest.raises(UltraFMError, match="scores: found NaN or infinite"):
        check_numbers("scores", np.array([0.5, np.inf]))
