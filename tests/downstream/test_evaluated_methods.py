from __future__ import annotations

from dataclasses import replace

import made_tasks
import numpy as np
import pandas as pd
import pytest

from ultrafm.downstream.evaluate import (
    FAILURE_COLUMNS,
    PREDICTION_COLUMNS,
    answered_by_all,
    evaluate_diagnosis,
    evaluate_measurement,
    evaluate_segmentation,
)
from ultrafm.downstream.methods.drawing import dice
from ultrafm.downstream.tasks import CROSS_VALIDATION
from ultrafm.errors import UltraFMError


def test_validation_scores_stand_apart_and_know_nothing_of_the_images_of_their_turn(evaluated, tasks):
    validation = evaluated.validation
    assert validation.columns.tolist() == PREDICTION_COLUMNS and set(validation["fold"]) == {"validation"}
    assert "validation" not in set(evaluated.predictions["fold"])
    fixed = validation[(validation["task"] == "fixed") & (validation["encoder"] == "random")]
    wanted = tasks["fixed"].table.query("fold == 'validation'")["image_id"].tolist()
    for method in ("linear_probe", "fine_tuning"):
        assert fixed.loc[fixed["method"] == method, "image_id"].tolist() == wanted
    crossed = validation[(validation["task"] == "crossed") & (validation["encoder"] == "random")]
    assert set(crossed["method"]) == {"linear_probe"}  # fine-tuning only with `inner`
    group = tasks["crossed"].table.set_index("image_id")["group"]
    for turn, rows in crossed.groupby("turn"):
        assert set(group[rows["image_id"]]) == {0, 1, 2} - {turn}
        predicted = evaluated.predictions.query("task == 'crossed' and turn == @turn")
        assert set(group[predicted["image_id"]]) == {turn} and not set(predicted["patient"]) & set(rows["patient"])


def test_training_methods_give_validation_scores_of_an_inner_group_when_asked(tasks, encoders):
    asked = {"crossed": tasks["crossed"]}, {"random": encoders["random"]}
    plain, inner = (
        evaluate_diagnosis(*asked, 1, 1, precision="fp32", methods=["fine_tuning"], inner=wanted)
        for wanted in (False, True)
    )
    pd.testing.assert_frame_equal(plain.predictions, inner.predictions)
    assert plain.validation.empty and inner.validation.groupby("turn").size().tolist() == [16, 16, 16]


def test_an_inner_group_without_a_class_costs_its_validation_scores_and_nothing_else(encoders):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), CROSS_VALIDATION)
    data = replace(data, truth=np.where(data.table["group"] == 2, 1, data.truth))
    found = evaluate_diagnosis({"t": data}, {"random": encoders["random"]}, 1, 0, methods=["attentive_probe"])
    assert found.failures.empty and len(found.predictions) == 48
    group = data.table.set_index("image_id")["group"]
    held = {turn: set(group[rows["image_id"]]) for turn, rows in found.validation.groupby("turn")}
    assert held == {0: {2}, 1: {2}, 2: {0}}  # turn 0 would hold group 1, but group 2 alone cannot be fitted on


@pytest.mark.parametrize(
    "task", [made_tasks.CLASSES, made_tasks.LABELS, made_tasks.SEVERITY], ids=lambda task: task.name
)
def test_a_task_of_several_answers_has_a_row_an_image_and_answer(task, encoders):
    data = made_tasks.made_classes(np.random.default_rng(0), task)
    methods = ("nearest_neighbours", "linear_probe", "ridge_probe", "attentive_probe", "light_tuning", "fine_tuning")
    found = evaluate_diagnosis({"t": data}, {"random": encoders["random"]}, 1, 1, precision="fp32", methods=methods)
    assert found.failures.empty and list(dict.fromkeys(found.predictions["method"])) == list(methods)
    place = pd.Series(range(len(data.table)), index=data.table["image_id"])
    for table in (found.predictions, found.validation):
        for _, rows in table.groupby(["method", "encoder"]):
            truth = data.answer_truth[place[rows["image_id"].drop_duplicates()]]
            wide = rows.pivot(index="image_id", columns="answer", values="score")[list(data.answers)].to_numpy()
            assert rows["truth"].tolist() == truth.ravel().tolist() and len(rows) == 12 * len(data.answers)
            if data.exclusive:
                assert wide.sum(axis=1) == pytest.approx(1)
            if task.kind == "severity":
                assert (np.diff(wide, axis=1) <= 1e-12).all()


