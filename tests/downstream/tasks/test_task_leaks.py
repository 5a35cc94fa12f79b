"""Leaks between the folds of a task, planted one by one."""

from __future__ import annotations

import made_stores
import numpy as np
import pandas as pd
import pytest
from made_stores import store

from ultrafm.curation.likeness import perceptual_hash
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, select_task
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.schema import Task

TASK = Task(name="made", kind="diagnosis", organ="breast", disease="x", positive=("malignant",), negative=("benign",))
ASKED = TaskAtSites(TASK, ("site_01_a",))
FIRST, LAST = 0, 31  # rows of a training and of a test image


def labelled(design: str = FIXED_FOLDS) -> pd.DataFrame:
    table = made_stores.made_rows(16, 2, design)
    return table.assign(label=np.where(np.arange(32) // 2 % 2, "malignant", "benign"))


def planted(column: str, value: str) -> pd.DataFrame:
    table = labelled()
    assert [table["fold"][FIRST], table["fold"][LAST]] == ["train", "test"]
    table.loc[[FIRST, LAST], column] = value
    return table


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("patient", "the patient site_01_a/same in test and train"),
        ("clip", "the clip site_01_a/same in test and train"),
        ("sha256", "the same pixels site_01_a/000 and site_01_a/031 in test and train"),
        ("source_hash", "the same file site_01_a/000 and site_01_a/031 in test and train"),
    ],
)
def test_what_stands_in_two_folds_is_named_and_the_task_skipped(monkeypatch, column, told):
    store(monkeypatch, planted(column, "same"))
    assert select_task("nowhere", ASKED).skipped == f"leak between folds: {told}"


def test_without_a_leak_nothing_is_told(monkeypatch):
    store(monkeypatch, labelled())
    assert select_task("nowhere", ASKED).skipped is None


def test_two_groups_of_a_cross_validation_are_two_places(monkeypatch):
    table = labelled(CROSS_VALIDATION)
    table.loc[[0, 31], "source_hash"] = "same"
    assert table["group"][0] != table["group"][31]
    store(monkeypatch, table)
    assert "the same file site_01_a/000 and site_01_a/031 in evaluation 0 and evaluation" in (
        select_task("nowhere", ASKED).skipped
    )


def test_one_fold_may_hold_a_clip_of_several_images(monkeypatch):
    store(monkeypatch, labelled().assign(clip=lambda rows: "clip of " + rows["patient"]))
    assert select_task("nowhere", ASKED).skipped is None


def test_the_same_name_at_two_sites_is_no_leak_but_the_same_picture_is(monkeypatch):
    second = made_stores.at_site(labelled(), "site_02_b").assign(fold=lambda rows: rows["fold"].to_numpy()[::-1])
    both = pd.concat([labelled(), second], ignore_index=True)
    asked = TaskAtSites(TASK, ("site_01_a", "site_02_b"))
    store(monkeypatch, both)
    assert select_task("nowhere", asked).skipped is None  # patients p000 of both sites are two people
    other = int(np.flatnonzero((both["site"] == "site_02_b") & (both["fold"] == "test"))[0])
    both.loc[other, "sha256"] = both.loc[FIRST, "sha256"]
    store(monkeypatch, both)
    assert select_task("nowhere", asked).skipped.startswith("leak between folds: the same pixels site_01_a/000 and ")


def test_an_image_that_is_left_out_leaks_nothing(monkeypatch):
    table = planted("source_hash", "same")
    table.loc[LAST, "label"] = "normal"
    store(monkeypatch, table)
    data = select_task("nowhere", ASKED)
    assert data.skipped is None and sum(data.left_out.values()) == 1


def test_another_rendering_of_one_scan_is_found_by_its_texture(monkeypatch):
    generator = np.random.default_rng(0)
    images = generator.integers(20, 220, size=(32, 64, 64)).astype(np.uint8)
    images[LAST] = np.clip(images[FIRST] * 0.8 + 20, 0, 255).astype(np.uint8)
    sector = np.ones((64, 64), dtype=bool)
    hashes = [f"{perceptual_hash(image, sector):016x}" for image in images]
    store(monkeypatch, labelled().assign(perceptual_hash=hashes), images=images)
    assert select_task("nowhere", ASKED).skipped == (
        "leak between folds: nearly the same picture site_01_a/000 in train and site_01_a/031 in test"
    )
    images[LAST] = generator.integers(20, 220, size=(64, 64))  # a close hash alone is no likeness
    store(monkeypatch, labelled().assign(perceptual_hash=hashes), images=images)
    assert select_task("nowhere", ASKED).skipped is None


def test_many_leaks_are_counted(monkeypatch):
    table = labelled()
    table["source_hash"] = np.arange(32) % 8
    store(monkeypatch, table.assign(source_hash=lambda rows: rows["source_hash"].astype(str)))
    assert select_task("nowhere", ASKED).skipped.endswith(", and 5 more")
