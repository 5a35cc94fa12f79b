"""Ultrasound regions of a DICOM header: what is kept of a picture, how large its pixels are; overlays are left out."""

from __future__ import annotations

import numpy as np
import pytest
from made_archives import speckle
from made_dicom import PLAIN, made_dataset, made_region, save_dicom

from ultrafm.curation.reading.media import read_frames


def only(path):
    return read_frames(path, [0])[0]


def test_regions_of_different_size_of_a_pixel_the_largest_counts(tmp_path):
    made = made_dataset(speckle(1))
    small, large = made_region(100, 0, 159, 50, centimetres=0.03), made_region(0, 0, 99, 119, centimetres=0.02)
    for regions in ([small, large], [large, small]):
        made.SequenceOfUltrasoundRegions = regions
        found = only(save_dicom(made, tmp_path / "a.dcm"))
        assert found.spacing_mm == pytest.approx((0.2, 0.2))
    twin = made_region(100, 0, 199, 119, centimetres=0.03)
    made.SequenceOfUltrasoundRegions = [large, twin]  # only 60 of its 100 columns lie in the picture
    assert only(save_dicom(made, tmp_path / "b.dcm")).spacing_mm == pytest.approx((0.2, 0.2))
    made.SequenceOfUltrasoundRegions = [made_region(0, 0, 79, 119), made_region(80, 0, 159, 119, centimetres=0.03)]
    assert only(save_dicom(made, tmp_path / "c.dcm")).spacing_mm is None, "equally large, and they differ"
    large.PhysicalUnitsYDirection = 4
    made.SequenceOfUltrasoundRegions = [small, large]
    assert only(save_dicom(made, tmp_path / "d.dcm")).spacing_mm is None, "seconds are no millimetres"


def test_pixels_need_not_be_square(tmp_path):
    made = made_dataset(speckle(1))
    region = made_region(0, 0, 159, 119)
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.03, -0.01  # depth may run upwards
    made.SequenceOfUltrasoundRegions = [region]
    assert only(save_dicom(made, tmp_path / "a.dcm")).spacing_mm == pytest.approx((0.1, 0.3))


def test_traces_are_kept_only_where_there_is_no_picture_in_two_dimensions(tmp_path):
    made = made_dataset(speckle(1))
    made.SequenceOfUltrasoundRegions = [made_region(0, 60, 159, 119, kind=3)]
    found = only(save_dicom(made, tmp_path / "a.dcm"))
    assert not found.grey[:60].any() and (found.grey[60:] == speckle(1)[60:]).all()


def test_colour_outside_the_regions_is_no_colour_of_the_picture(tmp_path):
    picture = np.repeat(speckle(1)[:, :, None], 3, axis=2)
    picture[:30] = [255, 200, 0]
    made = made_dataset(picture, "RGB")
    made.SequenceOfUltrasoundRegions = [made_region(0, 30, 159, 119)]
    found = only(save_dicom(made, tmp_path / "a.dcm"))
    assert not found.colour and found.rgb is None and not found.grey[:30].any()
    picture[40:80, 40:80] = [200, 30, 30]
    made.PixelData = picture.tobytes()
    found = only(save_dicom(made, tmp_path / "b.dcm"))
    assert found.colour and not found.rgb[:30].any() and (found.rgb[30:] == picture[30:]).all()


def test_overlay_planes_are_not_burnt_in(tmp_path):
    made = made_dataset(speckle(1))
    made.add_new(0x60000010, "US", 120)
    made.add_new(0x60000011, "US", 160)
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60003000, "OW", np.full(120 * 160 // 8, 255, np.uint8).tobytes())
    np.testing.assert_array_equal(only(save_dicom(made, tmp_path / "a.dcm")).grey, speckle(1))


@pytest.mark.parametrize("syntax", PLAIN, ids=["implicit", "explicit", "big-endian"])
def test_overlays_in_unused_bits_of_the_pixels_are_not_burnt_in(tmp_path, syntax):
    """A retired way of writing: BitsStored 12, and the overlay in bit 12 to 15."""
    values = speckle(1).astype(np.uint16) * 16
    drawn = values.copy()
    drawn[40:80, 40:80] |= 0xF000
    found = only(save_dicom(made_dataset(drawn, bits=12), tmp_path / "a.dcm", syntax))
    np.testing.assert_array_equal(found.grey, np.round(values * (255 / 4095)))
