from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from ultrafm.downstream.methods.aggregation import aggregate
from ultrafm.errors import UltraFMError


def made_predictions() -> pd.DataFrame:
    """Two patients of one site: p1 with a clip of two frames and a still picture, p2 with a clip of one frame."""
    rows = {
        "task": "t", "method": "linear_probe", "encoder": "federated", "answer": "square",
        "image_id": ["s/1", "s/2", "s/3", "s/4"], "clip": ["c1", "c1", None, "c2"], "site": "s",
        "patient": ["p1", "p1", "p1", "p2"], "fold": "test", "turn": 0,
        "truth": [0, 1, 0, 0], "score": [0.5, 0.9, 0.2, 0.1], "difficulty": [0.0, 1.0, 0.5, 0.5],
    }  # fmt: skip
    return pd.DataFrame(rows)


def test_scores_are_the_mean_of_logits_and_any_image_makes_a_unit_positive():
    patients = aggregate(made_predictions(), "patient").set_index("image_id")
    assert patients["score"].tolist() == pytest.approx([expit(logit([0.5, 0.9, 0.2]).mean()), 0.1])
    assert patients["truth"].tolist() == [1, 0] and patients["images"].tolist() == [3, 1]
    assert patients["difficulty"].tolist() == [0.5, 0.5] and patients["clip"].fillna("").tolist() == ["", "c2"]
    assert patients.index.tolist() == ["s/p1", "s/p2"]


def test_an_image_of_no_clip_stands_for_itself():
    clips = aggregate(made_predictions(), "clip")
    assert clips["image_id"].tolist() == ["s/c1", "s/3", "s/c2"]
    assert clips["score"].tolist() == pytest.approx([expit(logit([0.5, 0.9]).mean()), 0.2, 0.1])


def test_images_stay_as_they_are_and_the_order_of_rows_does_not_matter():
    table = made_predictions()
    pd.testing.assert_frame_equal(aggregate(table, "image").drop(columns="images"), table, check_dtype=False)
    turned = aggregate(table[::-1].reset_index(drop=True), "patient").sort_values("image_id", ignore_index=True)
    pd.testing.assert_frame_equal(turned, aggregate(table, "patient"))


def test_answers_encoders_methods_and_turns_are_kept_apart():
    table = made_predictions()
    changes = {"answer": "disc", "encoder": "random", "method": "fine_tuning", "turn": 1, "fold": "validation"}
    other = [table.assign(**{name: value}) for name, value in changes.items()]
    found = aggregate(pd.concat([table, *other], ignore_index=True), "patient")
    assert len(found) == 2 * 6 and (found["images"].to_numpy().reshape(6, 2) == [3, 1]).all()


def test_sure_scores_stay_finite_and_of_equal_say():
    table = made_predictions().iloc[:2].assign(score=[0.0, 1.0])
    assert aggregate(table, "patient")["score"].tolist() == pytest.approx([0.5])


def test_what_is_no_probability_or_no_unit_is_a_clear_error():
    with pytest.raises(UltraFMError, match="scores: found NaN"):
        aggregate(made_predictions().assign(score=np.nan), "clip")
    with pytest.raises(UltraFMError, match=r"scores from 37 to 37; expected probabilities"):
        aggregate(made_predictions().assign(score=37.0), "clip")
    with pytest.raises(UltraFMError, match=r"unit: found 'patients'.*'patient'"):
        aggregate(made_predictions(), "patients")


def test_an_empty_table_stays_empty():
    assert aggregate(made_predictions().iloc[:0], "patient").empty
