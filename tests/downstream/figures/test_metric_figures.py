from __future__ import annotations

import made_tasks
import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions
from sklearn.metrics import roc_auc_score

from ultrafm.downstream import figures
from ultrafm.downstream.records import fixed_on_validation, pooled_table, subgroup_records

TASKS = {"mass": "site_01_a", "nodule": "site_02_b", "third": "site_03_c"}
DESCRIBED = {name: {"images": "simulated", "kind": "diagnosis"} for name in TASKS}


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.concat([made_predictions(generator, name, site=site) for name, site in TASKS.items()], ignore_index=True)


@pytest.fixture(scope="module")
def fixed(predictions) -> pd.DataFrame:
    validation = made_predictions(np.random.default_rng(1), "mass", fold="validation")
    return fixed_on_validation(predictions, validation)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_calibration_shows_three_forms_with_their_error(fixed):
    figure = figures.draw_calibration(fixed, DESCRIBED, "mass", "linear_probe", "federated", rng())
    assert [axes.get_xlabel() for axes in figure.axes] == ["predicted probability"] * 3
    assert figure.alt.count("ECE 0.") == 3 and "simulated" in figure.get_suptitle()
    nothing = figures.draw_calibration(fixed, DESCRIBED, "third", "linear_probe", "federated", rng())
    assert "nothing to show" in nothing.alt  # it has no validation images


def test_a_decision_curve_stands_beside_treating_all_and_none(fixed):
    figure = figures.draw_decision_curve(fixed, DESCRIBED, "mass", "linear_probe", ["federated", "random"], rng())
    axes = figure.axes[0]
    assert axes.get_legend_handles_labels()[1] == ["federated", "random", "treat all", "treat none"]
    federated, random, everyone = (line.get_ydata() for line in axes.lines[:3])
    assert federated.mean() > random.mean() and everyone[0] > 0 > everyone[-1]


def test_a_forest_has_a_line_a_task_and_three_over_tasks(predictions):
    table = pooled_table(predictions, DESCRIBED, rng())
    figure = figures.draw_forest(table, "linear_probe", "random", "AUROC")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["mass", "nodule", "third", "mean over tasks", "random effects", "a further task"]
    shares = [text.get_text() for text in figure.axes[0].texts if "%" in text.get_text()]
    assert len(shares) == 3 and "a further task [" in figure.alt
    assert "nothing to show" in figures.draw_forest(table, "fine_tuning", "random", "AUROC").alt


def test_subgroups_are_drawn_with_their_test(predictions):
    images = sorted(set(predictions["image_id"]))
    device = pd.Series({name: "AB"[number // 4 % 2] for number, name in enumerate(images)}, name="device")
    device = device.where(device.index != images[0], "C")
    records = subgroup_records(predictions, DESCRIBED, device, rng(), 100, encoders=("random",))
    figure = figures.draw_subgroups(records, "mass", "linear_probe/random", "auroc", "device")
    assert "Cochran" in figure.alt and "A (" in figure.alt and "not defined" in figure.alt
    assert "nothing to show" in figures.draw_subgroups(records, "mass", "linear_probe/random", "auroc", "site").alt


def test_one_turn_without_a_threshold_leaves_the_whole_task_undrawn_and_says_why(predictions):
    turned = predictions.assign(turn=np.arange(len(predictions)) % 2)
    validation = made_predictions(np.random.default_rng(1), "mass", fold="validation")
    fixed = fixed_on_validation(turned, validation)  # of turn 0 only
    for figure in (
        figures.draw_calibration(fixed, DESCRIBED, "mass", "linear_probe", "federated", rng()),
        figures.draw_decision_curve(fixed, DESCRIBED, "mass", "linear_probe", ["federated"], rng()),
    ):
        assert "nothing to show" in figure.alt and "no validation image" in figure.alt


def test_each_answer_of_a_task_has_a_roc_curve_of_its_own(predictions):
    classes = made_predictions(np.random.default_rng(2), "nodule", ("solid", "cystic", "mixed"))
    both = pd.concat([predictions[predictions["task"] == "mass"], classes], ignore_index=True)
    figure = figures.draw_roc(both, DESCRIBED, "linear_probe")
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes[:4]]
    assert [title.partition("\n")[0] for title in titles] == [
        "mass",
        "nodule: solid",
        "nodule: cystic",
        "nodule: mixed",
    ]
    rows = classes[(classes["answer"] == "cystic") & (classes["encoder"] == "random")]
    share, hits = figure.axes[2].lines[1].get_data()
    assert np.trapezoid(hits, share) == pytest.approx(roc_auc_score(rows["truth"], rows["score"]))


def test_each_structure_is_outlined_against_its_own_truth():
    data = made_tasks.made_structures(rng())
    drawn = np.stack([data.truth == number for number in (1, 2)]).astype(np.uint8).reshape(-1, *data.truth.shape[1:])
    rows = [
        data.table.assign(task=data.task.name, method="m", encoder="e", answer=name, dice=1.0) for name in data.answers
    ]
    scores = pd.concat(rows, ignore_index=True)
    figure = figures.draw_outlines(data, scores, drawn, "m", "e", each=1)
    assert "best (disc), Dice 1.00" in figure.alt
    for axes in figure.axes:  # the drawn outline lies on the true one, of which nothing is left to be seen
        shown = axes.images[0].get_array()
        assert not np.isclose(shown, figures.pictures.TRUTH_COLOUR).all(axis=-1).any()
        assert np.isclose(shown, figures.pictures.DRAWN_COLOUR).all(axis=-1).any()
    panels = figures.draw_dice(scores, {data.task.name: {"images": "simulated"}}, "m").axes
    assert len(panels) == 2
