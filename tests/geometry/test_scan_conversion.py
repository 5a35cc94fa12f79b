"""Scan conversion keeps up up and left left, and comes back to where it started."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json
from ultrafm.geometry import CurvedGeometry, LinearGeometry, Placement, fit, to_beams, to_picture
from ultrafm.geometry.conversion import picture_coordinates

SHAPES = {
    "linear": LinearGeometry(40, 30),
    "convex": CurvedGeometry(50, 32, 150),
    "phased": CurvedGeometry(2, 45, 160),
    "endocavity": CurvedGeometry(10, 70, 60),
    "round": CurvedGeometry(6, 150, 40),
}


def smooth_beams(samples=96, lines=64):
    depth, line = np.linspace(0, 1, samples)[:, None], np.linspace(0, 1, lines)[None, :]
    return (100 + 60 * np.sin(5 * depth + 1) * np.cos(4 * line)).astype(np.float32)


@pytest.mark.parametrize("name", SHAPES)
def test_the_middle_column_goes_from_skin_to_depth(name):
    depth = np.repeat(np.arange(100, dtype=np.float32)[:, None], 33, axis=1)
    picture, inside = to_picture(depth, SHAPES[name], 201, 241)
    column = picture[inside[:, 120], 120]
    assert column[0] < 3 and column[-1] > 96
    if name != "round":  # the round scan also looks up, behind the probe
        assert (np.diff(column) >= 0).all()


@pytest.mark.parametrize("name", SHAPES)
def test_left_stays_left(name):
    line = np.repeat(np.arange(65, dtype=np.float32)[None, :], 90, axis=0)
    picture, inside = to_picture(line, SHAPES[name], 201, 241)
    assert picture[:, :119][inside[:, :119]].max() <= 32
    assert picture[:, 122:][inside[:, 122:]].min() >= 32
    assert picture[~inside].max() == 0


@pytest.mark.parametrize("name", SHAPES)
def test_beams_to_picture_to_beams_returns(name):
    beams = smooth_beams()
    picture, _inside = to_picture(beams, SHAPES[name], 401, 401)
    back = to_beams(picture, SHAPES[name], 64, 96)
    # the outermost beams and the first samples border on black pixels, and near the probe beams are closer than pixels
    difference = np.abs(back - beams)[8:-3, 3:-3]
    assert np.median(difference) < 0.1
    assert difference.max() < 2.5


def test_a_point_lands_where_trigonometry_says():
    beams = np.zeros((151, 61), np.float32)
    beams[100, 50] = 1  # 100 mm deep, 20 degrees right of the middle
    shape = CurvedGeometry(50, 30, 150)
    picture, _inside = to_picture(beams, shape, 300, 400, placement=Placement(1, 200, 60))
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert column == pytest.approx(200 + 150 * math.sin(math.radians(20)), abs=1)
    assert row == pytest.approx(60 + 150 * math.cos(math.radians(20)) - 50, abs=1)


def test_linear_pixels_are_square_and_centred():
    _picture, inside = to_picture(np.ones((50, 50)), LinearGeometry(40, 20), 100, 100)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (25, 74, 0, 99)


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 100), st.floats(5, 175), st.floats(10, 200), st.integers(20, 200), st.integers(20, 200))
def test_fit_shows_all_of_the_scan_and_wastes_nothing(radius, angle, depth, height, width):
    shape = CurvedGeometry(radius, angle, depth)
    place = fit(shape, height, width)
    line = np.linspace(0, 1, 181)
    for share in (0.0, 0.5, 1.0):
        x, y = shape.to_mm(np.full_like(line, share), line)
        columns = x / place.mm_per_pixel + place.origin_column
        rows = y / place.mm_per_pixel + place.origin_row
        assert columns.min() >= -0.5 - 1e-6 and columns.max() <= width - 0.5 + 1e-6
        assert rows.min() >= -0.5 - 1e-6 and rows.max() <= height - 0.5 + 1e-6
    left, top, right, bottom = shape.bounds_mm()
    filled = max((right - left) / width, (bottom - top) / height) / place.mm_per_pixel
    assert filled == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 100), st.floats(5, 175), st.floats(10, 200))
def test_units_and_millimetres_are_inverse(radius, angle, depth):
    shape = CurvedGeometry(radius, angle, depth)
    share, line = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0.01, 0.99, 7), indexing="ij")
    again_share, again_line = shape.to_unit(*shape.to_mm(share, line))
    np.testing.assert_allclose(again_share, share, atol=1e-9)
    np.testing.assert_allclose(again_line, line, atol=1e-9)


def test_coordinates_are_kept_and_cannot_be_spoilt():
    first, inside = picture_coordinates(SHAPES["convex"], 50, 60, 32, 40)
    again, _inside = picture_coordinates(CurvedGeometry(50, 32, 150), 50, 60, 32, 40)
    assert again is first
    with pytest.raises(ValueError):
        inside[0, 0] = True


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 4, 5)])
def test_data_that_is_no_plane_is_refused(shape):
    with pytest.raises(UltraFMError, match="two dimensions"):
        to_picture(np.zeros(shape), SHAPES["linear"], 20, 20)
    with pytest.raises(UltraFMError, match="two dimensions"):
        to_beams(np.zeros(shape), SHAPES["linear"], 20, 20)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearGeometry(0, 10),
        lambda: CurvedGeometry(5, 0, 10),
        lambda: CurvedGeometry(5, 200, 10),
        lambda: LinearGeometry(10, math.nan),
    ],
)
def test_impossible_shapes_are_refused(make):
    with pytest.raises(UltraFMError, match="Geometry"):
        make()


def test_predicts_the_sector_of_a_real_convex_probe(real_data):
    folder = real_data / "liver_sweep"
    told = read_json(folder / "geometry.json")
    inner, outer = told["short_radius_px"], told["long_radius_px"]
    shape = CurvedGeometry(inner, told["half_opening_angle_deg"], outer - inner)  # one pixel counts as 1 mm
    column, row = told["offset_px_xy"]
    frames = [np.asarray(Image.open(path).convert("L")) for path in sorted(folder.glob("frame_*.png"))]
    height, width = frames[0].shape
    _coordinates, inside = picture_coordinates(shape, height, width, 64, 64, Placement(1.0, column, row))
    lit = np.max(frames, axis=0) > 0
    assert len(frames) == 20
    assert (inside & lit).sum() / (inside | lit).sum() > 0.9
