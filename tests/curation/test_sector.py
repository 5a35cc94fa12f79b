"""The scan area is found in rectangles, fans and bare pictures, and text beside it is cut away."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import fan, framed, speckle
from PIL import Image, ImageDraw

from ultrafm.curation.sector import find_scan_area
from ultrafm.geometry import SectorInPixels


def overlap(found, expected: np.ndarray) -> float:
    """Intersection over union of a scan area and the true one (bool)."""
    left, top, right, bottom = found.box
    mask = np.zeros(expected.shape, dtype=bool)
    mask[top:bottom, left:right] = found.inside_at(right - left, bottom - top)
    return (mask & expected).sum() / (mask | expected).sum()


def test_rectangle_in_a_black_frame_is_found_to_the_pixel():
    area = find_scan_area(framed(speckle(0), 20))
    assert area.kind == "rectangle"
    assert area.box == (20, 20, 180, 140)


def test_picture_without_a_border_is_kept_whole():
    area = find_scan_area(speckle(1))
    assert (area.kind, area.box) == ("whole", (0, 0, 160, 120))


def test_black_picture_is_kept_whole():
    assert find_scan_area(np.zeros((50, 70), dtype=np.uint8)).kind == "whole"


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_odd_shapes_do_not_fail(shape):
    area = find_scan_area(np.full(shape, 99, dtype=np.uint8))
    assert area.box[2] - area.box[0] >= 1 and area.box[3] - area.box[1] >= 1


def test_fan_is_found_and_text_is_outside():
    picture, inside = fan(2, text="JOHN DOE 1960-01-01\nGENERAL HOSPITAL")
    area = find_scan_area(picture)
    assert area.kind == "sector"
    assert overlap(area, inside) > 0.95
    left, top, right, bottom = area.box
    mask = np.zeros(picture.shape, dtype=bool)
    mask[top:bottom, left:right] = area.inside_at(right - left, bottom - top)
    assert not (mask & ~inside & (picture > 128)).any()


def test_fan_with_one_side_in_shadow_is_completed_by_the_other():
    picture, inside = fan(3)
    shadowed = picture.copy()
    shadowed[150:, :130] = 0
    area = find_scan_area(shadowed)
    assert area.scan_mode == "convex"
    assert overlap(area, inside) > 0.97


def test_the_geometry_of_a_fan_is_found_to_a_pixel():
    picture, inside = fan(2, text="JOHN DOE 1960-01-01\nGENERAL HOSPITAL")
    area = find_scan_area(picture)
    assert overlap(area, inside) > 0.985
    found = area.geometry
    assert (found.apex_column, found.apex_row) == (pytest.approx(200, abs=1.5), pytest.approx(-60, abs=2))
    assert (found.inner_radius, found.outer_radius) == (pytest.approx(90, abs=1.5), pytest.approx(320, abs=1.5))
    assert (found.left_angle, found.right_angle) == (pytest.approx(-34, abs=0.4), pytest.approx(34, abs=0.4))
    assert area.confidence > 0.8


def made_fan(sector: SectorInPixels, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (height, width) of a sector on black, and where the scan is (bool)."""
    inside = sector.inside(np.arange(width), np.arange(height))
    return np.where(inside, speckle(9, height, width), 0).astype(np.uint8), inside


@pytest.mark.parametrize(
    ("sector", "mode"),
    [
        (SectorInPixels(330.0, -80.0, 120.0, 560.0, -33.0, 33.0), "convex"),
        (SectorInPixels(250.0, -80.0, 120.0, 560.0, -22.0, 36.0), "convex"),  # leaning
        (SectorInPixels(330.0, -150.0, 180.0, 640.0, -33.0, 33.0), "convex"),  # lower arc cut by the picture
        (SectorInPixels(330.0, -220.0, 200.0, 640.0, -33.0, 33.0), "convex"),  # upper arc cut by the picture
        (SectorInPixels(330.0, 30.0, 8.0, 420.0, -40.0, 40.0), "phased sector"),
        (SectorInPixels(330.0, 120.0, 60.0, 340.0, -64.0, 64.0), "convex"),  # endocavity
    ],
)
def test_sectors_of_all_kinds(sector, mode):
    picture, inside = made_fan(sector, 500, 660)
    area = find_scan_area(picture)
    assert (area.kind, area.scan_mode) == ("sector", mode)
    assert overlap(area, inside) > 0.98
    assert area.geometry.left_angle == pytest.approx(sector.left_angle, abs=0.7)
    assert area.geometry.right_angle == pytest.approx(sector.right_angle, abs=0.7)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.6])
