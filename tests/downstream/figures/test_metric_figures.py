from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions

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


def test_bland_and_altman_draws_bias_and_limits():
    truth = np.arange(20.0)
    measured = truth + np.tile([1.0, 3.0], 10)
    patients = np.array([f"a/{number // 2}" for number in range(20)])
    figure = figures.draw_bland_altman(measured, truth, patients, "mm", "Thickness", "real")
    assert "bias 2.00" in figure.alt and figure.axes[0].get_ylabel() == "measured minus true (mm)"
    assert len(figure.axes[0].lines) == 10 + 3
    assert "two patients" in figures.draw_bland_altman(measured, truth, np.full(20, "a/1"), "mm", "T", "real").alt
