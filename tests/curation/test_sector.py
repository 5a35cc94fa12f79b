"""The scan area is found in rectangles, fans and bare pictures, and text beside it is cut away."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_archives import fan, framed, speckle
from PIL import Image, ImageDraw

from ultrafm.curation.sector import find_scan_area


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
    assert overlap(find_scan_area(shadowed), inside) > 0.93


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
    overlaps = [overlap(find_scan_area(np.asarray(Image.open(path).convert("L"))), inside) for path in paths]
    assert min(overlaps) > 0.93 and np.mean(overlaps) > 0.95