def test_measurements_come_in_their_unit_beside_the_control(encoders):
    data = made_tasks.made_measurement(np.random.default_rng(0), CROSS_VALIDATION)
    found = evaluate_measurement({"width": data}, {"random": encoders["random"]}, 1)
    assert found.predictions["encoder"].tolist() == ["random"] * 48 + ["pixels"] * 48
    for _, rows in found.predictions.groupby("encoder"):
        assert rows["truth"].tolist() == data.truth.tolist() and set(rows["answer"]) == {"width"}
        assert abs(rows["score"] - rows["truth"]).mean() < 0.5 * abs(data.truth - data.truth.mean()).mean()
    assert found.validation.groupby(["encoder", "turn"]).size().eq(32).all()


def test_one_method_that_fails_is_told_and_loses_nothing_else(tasks, encoders, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_bytes(b"no weights")
    one_class = np.where(tasks["fixed"].table["fold"] == "train", 1, tasks["fixed"].truth)
    bad = {
        "bad": replace(tasks["fixed"], task=tasks["fixed"].task.model_copy(update={"name": "bad"}), truth=one_class),
        "fixed": tasks["fixed"],
    }
    found = evaluate_diagnosis(bad, {"random": encoders["random"], "broken": broken}, 1, 0, precision="fp32")
    assert found.failures.columns.tolist() == FAILURE_COLUMNS
    told = dict(zip(zip(found.failures["task"], found.failures["encoder"]), found.failures["why"]))
    assert "one class only" in told["bad", "random"] and "one class only" in told["bad", "pixels"]
    assert "broken" in told["fixed", "broken"] and len(told) == 4
    assert set(zip(found.predictions["task"], found.predictions["encoder"])) == {
        ("fixed", "random"),
        ("fixed", "pixels"),
    }
    assert len(answered_by_all(found.predictions)) == len(found.predictions)


def test_an_encoder_that_misses_a_task_is_left_out_of_comparisons(predictions):
    lost = (
        (predictions["task"] == "fixed")
        & (predictions["encoder"] == "pooled")
        & (predictions["method"] == "fine_tuning")
    )
    kept = answered_by_all(predictions[~lost])
    gone = (predictions["encoder"] == "pooled") & (predictions["method"] == "fine_tuning")
    pd.testing.assert_frame_equal(kept, predictions[~gone].reset_index(drop=True))
    pd.testing.assert_frame_equal(answered_by_all(predictions), predictions)


def test_an_error_of_the_program_is_not_swallowed(tasks, encoders, monkeypatch):
    monkeypatch.setattr("ultrafm.downstream.methods.probe.fit_probe", lambda *rest, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate_diagnosis({"fixed": tasks["fixed"]}, encoders, 1, 0)


def test_methods_are_asked_by_name_and_no_epochs_leave_training_out(tasks, encoders):
    asked = {"fixed": tasks["fixed"]}, {"random": encoders["random"]}
    with pytest.raises(UltraFMError, match=r"'linear_prob'.*did you mean 'linear_probe'"):
        evaluate_diagnosis(*asked, 1, methods=["linear_prob"])
    found = evaluate_diagnosis(*asked, 1, 0, methods=["fine_tuning", "ridge_probe", "light_tuning"])
    assert set(found.predictions["method"]) == {"ridge_probe"} and set(found.predictions["encoder"]) == {"random"}


def test_kept_features_give_the_same_predictions(tasks, encoders, predictions, tmp_path):
    asked = {"fixed": tasks["fixed"]}, {name: encoders[name] for name in ("random", "federated")}
    probes = predictions.query("task == 'fixed' and method == 'linear_probe' and encoder in ('random', 'federated')")
    for _ in ("computed", "read"):
        found = evaluate_diagnosis(*asked, 1, 0, precision="fp32", cache=tmp_path / "features").predictions
        pd.testing.assert_frame_equal(found[found["encoder"] != "pixels"], probes.reset_index(drop=True))
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_masks_of_several_structures_stand_beside_their_scores(encoders):
    data = made_tasks.made_structures(np.random.default_rng(0))
    found = evaluate_segmentation({"two": data}, {"random": encoders["random"]}, 1, 1, precision="fp32")
    assert found.failures.empty and found.scores["answer"].tolist() == ["disc", "square"] * 24
    places = pd.Index(data.table["image_id"]).get_indexer(found.scores["image_id"])
    truth = data.truth[places] == np.where(found.scores["answer"] == "disc", 1, 2)[:, None, None]
    assert dice(found.masks, truth) == pytest.approx(found.scores["dice"].to_numpy())
    assert set(found.scores["unit"]) == {"mm"} and found.scores[["iou", "nsd"]].stack().between(0, 1).all()
    assert set(found.validation["fold"]) == {"validation"} and len(found.validation) == 48
