from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions
from made_records import CLASSES, DESCRIBED, by_id, rng, tables
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from ultrafm.downstream.methods.jobs import PREDICTION_COLUMNS, joined
from ultrafm.downstream.records import (
    class_records,
    diagnosis_records,
    fixed_on_validation,
    groups_of,
    measurement_records,
    p_value_records,
    pooled_records,
    pooled_table,
    probability_records,
    records_table,
    subgroup_records,
)
from ultrafm.errors import UltraFMError


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return tables("test", 1)


def area(rows: pd.DataFrame) -> float:
    return roc_auc_score(rows["truth"], rows["score"])


def test_a_task_with_several_answers_is_their_mean_with_each_beside_it(predictions):
    found = by_id(diagnosis_records(predictions, DESCRIBED, rng(), 50))
    rows = predictions[(predictions["encoder"] == "federated") & (predictions["task"] == "classes")]
    single = {answer: area(part) for answer, part in rows.groupby("answer")}
    for answer, value in single.items():
        row = found[f"diagnosis/classes/linear_probe-federated/-/auroc/test/answer-{answer}"]
        assert row["estimate"] == pytest.approx(value) and (row["n"], row["n_patients"]) == (120, 60)
    mean = found["diagnosis/classes/linear_probe-federated/-/auroc/test/-"]
    assert mean["estimate"] == pytest.approx(np.mean(list(single.values()))) and mean["n"] == 120
    others = [
        area(predictions[(predictions["encoder"] == "federated") & (predictions["task"] == task)])
        for task in ("mass", "third")
    ]
    macro = found["diagnosis/macro_average/linear_probe-federated/-/auroc/test/-"]
    assert macro["estimate"] == pytest.approx(np.mean([*others, mean["estimate"]]))  # tasks weigh alike, not answers
    assert (macro["n"], macro["n_patients"]) == (120 + 120 + 180, 60 + 60 + 90)


def test_a_binary_task_is_the_same_with_and_without_a_column_of_answers(predictions):
    binary = predictions[predictions["task"] != "classes"]
    first = diagnosis_records(binary, DESCRIBED, rng(), 50)
    assert first == diagnosis_records(binary.drop(columns="answer"), DESCRIBED, rng(), 50)
    assert {row["level"] for row in first} == {None}


def test_scores_that_are_no_number_are_an_error_that_names_the_row(predictions):
    broken = predictions.copy()
    broken.loc[5, "score"] = np.nan
    where = "task mass, method linear_probe, encoder random, image site_01_a/test005"
    with pytest.raises(UltraFMError, match=where):
        diagnosis_records(broken, DESCRIBED, rng(), 10)


def test_an_answer_of_one_class_is_not_defined_and_says_which(predictions):
    odd = predictions.copy()
    odd.loc[odd["answer"] == "benign", "truth"] = 0
    found = by_id(diagnosis_records(odd, DESCRIBED, rng(), 20))
    row = found["diagnosis/classes/linear_probe-federated/-/auroc/test/-"]
    assert row["estimate"] is None and "one class only (answer benign)" in row["ci_method"]
    assert found["diagnosis/mass/linear_probe-federated/-/auroc/test/-"]["estimate"] is not None


def test_p_values_agree_with_intervals_and_holm_adjusts_over_tasks(predictions):
    found = by_id(p_value_records(predictions, DESCRIBED, rng(), 500))
    pair = "linear_probe-federated/linear_probe-random"
    plain = {task: found[f"diagnosis/{task}/{pair}/auroc_p/test/-"]["estimate"] for task in DESCRIBED}
    adjusted = {task: found[f"diagnosis/{task}/{pair}/auroc_p_holm/test/-"] for task in DESCRIBED}
    smallest = min(plain, key=plain.get)
    assert adjusted[smallest]["estimate"] == pytest.approx(min(1, 3 * plain[smallest]))
    assert all(adjusted[task]["estimate"] >= plain[task] for task in plain)
    assert adjusted["mass"]["ci_method"] == "Holm over 3 tasks" and adjusted["mass"]["ci_low"] is None
    for task in (*DESCRIBED, "macro_average"):
        row = found[f"diagnosis/{task}/{pair}/auroc_bootstrap/test/-"]
        value = found[f"diagnosis/{task}/{pair}/auroc_bootstrap_p/test/-"]["estimate"]
        assert "BCa" in row["ci_method"] and (value < 0.05) == (row["ci_low"] > 0)


