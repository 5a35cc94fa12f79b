"""Thickness between aponeuroses in masks, and thickness and fascicle angle in drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest

from ultrafm.downstream.measurement.muscle import MUSCLE_MEASURES, measure_muscle
from ultrafm.downstream.measurement.scenes import accuracy_table, drawn_muscle
from ultrafm.downstream.measurement.thickness import muscle_thickness
from ultrafm.errors import UltraFMError


def band(shape, height, angle, width=7, reach=1.0):
    """A straight band: `height` is its middle in the middle column, `angle` in degrees rises to the right."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = columns - (shape[1] - 1) / 2, height - rows
    across = y * np.cos(np.radians(angle)) - x * np.sin(np.radians(angle))
    return ((np.abs(across) < width / 2) & (np.abs(x) < reach * shape[1] / 2)).astype(np.uint8)


@pytest.mark.parametrize("angle", [0, 12, -25])
def test_parallel_aponeuroses(angle):
    shape, turn = (300, 240), np.cos(np.radians(angle))
    upper, lower = band(shape, 90, angle), band(shape, 90 + 100 / turn, angle)
    found = muscle_thickness(upper, lower)
    assert found.value == pytest.approx(93, abs=0.5) and found.unit == "pixels"
    assert muscle_thickness(upper, lower, 0.1).value == pytest.approx(9.3, abs=0.05)
    assert muscle_thickness(upper, lower, 0.1).unit == "mm"


def test_mean_of_a_wedge_is_the_middle():
    upper, lower = band((300, 240), 80, 6), band((300, 240), 200, -6)
    assert muscle_thickness(upper, lower).value == pytest.approx(120 - 7 / np.cos(np.radians(6)), abs=0.6)


def test_turning_the_picture_changes_nothing():
    upper, lower = band((240, 240), 80, 10), band((240, 240), 170, 10)
    assert muscle_thickness(upper[:, ::-1], lower[:, ::-1]).value == pytest.approx(
        muscle_thickness(upper, lower).value, abs=0.05
    )


def test_pixels_that_are_not_square():
    upper, lower = band((200, 200), 60, 0), band((200, 200), 140, 0)
    assert muscle_thickness(upper, lower, (0.5, 0.1)).value == pytest.approx(36.5, abs=0.05)


@pytest.mark.parametrize(
    ("upper", "lower", "said"),
    [
        (np.zeros((200, 200)), band((200, 200), 140, 0), "superficial aponeurosis: the mask is empty"),
        (band((200, 200), 60, 0), np.zeros((200, 200)), "deep aponeurosis: the mask is empty"),
        (band((200, 200), 140, 0), band((200, 200), 60, 0), "the deep one is above"),
        (band((200, 200), 100, 20), band((200, 200), 110, -20), "cross or touch"),
        (
            np.pad(band((200, 80), 60, 0), ((0, 0), (0, 120))), np.pad(band((200, 80), 140, 0), ((0, 0), (120, 0))),
            "side by side",
        ),
    ],
)  # fmt: skip
def test_no_thickness_but_a_reason(upper, lower, said):
    found = muscle_thickness(upper, lower)
    assert found.value is None and said in found.reason


def test_masks_of_two_pictures_are_an_error():
    with pytest.raises(UltraFMError, match="masks of the same picture"):
        muscle_thickness(np.zeros((9, 9)), np.zeros((9, 8)))


@pytest.mark.parametrize(("fascicles", "aponeurosis"), [(12.0, -5.0), (25.0, 0.0), (-18.0, 3.0), (20.0, 6.0)])
def test_drawn_muscle(fascicles, aponeurosis):
    picture = drawn_muscle((300, 360), 150, fascicles, aponeurosis, np.random.default_rng(1))
    found = {name: one.value for name, one in measure_muscle(picture).items()}
    assert found["muscle_thickness"] == pytest.approx(150, abs=4)
    assert found["fascicle_angle"] == pytest.approx(fascicles, abs=0.7)
    assert found["aponeurosis_angle"] == pytest.approx(aponeurosis, abs=0.5)


def test_mirrored_picture_has_mirrored_angles():
    picture = drawn_muscle((240, 300), 110, 22, -4, np.random.default_rng(2))
    found, mirrored = measure_muscle(picture), measure_muscle(picture[:, ::-1])
    assert mirrored["fascicle_angle"].value == pytest.approx(-found["fascicle_angle"].value, abs=0.3)
    assert mirrored["aponeurosis_angle"].value == pytest.approx(-found["aponeurosis_angle"].value, abs=0.51)
    assert mirrored["muscle_thickness"].value == pytest.approx(found["muscle_thickness"].value, abs=1.5)


def test_brightness_does_not_matter():
    picture = drawn_muscle((240, 300), 110, 22, -4, np.random.default_rng(2)).astype(float)
    found, dim = measure_muscle(picture), measure_muscle(picture / 3)
    assert dim["fascicle_angle"].value == pytest.approx(found["fascicle_angle"].value, abs=0.3)
    assert dim["muscle_thickness"].value == pytest.approx(found["muscle_thickness"].value, abs=0.5)


@pytest.mark.parametrize("picture", [np.zeros((100, 100)), np.full((100, 100), 200), np.zeros((20, 100))])
def test_pictures_of_nothing_get_reasons(picture):
    found = measure_muscle(picture)
    assert set(found) == set(MUSCLE_MEASURES)
    assert all(one.value is None and one.reason for one in found.values())


def test_noise_between_bands_has_no_direction():
    generator = np.random.default_rng(3)
    picture = generator.integers(0, 80, size=(240, 300)) + 170 * (band((240, 300), 50, 0) | band((240, 300), 180, 0))
    found = measure_muscle(picture)
    assert found["fascicle_angle"].value is None and "stands out" in found["fascicle_angle"].reason
    assert found["muscle_thickness"].value == pytest.approx(123, abs=4)


def test_a_stack_of_pictures_is_an_error():
    with pytest.raises(UltraFMError, match="one grey picture"):
        measure_muscle(np.zeros((2, 90, 90)))


def test_accuracy_table_shows_what_resolution_costs():
    table = accuracy_table((64, 192), np.random.default_rng(0), draws=4)
    errors = table.pivot(index="measure", columns="side", values="mean_error")
    assert len(errors) == 5 and (errors[192] < errors[64]).all()
    assert errors.loc["head circumference", 192] < 0.1 and errors.loc["angle of progression", 192] < 1