def test_the_border_is_right_to_two_pixels_at_any_size(factor):
    sector = SectorInPixels(330.0, -80.0, 120.0, 560.0, -33.0, 33.0).scaled(factor)
    picture, inside = made_fan(sector, round(500 * factor), round(660 * factor))
    area = find_scan_area(picture)
    left, top, right, bottom = area.box
    found = np.zeros(inside.shape, np.uint8)
    found[top:bottom, left:right] = area.inside_at(right - left, bottom - top)
    square = np.ones((5, 5), np.uint8)
    assert not (cv2.erode(inside.astype(np.uint8), square) & ~found).any()
    assert not (found & ~cv2.dilate(inside.astype(np.uint8), square)).any()


def test_a_fan_cut_off_straight_below_ends_there():
    picture, inside = made_fan(SectorInPixels(330.0, -80.0, 120.0, 560.0, -33.0, 33.0), 500, 660)
    picture[400:], inside[400:] = 0, False
    area = find_scan_area(picture)
    assert abs(area.box[3] - 400) <= 1
    assert overlap(area, inside) > 0.98


def test_text_scale_bar_logo_and_ruler_do_not_become_part_of_a_fan():
    sector = SectorInPixels(400.0, -60.0, 140.0, 600.0, -33.0, 33.0)
    picture, inside = made_fan(sector, 600, 800)
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    pen.text((10, 8), "GENERAL HOSPITAL  JOHN DOE  1960-01-01  EX 4711", fill=240)
    pen.text((12, 570), "ABDOMEN  MI 0.9  TIS 0.4", fill=240)
    pen.ellipse([20, 40, 50, 70], outline=255, width=2)
    for row in range(80, 560, 40):
        pen.line([(770, row), (782, row)], fill=255)
    written = np.array(drawn)
    written[120:330, 30:42] = np.linspace(255, 0, 210, dtype=np.uint8)[:, None]  # grey bar
    area = find_scan_area(written)
    assert overlap(area, inside) > 0.985
    left, top, right, bottom = area.box
    mask = np.zeros(written.shape, dtype=bool)
    mask[top:bottom, left:right] = area.inside_at(right - left, bottom - top)
    assert not (mask & ~inside & (written > 200)).any()


def test_text_that_touches_a_rectangle_does_not_widen_it():
    picture = np.zeros((300, 400), dtype=np.uint8)
    picture[:, 60:340] = speckle(6, 300, 280)
    picture[40:70, :60] = speckle(7, 30, 60)  # a block of text or a logo, touching
    area = find_scan_area(picture)
    assert abs(area.box[0] - 60) <= 1 and abs(area.box[2] - 340) <= 1


def test_the_same_picture_gives_the_same_area():
    picture, _inside = fan(4, text="JOHN DOE")
    first, again = find_scan_area(picture), find_scan_area(picture.copy())
    assert (first.box, first.geometry, first.confidence) == (again.box, again.geometry, again.confidence)


def test_the_picture_is_not_changed():
    picture, _inside = fan(5)
    kept = picture.copy()
    picture.setflags(write=False)
    find_scan_area(picture)
    np.testing.assert_array_equal(picture, kept)


def test_the_map_can_be_asked_at_any_size():
    picture, inside = fan(6)
    area = find_scan_area(picture)
    for size in ((1, 1), (17, 300), (area.width, area.height)):
        assert area.inside_at(*size).shape == size[::-1]
    small = area.inside_at(area.width // 4, area.height // 4)
    assert small.mean() == pytest.approx(area.inside_at(area.width, area.height).mean(), abs=0.01)
    assert area.inside_at(area.width, area.height).sum() == pytest.approx(inside.sum(), rel=0.02)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 3), st.integers(0, 2**31))
