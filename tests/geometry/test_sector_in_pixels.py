"""A sector in pixels: its map agrees with trigonometry, and it follows crops, resizes and mirror images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.geometry import SectorInPixels

FAN = SectorInPixels(200.0, -60.0, 90.0, 320.0, -34.0, 30.0)


def by_trigonometry(sector: SectorInPixels, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width].astype(float)
    radius = np.hypot(columns - sector.apex_column, rows - sector.apex_row)
    angle = np.degrees(np.arctan2(columns - sector.apex_column, rows - sector.apex_row))
    return (
        (radius >= sector.inner_radius)
        & (radius <= sector.outer_radius)
        & (angle >= sector.left_angle)
        & (angle <= sector.right_angle)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-20, 140), st.floats(-120, 60), st.floats(0, 80), st.floats(20, 200), st.floats(-170, 20),
    st.floats(5, 150),
)  # fmt: skip
def test_inside_agrees_with_trigonometry(column, row, inner, depth, left, opening):
    sector = SectorInPixels(column, row, inner, inner + depth, left, min(left + opening, 180))
    found = sector.inside(np.arange(120), np.arange(90))
    smaller = SectorInPixels(column, row, inner + 0.01, inner + depth - 0.01, left + 0.01, sector.right_angle - 0.01)
    right = min(180, sector.right_angle + 0.01)
    larger = SectorInPixels(column, row, max(0, inner - 0.01), inner + depth + 0.01, left - 0.01, right)
    assert not (by_trigonometry(smaller, 90, 120) & ~found).any()
    outside = found & ~by_trigonometry(larger, 90, 120)
    assert outside.sum() <= 1, "only the apex itself, which has no angle, may differ"


def test_points_by_hand():
    columns, rows = FAN.to_pixels(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert columns[0] == pytest.approx(200 - 90 * math.sin(math.radians(34)))
    assert rows[0] == pytest.approx(-60 + 90 * math.cos(math.radians(34)))
    assert columns[1] == pytest.approx(200 + 320 * 0.5)
    assert rows[1] == pytest.approx(-60 + 320 * math.sqrt(3) / 2)
    depth, line = FAN.to_unit(np.array([200.0]), np.array([30.0]))  # 90 pixels straight below the apex
    assert depth[0] == pytest.approx(0)
    assert line[0] == pytest.approx(34 / 64)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_units_and_pixels_are_inverse(depth, line):
    again = FAN.to_unit(*FAN.to_pixels(np.array([depth]), np.array([line])))
    np.testing.assert_allclose(np.ravel(again), [depth, line], atol=1e-9)


def test_a_crop_moves_it():
    whole = FAN.inside(np.arange(400), np.arange(300))
    crop = FAN.moved(35, 20).inside(np.arange(300), np.arange(250))
    np.testing.assert_array_equal(crop, whole[20:270, 35:335])


def test_resizing_scales_it():
    large = FAN.scaled(2.0)
    assert (large.inner_radius, large.outer_radius) == (180, 640)
    coarse = FAN.inside(np.arange(400), np.arange(300))
    fine = large.inside(np.arange(800), np.arange(600))
    assert (fine[::2, ::2] == coarse).mean() > 0.99
    assert fine.sum() == pytest.approx(4 * coarse.sum(), rel=0.01)


def test_a_mirror_image_exchanges_the_sides():
    mirrored = FAN.mirrored(400)
    assert (mirrored.left_angle, mirrored.right_angle) == (-30, 34)
    whole = FAN.inside(np.arange(400), np.arange(300))
    np.testing.assert_array_equal(mirrored.inside(np.arange(400), np.arange(300)), whole[:, ::-1])


def test_nothing_is_inside_above_a_fan_or_beside_the_picture():
    assert not FAN.inside(np.arange(400), np.arange(-200, -61)).any()
    assert not FAN.inside(np.arange(5000, 5010), np.arange(300)).any()
    assert FAN.inside(np.arange(0), np.arange(3)).shape == (3, 0)


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 0, 5, 5, -10, 10),
        (0, 0, -1, 5, -10, 10),
        (0, 0, 1, math.nan, -10, 10),
        (math.inf, 0, 1, 5, -10, 10),
        (0, 0, 1, 5, 10, 10),
        (0, 0, 1, 5, -190, 10),
    ],
)
def test_impossible_sectors_are_refused(numbers):
    with pytest.raises(UltraFMError, match="SectorInPixels"):
        SectorInPixels(*numbers)
