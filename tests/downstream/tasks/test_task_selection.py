"""Choosing the images of tasks of several classes, structures and units, and what keeps a task from being evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import made_stores
import numpy as np
import pandas as pd
import pytest
from made_stores import store

from ultrafm import curation
from ultrafm.downstream.tasks import (
    FIXED_FOLDS,
    NO_DESIGN,
    count_tasks,
    describe_tasks,
    select_task,
    select_tasks,
    turns,
)
from ultrafm.downstream.tasks.data import unit_names
from ultrafm.errors import UltraFMError
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.schema import Task

SITES = ("site_01_a",)
CLASSES = {"normal": ("normal",), "benign": ("benign",), "malignant": ("malignant",)}
LABELS = [*CLASSES]


def asked(kind: str = "diagnosis", **fields: object) -> TaskAtSites:
    return TaskAtSites(Task(**{"name": "made", "kind": kind, "organ": "breast", **fields}), SITES)


def graded() -> pd.DataFrame:
    """Rows of 24 patients, two images each; every fold holds patients of all three labels."""
    table = made_stores.made_rows(24, 2, FIXED_FOLDS)
    number = np.arange(48) // 2
    folds = np.array(["train", "train", "validation", "test"])[number // 3 % 4]
    return table.assign(label=np.array(LABELS)[number % 3], fold=folds)


def test_three_classes_are_counted_and_each_fold_has_all(monkeypatch):
    table = graded()
    table.loc[0, "label"] = "valve disease"
    store(monkeypatch, table)
    data = select_task("nowhere", asked(classes=CLASSES))
    assert data.skipped is None and data.exclusive and data.left_out == {"label of no class": 1}
    assert data.truth.tolist() == [LABELS.index(label) for label in table["label"][1:]]
    assert data.answer_truth.shape == (47, 3) and (data.answer_truth.sum(axis=1) == 1).all()
    assert count_tasks({"made": data})["classes"].tolist() == ["normal 15, benign 16, malignant 16"]
    described = describe_tasks({"made": data})["made"]
    assert described["answers"] == LABELS and described["exclusive"]


def test_a_class_that_is_missing_from_a_fold_is_named(monkeypatch):
    table = graded()
    table.loc[(table["fold"] == "test") & (table["label"] == "normal"), "label"] = "benign"
    store(monkeypatch, table)
    data = select_task("nowhere", asked(classes=CLASSES))
    assert data.skipped == "fold 'test' holds 0 patients of class 'normal'; at least 2 needed"
    with pytest.raises(UltraFMError, match="0 patients of class 'normal'"):
        turns(data)


def test_a_label_that_no_image_bears_is_told_with_the_one_that_was_meant(monkeypatch):
    store(monkeypatch, graded())
    data = select_task("nowhere", asked(classes={"normal": ("normal",), "lesion": ("benine",)}))
    assert data.skipped == (
        "fold 'train' holds 0 patients of class 'lesion'; at least 2 needed; "
        "nothing at its sites is 'benine', there is: benign, malignant, normal (did you mean 'benign'?)"
    )


def test_several_classes_need_patients_with_and_without_each(monkeypatch):
    store(monkeypatch, graded())
    lesion = {"lesion": ("benign", "malignant"), "cancer": ("malignant",)}
    data = select_task("nowhere", asked(several=True, classes=lesion))
    assert data.skipped is None and not data.exclusive and data.truth.shape == (48, 2)
    assert data.truth.sum(axis=0).tolist() == [32, 16]
    every = {"any": tuple(LABELS), "cancer": ("malignant",)}
    data = select_task("nowhere", asked(several=True, classes=every))
    assert data.skipped == "fold 'train' holds 0 patients without 'any'; at least 2 needed"


def test_severity_has_one_answer_fewer_than_grades(monkeypatch):
    store(monkeypatch, graded())
    data = select_task("nowhere", asked("severity", classes=CLASSES))
    assert data.skipped is None and not data.exclusive
    assert data.answer_truth.sum(axis=1).tolist() == data.truth.tolist()


def test_organs_are_told_apart_by_the_organ_column(monkeypatch):
    table = graded().assign(organ=lambda rows: rows["label"].map(dict(zip(LABELS, ("lung", "liver", "breast")))))
    store(monkeypatch, table)
    classes = {"lung": ("lung",), "liver": ("liver",)}
    data = select_task("nowhere", asked("plane", organ=None, classes_of="organ", classes=classes))
    assert data.left_out == {"another organ": 16} and data.skipped is None
    assert [("lung", "liver")[number] for number in data.truth] == data.table["organ"].tolist()


def test_structures_are_numbered_and_each_must_be_in_every_fold(monkeypatch):
    nerve, vessel = (np.zeros((48, 4, 4), dtype=np.uint8) for _ in range(2))
    nerve[:, 0], vessel[::2, 3] = 1, 1
    nerve[5], vessel[5] = 0, 0
    table = graded().assign(structures='{"nerve": [1], "vessel": [2]}')
    store(monkeypatch, table, {"nerve": nerve, "vessel": vessel}, without_mask=[7])
    data = select_task("nowhere", asked("segmentation", structures=("nerve", "vessel")))
    assert data.skipped is None and data.left_out == {"nerve and vessel not outlined or not in the image": 2}
    assert np.unique(data.truth[0]).tolist() == [0, 1, 2] and np.unique(data.truth[1]).tolist() == [0, 1]
    vessel[(table["fold"] == "test").to_numpy()] = 0
    data = select_task("nowhere", asked("segmentation", structures=("nerve", "vessel")))
    assert data.skipped == "fold 'test' holds 0 patients with vessel; at least 2 needed"


def test_masks_that_are_all_empty_leave_no_image_and_say_so(monkeypatch):
    store(monkeypatch, graded(), {"lesion": np.zeros((48, 4, 4), dtype=np.uint8)})
    data = select_task("nowhere", asked("segmentation", structure="lesion"))
    assert data.design == NO_DESIGN and len(data.images) == 0
    assert data.skipped == "no image to evaluate (48 images: lesion not outlined or not in the image)"


def test_a_structure_that_no_mask_tells_of_is_told_with_the_one_that_was_meant(monkeypatch):
    store(monkeypatch, graded(), {"lesion": np.ones((48, 4, 4), dtype=np.uint8)})
    data = select_task("nowhere", asked("segmentation", structure="lession"))
    assert data.skipped.endswith("nothing at its sites is 'lession', there is: lesion (did you mean 'lesion'?)")


def test_a_clip_with_two_answers_is_named_with_both_and_the_image_task_goes_on(monkeypatch):
    table = graded()
    table["clip"] = table["patient"] + "-clip"
    table.loc[3, "label"] = "malignant"  # the second image of the second patient
    store(monkeypatch, table)
    by_clip = select_task("nowhere", asked(classes=CLASSES, unit="clip"))
    assert by_clip.skipped.startswith("the clip site_01_a/p001-clip holds images of 'benign' and 'malignant'; all im")
    by_patient = select_task("nowhere", asked(classes=CLASSES, unit="patient"))
    assert by_patient.skipped.startswith("the patient site_01_a/p001 holds images of 'benign' and 'malignant'")
    assert select_task("nowhere", asked(classes=CLASSES)).skipped is None


def test_two_labels_of_one_class_are_one_answer(monkeypatch):
    table = graded()
    table.loc[3, "label"] = "malignant"
    store(monkeypatch, table)
    lesion = {"none": ("normal",), "lesion": ("benign", "malignant")}
    assert select_task("nowhere", asked(classes=lesion, unit="patient")).skipped is None


def test_units_are_images_clips_or_patients_and_an_image_of_no_clip_stands_for_itself(monkeypatch):
    table = graded()
    table.loc[[0, 1], "clip"] = "c1"
    store(monkeypatch, table)
    kept = select_task("nowhere", asked(classes=CLASSES)).table
    units = {unit: unit_names(kept, unit) for unit in ("image", "clip", "patient")}
    assert units["image"].tolist() == table["image_id"].tolist()
    assert units["clip"][:3].tolist() == ["site_01_a/c1", "site_01_a/c1", table["image_id"][2]]
    assert units["patient"][:3].tolist() == ["site_01_a/p000", "site_01_a/p000", "site_01_a/p001"]


def test_a_site_that_was_not_curated_is_named_and_the_other_tasks_are_selected(monkeypatch, tmp_path):
    (tmp_path / "site_01_a" / "store").mkdir(parents=True)
    (tmp_path / "site_01_a" / "store" / "state.json").write_text("{}")
    whole = asked(classes=CLASSES)
    store(monkeypatch, graded())
    pictures = curation.load_pictures

    def load_pictures(curated: Path, sites: tuple[str, ...], folds: tuple[str, ...]):
        if sites != SITES:
            raise UltraFMError("store", "none", "a store")
        return pictures(curated, sites, folds)

    monkeypatch.setattr(curation, "load_pictures", load_pictures)
    lost = TaskAtSites(whole.task.model_copy(update={"name": "lost"}), ("site_01_aa",))
    found = select_tasks(tmp_path, {"lost": lost, "made": whole}, "diagnosis")
    assert found["made"].skipped is None and found["lost"].design == NO_DESIGN
    expected = "its site 'site_01_aa' is not among the curated ones (site_01_a) (did you mean 'site_01_a'?)"
    assert found["lost"].skipped == expected
    assert count_tasks(found)["skipped"].tolist() == [expected, ""]
    assert describe_tasks(found)["lost"]["skipped"] == expected
    several = TaskAtSites(asked(classes=CLASSES, several=True).task, ("site_01_aa",))
    assert count_tasks(select_tasks(tmp_path, {"several": several}, "diagnosis"))["skipped"].tolist() == [expected]


def test_a_store_without_measurements_skips_the_tasks_that_need_them(monkeypatch):
    store(monkeypatch, graded().drop(columns="measured"))
    data = select_task("nowhere", asked("measurement", quantity="thickness", measured_in="pixels"))
    assert data.skipped == "its sites were curated by a version that kept no measurements; curate them again"
    assert select_task("nowhere", asked(classes=CLASSES)).skipped is None


def test_a_store_that_may_not_be_read_stops_the_selection(monkeypatch, tmp_path):
    (tmp_path / "site_01_a" / "store").mkdir(parents=True)
    (tmp_path / "site_01_a" / "store" / "state.json").write_text("{}")

    def load_pictures(*_asked: object):
        raise UltraFMError("site_01_a", "a store that nobody signed for", "a signature")

    monkeypatch.setattr(curation, "load_pictures", load_pictures)
    with pytest.raises(UltraFMError, match="nobody signed for"):
        select_task(tmp_path, asked(classes=CLASSES))


def test_what_observers_measured_is_averaged_and_kept(monkeypatch):
    told = {"thickness": {"1": 100.0, "2": 104.0}, "angle": {"2": 20.0}}
    table = graded().assign(measured=json.dumps(told))
    table.loc[1, "measured"] = json.dumps({"thickness": {"10": 90.0}})
    table.loc[2, "measured"] = None
    store(monkeypatch, table)
    data = select_task("nowhere", asked("measurement", quantity="thickness", measured_in="pixels"))
    assert data.skipped is None and data.left_out == {"thickness not measured": 1}
    assert data.truth[:3].tolist() == [102.0, 90.0, 102.0]
    assert data.observers.columns.tolist() == ["observer 1", "observer 2", "observer 10"]
    assert data.observers.iloc[1].isna().tolist() == [True, True, False] and len(data.observers) == 47
    assert data.unit_scale.tolist() == [4.0] * 47  # cut to 16 pixels, curated to 4
    angle = select_task("nowhere", asked("measurement", quantity="angle", measured_in="degrees"))
    assert angle.left_out == {"angle not measured": 2} and set(angle.unit_scale) == {1.0}


def test_a_quantity_that_nobody_measured_is_told_with_the_one_that_was_meant(monkeypatch):
    store(monkeypatch, graded().assign(measured=json.dumps({"thickness": {"1": 1.0}})))
    data = select_task("nowhere", asked("measurement", quantity="thicknes", measured_in="pixels"))
    assert data.skipped.startswith("no image to evaluate (48 images: thicknes not measured)")
    assert data.skipped.endswith("there is: thickness (did you mean 'thickness'?)")


def test_millimetres_scale_by_the_size_of_a_pixel_where_all_have_one(monkeypatch):
    table = graded().assign(measured=json.dumps({"thickness": {"1": 10.0}}), pixel_mm=0.25)
    store(monkeypatch, table)
    task = asked("measurement", quantity="thickness", measured_in="mm")
    assert set(select_task("nowhere", task).unit_scale) == {0.25}
    table.loc[4, "pixel_mm"] = np.nan
    assert set(select_task("nowhere", task).unit_scale) == {1.0}
