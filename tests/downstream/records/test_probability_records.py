from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions
from made_records import DESCRIBED, by_id, rng, tables
from scipy.special import expit, logit
from sklearn.metrics import balanced_accuracy_score, recall_score

from ultrafm.downstream.metrics import choose_threshold
from ultrafm.downstream.records import (
    fixed_on_validation,
    probability_records,
)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return tables("test", 1)


@pytest.fixture(scope="module")
def validation() -> pd.DataFrame:
    return tables("validation", 2)


def test_thresholds_and_temperatures_are_those_of_validation(predictions, validation):
    fixed = fixed_on_validation(predictions, validation)
    assert fixed.index.equals(predictions.index) and fixed["unmeasurable"].isna().all()
    rows = fixed[(fixed["task"] == "mass") & (fixed["encoder"] == "random")]
    held = validation[(validation["task"] == "mass") & (validation["encoder"] == "random")]
    threshold = choose_threshold(held["score"].to_numpy(), held["truth"].to_numpy()).value
    assert (rows["called"] == (rows["score"] >= threshold)).all()
    assert threshold != choose_threshold(rows["score"].to_numpy(), rows["truth"].to_numpy()).value
    slopes = logit(rows["tempered"]) / logit(rows["score"])
    assert np.allclose(slopes, slopes.iloc[0]) and not np.allclose(rows["recalibrated"], rows["tempered"])


def test_each_turn_of_a_cross_validation_has_its_own_threshold(predictions, validation):
    two = predictions.assign(turn=np.arange(len(predictions)) % 2)
    held = pd.concat([validation.assign(turn=0), validation.assign(turn=1, score=0.5 * validation["score"])])
    fixed = fixed_on_validation(two, held.reset_index(drop=True))
    rows = fixed[(fixed["task"] == "mass") & (fixed["encoder"] == "random")]
    lowest = rows[rows["called"] == 1].groupby("turn")["score"].min()
    assert lowest[1] < 0.75 * lowest[0]


def test_records_of_decisions_and_probabilities(predictions, validation):
    found = by_id(probability_records(predictions, validation, DESCRIBED, rng(), 200))
    fixed = fixed_on_validation(predictions, validation)
    rows = fixed[(fixed["task"] == "mass") & (fixed["encoder"] == "federated")]
    start = "diagnosis/mass/linear_probe-federated/-/"
    hits, accuracy = found[f"{start}sensitivity/test/-"], found[f"{start}balanced_accuracy/test/-"]
    assert hits["estimate"] == pytest.approx(recall_score(rows["truth"], rows["called"]))
    assert accuracy["estimate"] == pytest.approx(balanced_accuracy_score(rows["truth"], rows["called"]))
    assert accuracy["ci_low"] < accuracy["estimate"] < accuracy["ci_high"]
    assert "threshold of validation images" in accuracy["ci_method"]
    assert {f"{start}{name}{ending}/test/-" for name in ("brier", "ece", "ece_width")
            for ending in ("", "_temperature", "_recalibrated")} <= set(found)  # fmt: skip
    acting = found["diagnosis/mass/linear_probe-federated/linear_probe-treat_all/net_benefit/test/acting-at-0.3"]
    assert acting["estimate"] > 0
    assert "diagnosis/classes/linear_probe-federated/-/net_benefit/test/answer-benign-acting-at-0.3" in found
    stated = by_id(probability_records(predictions, validation, DESCRIBED, rng(), 50, sensitivity=0.95))
    assert stated[f"{start}sensitivity_at_0.95/test/-"]["estimate"] >= hits["estimate"]
    assert not set(stated) & set(found)


def test_recalibration_mends_a_shifted_prevalence_on_the_test_images():
    parts = {}
    for fold, seed in (("test", 3), ("validation", 4)):
        parts[fold] = made_predictions(np.random.default_rng(seed), patients=400, shift=2.0, fold=fold)
        parts[fold]["score"] = expit(2 * logit(parts[fold]["score"]))
    found = by_id(probability_records(parts["test"], parts["validation"], DESCRIBED, rng(), 50))
    start = "diagnosis/mass/linear_probe-random/-/"
    errors = [found[f"{start}ece{ending}/test/-"]["estimate"] for ending in ("", "_temperature", "_recalibrated")]
    assert errors[0] > 0.2 and errors[1] > 0.1 and errors[2] < 0.05


def test_a_recalibration_without_a_finite_fit_is_told(predictions, validation):
    odd = validation.copy()
    sure = (odd["task"] == "mass") & (odd["encoder"] == "federated")
    odd.loc[sure, "score"] = np.where(odd.loc[sure, "truth"] == 1, 0.9, 0.1)
    found = by_id(probability_records(predictions, odd, DESCRIBED, rng(), 50))
    told = {task: found[f"diagnosis/{task}/linear_probe-federated/-/brier_recalibrated/test/-"] for task in DESCRIBED}
    assert "recalibration at its bound" in told["mass"]["ci_method"] and told["mass"]["ci_low"] is not None
    assert "bound" not in told["third"]["ci_method"]
    assert "bound" not in found["diagnosis/mass/linear_probe-federated/-/brier/test/-"]["ci_method"]


def test_validation_of_one_class_leaves_the_task_undefined_and_the_rest_stands(predictions, validation):
    odd = validation.copy()
    odd.loc[odd["task"] == "third", "truth"] = 0
    found = by_id(probability_records(predictions, odd[odd["task"] != "mass"], DESCRIBED, rng(), 50))
    for task, why in (("third", "one class only"), ("mass", "no validation image"), ("macro_average", "task mass")):
        row = found[f"diagnosis/{task}/linear_probe-federated/-/f1/test/-"]
        assert row["estimate"] is None and why in row["ci_method"]
    assert found["diagnosis/classes/linear_probe-federated/-/f1/test/-"]["estimate"] > 0.5


def test_validation_without_any_row_or_column_leaves_decisions_undefined(predictions):
    found = probability_records(predictions, pd.DataFrame(), DESCRIBED, rng(), 10)
    assert found and all(row["estimate"] is None and "no validation image" in row["ci_method"]
                         for row in found if row["metric"] == "f1")  # fmt: skip
