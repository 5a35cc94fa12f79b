"""Records of own weights by hand: each encoder, and the own one minus each other, whatever is asked for."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ultrafm.downstream.own.records import own_records, own_table
from ultrafm.manifests.schema import Task

PATIENTS = 6
MUSCLE = Task(name="muscle", kind="measurement", organ="muscle", quantity="muscle thickness", measured_in="mm")
OUTLINES = Task(name="outlines", kind="segmentation", organ="muscle", structures=("nerve", "vessel"))


def asked(task, **more):
    return SimpleNamespace(task=task, kind=task.kind, simulated=False, exclusive=False, **more)


def rows_of(task, answer, encoder, **values):
    about = {"task": task.name, "method": "way", "encoder": encoder, "answer": answer, "site": "s", "fold": "test"}
    names = [f"s/{number}" for number in range(PATIENTS)]
    return pd.DataFrame({"image_id": names, "patient": names, "turn": 0, **values}).assign(**about)


def found_by(data, table):
    records = own_records(data, table, table.iloc[:0], "mine", np.random.default_rng(0), 200)
    return {(row["metric"], row["method"], row["comparator"]): row for row in records}


def test_measurements_are_told_by_their_mean_absolute_error_in_their_unit():
    truth = np.arange(PATIENTS, dtype=float)
    mine = rows_of(MUSCLE, "muscle thickness", "mine", truth=truth, score=truth + np.array([1, -1, 2, -2, 0, 0]))
    other = rows_of(MUSCLE, "muscle thickness", "other", truth=truth, score=truth - 3)
    found = found_by(asked(MUSCLE), pd.concat([other, mine]))
    assert set(found) == {
        ("mean_absolute_error", "way/mine", None), ("mean_absolute_error", "way/other", None),
        ("mean_absolute_error", "way/mine", "way/other"),
    }  # fmt: skip
    assert found["mean_absolute_error", "way/mine", None]["estimate"] == pytest.approx(1)
    difference = found["mean_absolute_error", "way/mine", "way/other"]
    assert difference["estimate"] == pytest.approx(1 - 3) and difference["ci_high"] < 0
    assert difference["unit"] == MUSCLE.measured_in and difference["n_patients"] == PATIENTS
    assert list(own_table(found.values())["encoder"]) == ["other", "mine", "mine − other"]


def test_outlines_of_several_structures_are_averaged():
    dice = {("mine", "nerve"): 0.9, ("mine", "vessel"): 0.5, ("other", "nerve"): 0.3, ("other", "vessel"): 0.4}
    parts = [
        rows_of(OUTLINES, answer, encoder, dice=value + np.linspace(-0.1, 0.1, PATIENTS), iou=value / 2)
        for (encoder, answer), value in dice.items()
    ]
    found = found_by(asked(OUTLINES), pd.concat(parts))
    assert found["dice", "way/mine", None]["estimate"] == pytest.approx(0.7)
    assert found["dice", "way/mine", "way/other"]["estimate"] == pytest.approx(0.35)
    assert found["iou", "way/other", None]["estimate"] == pytest.approx(0.175)
    assert len(found) == 6 and found["dice", "way/mine", None]["n"] == PATIENTS


def test_too_few_patients_have_no_interval_and_nothing_asked_gives_nothing():
    truth = np.arange(4.0)
    few = rows_of(MUSCLE, "muscle thickness", "mine", truth=[*truth, 4, 5], score=1.0).iloc[:4]
    [row] = found_by(asked(MUSCLE), few).values()
    assert row["ci_low"] is None and "too few patients" in row["ci_method"]
    assert found_by(asked(MUSCLE), few.iloc[:0]) == {}
