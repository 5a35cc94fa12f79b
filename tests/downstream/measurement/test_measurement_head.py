"""Head and lesion measures against ellipses whose sizes are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ellipe

from ultrafm.downstream.measurement.head import HEAD_MEASURES, ellipse_circumference, head_measure
from ultrafm.downstream.measurement.lesion import area, longest_diameter, perpendicular_diameter
from ultrafm.downstream.measurement.scenes import drawn_ellipse
from ultrafm.errors import UltraFMError

EMPTY = np.zeros((40, 40), dtype=np.uint8)


def heads(mask, spacing=None):
    return [head_measure(mask, name, spacing).value for name in HEAD_MEASURES]


def exact_circumference(longer, shorter):
    return 4 * longer * ellipe(1 - (shorter / longer) ** 2)


@pytest.mark.parametrize(("ratio", "error"), [(1.0, 1e-15), (1.4, 1e-9), (2.0, 1e-9), (5.0, 1e-6), (1000.0, 4.1e-4)])
def test_circumference_formula_against_the_elliptic_integral(ratio, error):
    assert ellipse_circumference(ratio, 1.0) == pytest.approx(exact_circumference(ratio, 1.0), rel=error)


@pytest.mark.parametrize("angle", [0, 30, 90, 137])
def test_head_of_known_size(angle):
    mask = drawn_ellipse((200, 200), (99.3, 101.8), (80, 62), angle)
    around, across, along = heads(mask)
    assert around == pytest.approx(exact_circumference(80, 62), rel=1e-3)
    assert across == pytest.approx(124, abs=0.3) and along == pytest.approx(160, abs=0.3)


def test_units_follow_the_spacing():
    mask = drawn_ellipse((120, 120), (60, 60), (40, 30))
    pixels, millimetres = head_measure(mask), head_measure(mask, spacing=0.25)
    assert (pixels.unit, millimetres.unit) == ("pixels", "mm")
    assert millimetres.value == pytest.approx(pixels.value / 4, rel=1e-6)
    assert area(mask, 0.25).unit == "mm2" and area(mask).unit == "pixels2"
    assert area(mask, 0.25).value == pytest.approx(area(mask).value / 16)


def test_pixels_that_are_not_square():
    """A circle of radius 30 mm, in pixels 0.5 mm high and 1 mm wide, is an upright ellipse of 60 x 30 pixels."""
    mask = drawn_ellipse((140, 80), (40, 70), (30, 60), 0)
    around, across, along = heads(mask, (0.5, 1.0))
    assert around == pytest.approx(2 * np.pi * 30, rel=2e-3)
    assert across == pytest.approx(60, abs=0.4) and along == pytest.approx(60, abs=0.4)
    assert longest_diameter(mask, (0.5, 1.0)).value == pytest.approx(60, abs=1)


def test_moving_and_turning_change_nothing_and_doubling_doubles():
    mask = np.pad(drawn_ellipse((60, 60), (29, 31), (24, 17), 25), 20)
    before = heads(mask)
    assert heads(np.roll(mask, (5, -7), axis=(0, 1))) == pytest.approx(before, rel=1e-6)
    assert heads(np.rot90(mask)) == pytest.approx(before, rel=3e-4)
    assert heads(mask[:, ::-1]) == pytest.approx(before, rel=3e-4)
    assert heads(np.kron(mask, np.ones((2, 2)))) == pytest.approx(2 * np.array(before), rel=2e-3)


@pytest.mark.parametrize("measure", [head_measure, longest_diameter, perpendicular_diameter, area])
@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        (slice(0, 0), slice(0, 0), "the mask is empty"),
        (slice(3, 4), slice(3, 5), "2 pixels, at least 4"),
        (slice(3, 4), slice(2, 30), "a line one pixel wide"),
        (slice(2, 30), slice(3, 4), "a line one pixel wide"),
    ],
)
def test_what_is_no_shape_gets_a_reason_and_no_number(measure, rows, columns, said):
    mask = EMPTY.copy()
    mask[rows, columns] = 1
    found = measure(mask)
    assert found.value is None and said in found.reason and not found.drawn


def test_largest_of_several_pieces_is_taken_and_told():
    mask = drawn_ellipse((100, 100), (50, 50), (30, 20))
    speck = mask.copy()
    speck[2:5, 2:5] = 1
    found = head_measure(speck)
    assert found.value == head_measure(mask).value
    assert len(found.notes) == 1 and "2 pieces, the largest is taken" in found.notes[0]


def test_head_cut_by_the_border_is_fitted_on_what_is_seen_and_flagged():
    whole = drawn_ellipse((160, 160), (80, 80), (60, 45), 0)
    cut = head_measure(whole[:, :110])
    assert cut.notes == ("touches the border of the picture",)
    assert cut.value == pytest.approx(exact_circumference(60, 45), rel=0.01)
    assert head_measure(whole).notes == ()


def test_less_than_half_a_head_gets_no_number():
    whole = drawn_ellipse((160, 160), (80, 80), (60, 45), 0)
    found = head_measure(whole[:, :35])
    assert found.value is None and "of the ellipse lies in the picture" in found.reason


def test_diameters_and_area_of_a_square_and_a_disc():
    square = np.zeros((60, 60), dtype=np.uint8)
    square[10:50, 10:50] = 1
    assert longest_diameter(square).value == pytest.approx(40 * np.sqrt(2), abs=1.5)
    assert perpendicular_diameter(square).value == pytest.approx(40 * np.sqrt(2), abs=1.5)
    assert area(square).value == 1600
    disc = drawn_ellipse((220, 220), (110, 110), (100, 100))
    assert longest_diameter(disc).value == pytest.approx(200, abs=0.9)
    assert perpendicular_diameter(disc).value == pytest.approx(200, abs=0.9)


def test_perpendicular_diameter_goes_over_a_bay():
    """A crescent is as wide as from its back to the line between its horns."""
    crescent = drawn_ellipse((200, 200), (100, 100), (80, 80)) & ~drawn_ellipse((200, 200), (130, 100), (65, 65))
    found = perpendicular_diameter(crescent)
    chord = found.drawn["perpendicular diameter"]
    assert found.value == pytest.approx(np.linalg.norm(chord[1] - chord[0]))
    assert found.value < longest_diameter(crescent).value <= 161.5


def test_hole_counts_for_the_area_only():
    disc = drawn_ellipse((100, 100), (50, 50), (40, 40))
    ring = disc & ~drawn_ellipse((100, 100), (50, 50), (20, 20))
    assert longest_diameter(ring).value == longest_diameter(disc).value
    assert area(ring).value == ring.sum() < area(disc).value


@pytest.mark.parametrize(
    ("mask", "spacing", "found"),
    [
        (np.zeros((2, 4, 4)), None, "shape (2, 4, 4)"),
        (np.full((9, 9), 2), None, "values other than 0 and 1"),
        (np.ones((9, 9)), 0.0, "0.0"),
        (np.ones((9, 9)), (0.1, np.nan), "nan"),
    ],
)
def test_wrong_input_is_an_error(mask, spacing, found):
    with pytest.raises(UltraFMError, match=r"mask of the head|spacing of a mask") as error:
        head_measure(mask, spacing=spacing)
    assert found in str(error.value)


def test_unknown_measure_names_the_nearest():
    with pytest.raises(UltraFMError, match="head_circumference"):
        head_measure(EMPTY, "head_circumferenc")


@pytest.mark.parametrize(("side", "error"), [(16, 0.03), (32, 0.01), (64, 0.004), (256, 0.0005)])
def test_error_of_the_circumference_falls_with_resolution(side, error):
    generator = np.random.default_rng(side)
    for _ in range(10):
        axes, centre = generator.uniform(0.3, 0.45, size=2) * side, side / 2 + generator.uniform(-0.5, 0.5, size=2)
        mask = drawn_ellipse((side + 8, side + 8), tuple(centre + 4), tuple(axes), generator.uniform(0, 180))
        exact = exact_circumference(max(axes), min(axes))
        assert head_measure(mask).value == pytest.approx(exact, rel=error)
