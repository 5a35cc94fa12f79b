from __future__ import annotations

import made_tasks
import numpy as np
import pandas as pd
import pytest

from ultrafm.downstream.review.figures import draw_mistakes
from ultrafm.downstream.review.mistakes import (
    FALSE_ALARM,
    MISSED,
    surest_mistakes,
    turn_thresholds,
    with_calls,
)
from ultrafm.errors import UltraFMError


def table(scores, truth, patients):
    rows = {"image_id": [f"site_01_a/{number:03d}" for number in range(len(scores))], "site": "site_01_a"}
    return pd.DataFrame(rows | {"patient": patients, "truth": truth, "score": scores, "difficulty": np.nan})


PREDICTIONS = table(
    [0.95, 0.90, 0.70, 0.61, 0.10, 0.30, 0.59, 0.80],
    [0, 0, 0, 1, 1, 1, 1, 0],
    ["a", "a", "b", "c", "d", "d", "e", "f"],
)


def test_mistakes_of_both_directions_come_surest_first_one_a_patient():
    found = surest_mistakes(with_calls(PREDICTIONS, 0.6))
    alarms, missed = found[found["direction"] == FALSE_ALARM], found[found["direction"] == MISSED]
    assert alarms["score"].tolist() == [0.95, 0.80, 0.70]  # 0.90 is of the patient of 0.95
    assert missed["score"].tolist() == [0.10, 0.59]
    assert np.allclose(alarms["sureness"], [0.35 / 0.4, 0.2 / 0.4, 0.1 / 0.4])
    assert np.allclose(missed["sureness"], [0.5 / 0.6, 0.01 / 0.6])


def test_at_most_as_many_as_are_asked_for_and_ties_go_by_name():
    rows = table([0.9, 0.9, 0.9], [0, 0, 0], ["a", "b", "c"])
    found = surest_mistakes(with_calls(rows.iloc[::-1], 0.5), each=2)
    assert found["image_id"].tolist() == ["site_01_a/000", "site_01_a/001"]


def test_a_score_at_its_threshold_is_called_and_thresholds_may_differ_by_row():
    called = with_calls(table([0.5, 0.5], [1, 1], ["a", "b"]), np.array([0.5, 0.6]))
    assert called["call"].tolist() == [1, 0] and called["error"].tolist() == [False, True]


def test_without_a_mistake_there_is_nothing_and_the_figure_says_so():
    called = with_calls(table([0.9, 0.1], [1, 0], ["a", "b"]), 0.5)
    found = surest_mistakes(called)
    assert found.empty
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    assert "no mistake" in draw_mistakes(data, found, "a probe").alt


def test_the_figure_names_score_truth_site_and_what_is_simulated():
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    rows = data.table.iloc[:6].assign(truth=[0, 0, 1, 1, 0, 0], score=[0.9, 0.2, 0.1, 0.8, 0.7, 0.1])
    alt = draw_mistakes(data, surest_mistakes(with_calls(rows, 0.5)), "a probe").alt
    for words in (
        "simulated images",
        "false alarm, truth negative",
        "score 0.90, called from 0.50",
        "site_01_a",
        "difficulty",
    ):
        assert words in alt
    assert "missed, truth positive" in alt and "score 0.10" in alt


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table([np.nan, 0.2], [0, 1], ["a", "b"]), "no score for site_01_a/000"),
        (pd.concat([PREDICTIONS, PREDICTIONS]), "several rows of one image"),
    ],
)
def test_scores_that_cannot_be_judged_are_told(rows, words):
    with pytest.raises(UltraFMError, match=words):
        with_calls(rows, 0.5)


def test_thresholds_come_from_the_validation_images_of_the_same_model():
    key = {"task": "t", "method": "m", "encoder": "e", "answer": "a"}
    held = pd.DataFrame(
        {**key, "turn": [0, 0, 0, 0, 1, 1], "truth": [0, 0, 1, 1, 1, 1], "score": [0.1, 0.3, 0.35, 0.9, 0.5, 0.6]}
    )
    rows = pd.DataFrame({**key, "turn": [0, 1, 0], "score": [0.2, 0.2, 0.2]})
    assert turn_thresholds(rows, held).tolist() == [0.35, 0.5, 0.35]  # turn 1 has one class on validation
