"""Measurements from outlines: head, lesion, and the angle of progression, in the task's unit."""

from __future__ import annotations

import json

import made_stores
import numpy as np
import pytest
from made_stores import store

from ultrafm.downstream.tasks import FIXED_FOLDS, select_task
from ultrafm.downstream.tasks.from_masks import measure_masks
from ultrafm.manifests import TaskAtSites
from ultrafm.manifests.question import FROM_MASKS
from ultrafm.manifests.schema import Task

SIDE = 64


def asked(measure: str, unit: str, *structures: str) -> TaskAtSites:
    fields = {"quantity": "size", "measured_in": unit, "from_masks": measure, "structures": structures}
    return TaskAtSites(Task(name="made", kind="measurement", organ="fetus", **fields), ("site_01_a",))


def discs(radii: np.ndarray) -> np.ndarray:
    """(N, S, S) a disc of each radius in pixels in the middle of each image; none of radius 0."""
    down, across = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return (np.hypot(down, across) <= radii[:, None, None]).astype(np.uint8) * (radii > 0)[:, None, None]


def rows(**columns: object):
    """Rows of 16 patients whose pictures of 256 pixels were curated to 64."""
    table = made_stores.made_rows(16, 2, FIXED_FOLDS)
    return table.assign(organ="fetus", crop=[[0, 0, 256, 200]] * 32, **columns)


def stored(monkeypatch: pytest.MonkeyPatch, table, masks: dict[str, np.ndarray]) -> None:
    images = np.random.default_rng(0).integers(0, 255, (32, SIDE, SIDE)).astype(np.uint8)
    structures = json.dumps({name: [] for name in masks})
    store(monkeypatch, table.assign(structures=structures), masks, images=images)


def test_a_circumference_is_told_in_pixels_of_the_original_and_in_millimetres(monkeypatch):
    radii = np.linspace(10, 25, 32)
    table = rows(pixel_mm=np.linspace(0.5, 1.5, 32))
    stored(monkeypatch, table, {"head": discs(radii)})
    pixels = select_task("nowhere", asked("head_circumference", "pixels", "head"))
    assert pixels.skipped is None and pixels.left_out == {} and set(pixels.unit_scale) == {4.0}
    np.testing.assert_allclose(pixels.truth, 2 * np.pi * radii * 4, rtol=0.03)
    millimetres = select_task("nowhere", asked("head_circumference", "mm", "head"))
    np.testing.assert_allclose(millimetres.truth, 2 * np.pi * radii * table["pixel_mm"], rtol=0.03)
    np.testing.assert_allclose(millimetres.truth / millimetres.unit_scale, pixels.truth / pixels.unit_scale)
    assert millimetres.masks.shape == (32, SIDE, SIDE) and millimetres.observers is None


def test_images_without_outline_size_of_a_pixel_or_number_are_left_out_and_counted(monkeypatch):
    radii = np.full(32, 12.0)
    radii[0] = 0
    masks = discs(radii)
    masks[1] = 0
    masks[1, 5, 5:20] = 1  # a line encloses nothing
    table = rows()
    table.loc[2, "pixel_mm"] = np.nan
    stored(monkeypatch, table, {"lesion": masks})
    data = select_task("nowhere", asked("longest_diameter", "mm", "lesion"))
    assert data.left_out == {
        "lesion not outlined or not in the image": 1,
        "size of a pixel not known": 1,
        "size cannot be taken from the outlines": 1,
    }
    assert len(data.truth) == 29 and np.isfinite(data.truth).all()


def test_an_angle_of_two_structures_does_not_change_with_the_size_of_the_picture(monkeypatch):
    symphysis, head = np.zeros((32, SIDE, SIDE), dtype=np.uint8), np.zeros((32, SIDE, SIDE), dtype=np.uint8)
    symphysis[:, 12:17, 8:26] = 1
    down, across = np.mgrid[:SIDE, :SIDE]
    head[:, np.hypot(down - 42, across - 40) <= 14] = 1
    stored(monkeypatch, rows(), {"symphysis": symphysis, "head": head})
    data = select_task("nowhere", asked("angle_of_progression", "degrees", "symphysis", "head"))
    assert data.skipped is None and set(data.unit_scale) == {1.0}
    assert np.unique(data.truth).size == 1 and 60 < data.truth[0] < 180
    assert np.unique(data.masks).tolist() == [0, 1, 2]


@pytest.mark.parametrize("measure", FROM_MASKS)
def test_every_measure_that_a_manifest_may_name_gives_a_number(measure):
    mask = np.zeros((1, SIDE, SIDE), dtype=np.uint8)
    mask[0, 10:15, 8:40], mask[0, 40:45, 8:40] = 1, FROM_MASKS[measure].structures
    (value,) = measure_masks(mask, measure)
    assert value > 0
    assert np.isnan(measure_masks(np.zeros_like(mask), measure)).all()