def test_four_patients_have_no_p_value_and_do_not_count_in_holms_family(predictions):
    few = made_predictions(rng(), "classes", patients=4)
    found = by_id(
        p_value_records(pd.concat([predictions[predictions["task"] != "classes"], few]), DESCRIBED, rng(), 50)
    )
    pair = "linear_probe-federated/linear_probe-random"
    row = found[f"diagnosis/classes/{pair}/auroc_p/test/-"]
    assert row["estimate"] is None and row["ci_method"] == "not defined: too few patients (4)"
    assert found[f"diagnosis/mass/{pair}/auroc_p_holm/test/-"]["ci_method"] == "Holm over 2 tasks"


def test_records_of_classes_and_of_grades(predictions):
    found = by_id(class_records(predictions, DESCRIBED, rng(), 50))
    rows = predictions[(predictions["task"] == "classes") & (predictions["encoder"] == "random")]
    wide = rows.pivot(index="image_id", columns="answer", values=["score", "truth"])
    chosen, true = (wide[name][list(CLASSES)].to_numpy().argmax(axis=1) for name in ("score", "truth"))
    row = found["diagnosis/classes/linear_probe-random/-/top_1/test/-"]
    assert row["estimate"] == pytest.approx((chosen == true).mean()) and row["n"] == 120
    assert not any("/mass/" in name or "quadratic_kappa" in name for name in found)

    labels = DESCRIBED["classes"] | {"exclusive": False}  # labels that may come together and happen not to
    assert class_records(predictions, DESCRIBED | {"classes": labels}, rng(), 50) == []

    grades = predictions[predictions["task"] == "classes"].copy()
    grades["answer"] = grades["answer"].map({"normal": "at least 1", "benign": "at least 2", "malignant": "at least 3"})
    level = grades.groupby(["image_id", "encoder"])["truth"].transform(lambda each: each.to_numpy().argmax())
    step = grades["answer"].str[-1].astype(int)
    grades["truth"] = (level + 1 >= step).astype(int)
    found = by_id(class_records(grades, {"classes": {"images": "real", "kind": "severity"}}, rng(), 50))
    rows = grades[grades["encoder"] == "federated"]
    said = rows.assign(over=rows["score"] >= 0.5).groupby("image_id")[["over", "truth"]].sum()
    row = found["diagnosis/classes/linear_probe-federated/-/quadratic_kappa/test/-"]
    assert row["estimate"] == pytest.approx(cohen_kappa_score(said["over"], said["truth"], weights="quadratic"))


def test_nothing_to_measure_gives_no_records():
    empty = pd.DataFrame()
    assert p_value_records(empty, {}, rng()) == class_records(empty, {}, rng()) == []
    assert probability_records(empty, empty, {}, rng()) == measurement_records(empty, {}, {}, rng()) == []
    assert pooled_records(empty, {}, rng()) == [] and pooled_table(empty, {}, rng()).empty
    assert subgroup_records(empty, {}, pd.Series(dtype=object, name="device"), rng()) == []
    assert records_table([], "auroc", differences=False).empty
    fixed = fixed_on_validation(joined([], PREDICTION_COLUMNS), empty)
    assert fixed.empty and {"called", "tempered", "recalibrated", "unmeasurable"} <= set(fixed)
    assert groups_of([], "site").empty and groups_of([], "site").name == "site"


def test_a_subgroup_that_the_stores_do_not_tell_is_unknown(predictions):
    rows = predictions[predictions["task"] == "mass"]
    names = list(dict.fromkeys(rows["image_id"]))
    told = pd.DataFrame({"image_id": names, "device": np.nan, "site": "a", "scan_mode": ["linear", None] * 60})
    data = [SimpleNamespace(table=told)]
    assert subgroup_records(rows, DESCRIBED, groups_of(data, "device"), rng(), 20) == []
    found = subgroup_records(rows, DESCRIBED, groups_of(data, "scan_mode"), rng(), 20)
    assert {row["level"] for row in found} == {"scan_mode: linear", "scan_mode: unknown", "scan_mode"}