def test_any_picture_gives_a_box_inside_it(height, width, kind, seed):
    generator = np.random.default_rng(seed)
    picture = generator.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == 1:
        picture[: height // 2] = 0
    elif kind == 2:
        picture = np.where(generator.random((height, width)) < 0.1, picture, 0).astype(np.uint8)
    elif kind == 3:
        picture = np.tril(picture)
    area = find_scan_area(picture)
    left, top, right, bottom = area.box
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert 0 <= area.confidence <= 1
    assert area.inside_at(area.width, area.height).shape == (area.height, area.width)


def test_header_close_above_a_rectangle_is_cut_away():
    picture = np.zeros((260, 300), dtype=np.uint8)
    picture[20:, 10:250] = speckle(4, 240, 240)
    lettered = Image.fromarray(picture)
    ImageDraw.Draw(lettered).text((6, 3), "GENERAL HOSPITAL  JOHN DOE  1960-01-01  EX 4711", fill=230)
    area = find_scan_area(np.asarray(lettered))
    assert area.kind == "rectangle"
    assert 19 <= area.box[1] <= 22, "the header's rows lie above row 17"


def test_scale_and_grey_bar_at_the_side_are_cut_away():
    picture = np.zeros((240, 320), dtype=np.uint8)
    picture[10:230, 60:260] = speckle(5, 220, 200)
    picture[80:160, 10:18] = np.linspace(250, 0, 80, dtype=np.uint8)[:, None]
    picture[20:230:20, 300:308] = 255
    area = find_scan_area(picture)
    assert abs(area.box[0] - 60) <= 2 and abs(area.box[2] - 260) <= 2


def test_muscle_picture_is_cropped_to_its_scan(real_data):
    """Edges read off the original: 111, 60, 689, 520; date, exam number, scales and grey bar lie outside."""
    path = real_data / "muscle_timtrack" / "gl_ge" / "gastroc_jumping_050.jpg"
    area = find_scan_area(np.asarray(Image.open(path).convert("L")))
    assert area.kind == "rectangle"
    assert np.abs(np.subtract(area.box, (111, 60, 689, 520))).max() <= 6


def test_liver_sweep_agrees_with_its_known_geometry(real_data):
    """The sweep's file states its fan: centre of the arc, both radii, half opening angle."""
    told = json.loads((real_data / "liver_sweep" / "geometry.json").read_text())
    paths = sorted((real_data / "liver_sweep").glob("frame_*.png"))
    picture = np.asarray(Image.open(paths[0]).convert("L"))
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across, down = columns - told["arc_centre_px_xy"][0], rows - told["arc_centre_px_xy"][1]
    radius, angle = np.hypot(across, down), np.degrees(np.arctan2(across, down))
    inside = (radius > told["short_radius_px"]) & (radius < told["long_radius_px"])
    inside &= np.abs(angle) < told["half_opening_angle_deg"]
    areas = [find_scan_area(np.asarray(Image.open(path).convert("L"))) for path in paths]
    overlaps = [overlap(area, inside) for area in areas]
    assert min(overlaps) > 0.95 and np.mean(overlaps) > 0.96
    assert {area.scan_mode for area in areas} == {"convex"}
    for area in areas:
        found, outer = area.geometry, told["long_radius_px"]
        apex = np.subtract((found.apex_column, found.apex_row), told["arc_centre_px_xy"])
        assert np.hypot(*apex) / outer < 0.05
        assert found.inner_radius == pytest.approx(told["short_radius_px"], rel=0.05)
        assert found.outer_radius == pytest.approx(outer, rel=0.05)


PHASED = SectorInPixels(160.0, 20.0, 8.0, 220.0, -42.0, 42.0)
CURVED = SectorInPixels(200.0, -60.0, 110.0, 330.0, -32.0, 32.0)


def with_dark_band(sector: SectorInPixels, from_face: float, width: float) -> np.ndarray:
    """Speckle in a sector, with a black band that follows the face at this distance."""
    height, wide = 260, 400
    rows, columns = np.mgrid[:height, :wide]
    radius = np.hypot(columns - sector.apex_column, rows - sector.apex_row)
    band = (radius > sector.inner_radius + from_face) & (radius < sector.inner_radius + from_face + width)
    inside = sector.inside(np.arange(wide), np.arange(height))
    return np.where(inside & ~band, speckle(5, height, wide), 0).astype(np.uint8)


@pytest.mark.parametrize("sector", [PHASED, CURVED], ids=["phased", "curved"])
def test_a_dark_band_below_the_face_is_not_taken_for_its_edge(sector):
    found = find_scan_area(with_dark_band(sector, 8, 6)).geometry
    assert found.inner_radius == pytest.approx(sector.inner_radius, abs=1.0)


@pytest.mark.parametrize("sector", [PHASED, CURVED], ids=["phased", "curved"])
def test_writing_above_a_fan_does_not_move_its_face(sector):
    picture = Image.fromarray(with_dark_band(sector, 0, 0))
    face = sector.apex_row + sector.inner_radius
    ImageDraw.Draw(picture).text((sector.apex_column - 40, face - 16), "4.5M 11cm R", fill=235)
    found = find_scan_area(np.asarray(picture)).geometry
    assert found.inner_radius == pytest.approx(sector.inner_radius, abs=1.5)
