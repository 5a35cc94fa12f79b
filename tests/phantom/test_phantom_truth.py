"""Geometry and masks agree to the pixel with cases that can be computed by hand; side lobes where the formula says."""

from dataclasses import replace

import numpy as np
import pytest
from phantom_makers import make_device, make_manifest, make_source

from ultrafm.geometry import fit
from ultrafm.phantom.acoustics import SIDE_LOBE_DB, SIDE_LOBE_WIDTHS, beam_of, blur_across, lateral_width_mm
from ultrafm.phantom.grid import STILL, geometry_of, line_spacing_mm
from ultrafm.phantom.patients import draw_patient, take_photo
from ultrafm.phantom.tone import scan_area

HEIGHT, WIDTH = 256, 320


def pixels_mm(device):
    """Millimetres right and down from where the middle of the probe touches the skin, at each pixel."""
    place = fit(geometry_of(device), HEIGHT, WIDTH)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = ((axis - origin) * place.mm_per_pixel for axis, origin in
            ((columns, place.origin_column), (rows, place.origin_row)))  # fmt: skip
    return x, y, place.mm_per_pixel


@pytest.mark.parametrize("scan_mode", ["linear", "convex", "phased sector", "endocavity"])
def test_a_round_lesion_is_a_disc_to_the_pixel(scan_mode):
    device = make_device(scan_mode, picture_width=WIDTH, picture_height=HEIGHT)
    source = make_source({"benign": 1.0}, device, images=1)
    manifest = make_manifest(source)
    person = draw_patient(manifest, source, 0, 1)
    disc = replace(person.lesion, x=0.05, y=0.5, diameter=0.3, aspect=1.0, turn=0.0, outline=np.ones(257, np.float32))
    mask = take_photo(manifest, source, 0, replace(person, lesion=disc, views=(STILL,)), 0).mask
    x, y, mm_per_pixel = pixels_mm(device)
    from_rim = np.hypot(x - 0.05 * device.depth_mm, y - 0.5 * device.depth_mm) - 0.15 * device.depth_mm
    wrong = mask != (from_rim < 0)
    beam = float(line_spacing_mm(geometry_of(device), np.array([0.65 * device.depth_mm]))[0])
    assert np.abs(from_rim[wrong]).max(initial=0) <= max(mm_per_pixel, 0.5 * beam)  # a mask is drawn on beams
    assert mask.sum() == pytest.approx(np.pi * (0.15 * device.depth_mm / mm_per_pixel) ** 2, rel=0.02)


@pytest.mark.parametrize("scan_mode", ["linear", "convex", "phased sector", "endocavity"])
def test_the_scan_fills_the_sector_that_the_device_states(scan_mode):
    device = make_device(scan_mode, picture_width=WIDTH, picture_height=HEIGHT)
    x, y, mm_per_pixel = pixels_mm(device)
    if scan_mode == "linear":
        outside = np.maximum(np.abs(x) - device.width_mm / 2, np.maximum(-y, y - device.depth_mm))
    else:
        radius = np.hypot(x, y + device.radius_mm)
        angle = np.abs(np.arctan2(x, y + device.radius_mm)) - np.radians(device.half_angle_degrees)
        outside = np.maximum(np.maximum(device.radius_mm - radius, radius - device.radius_mm - device.depth_mm),
                             angle * radius)  # fmt: skip
    inside = scan_area(geometry_of(device), HEIGHT, WIDTH)
    wrong = inside != (outside <= 0)
    assert np.abs(outside[wrong]).max(initial=0) <= 0.51 * mm_per_pixel


def test_a_point_has_its_side_lobes_where_and_as_strong_as_stated():
    device = make_device("linear", frequency_mhz=4, depth_mm=80, focus_mm=40)
    geometry, beam, lines = geometry_of(device), beam_of(device), 128
    field = np.zeros((201, lines), np.complex64)
    field[100, 64] = 1
    profile = np.abs(blur_across(field, beam, geometry)[100])
    spacing = float(line_spacing_mm(geometry, np.array([40.0]), lines)[0])
    aside = SIDE_LOBE_WIDTHS * float(lateral_width_mm(beam, np.array([40.0]))[0]) / spacing
    away = np.arange(lines) - 64
    for side in (-1, 1):
        far = np.flatnonzero((side * away > 0.9 * aside) & (side * away < 1.4 * aside))
        peak = far[profile[far].argmax()]
        assert abs(side * away[peak] - aside) <= 1.5
        level = 20 * np.log10(profile[peak] / profile[64])
        assert level == pytest.approx(SIDE_LOBE_DB, abs=4)  # the main lobe adds its tail
