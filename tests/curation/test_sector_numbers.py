"""The sector's numbers in the store say where the scan lies in the curated picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_archives import fan, framed, speckle

from ultrafm.curation.fitting import fitted_size
from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.prepare import Job, Settings, prepare_frame
from ultrafm.curation.reading.decode import Decoded
from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.store import decode_png
from ultrafm.geometry import SectorInPixels
from ultrafm.manifests import load_sites
from ultrafm.phantom.patients import draw_patient, take_photo

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
KERNEL = np.ones((3, 3), np.uint8)


def prepared(decoded: Decoded, side: int):
    """The picture as curation prepares it, with the text left in."""
    settings = Settings(Path(), side, 1, {}, False, False, Pseudonyms("site", b"k"))
    return prepare_frame(settings, Job("", "", "", ""), decoded, {})


def overlap_of(numbers, picture, side: int) -> tuple[int, float]:
    """How the sector of `numbers` fits the curated `sector` picture: pixels off by more than a rim, and shared area."""
    left, top, right, bottom = picture.facts["crop"]
    found = decode_png(picture.sector) > 0
    told = SectorInPixels(*numbers).inside(np.arange(side), np.arange(side))
    width, height = fitted_size(right - left, bottom - top, side)
    first_row, first_column = (side - height) // 2, (side - width) // 2
    shown = np.zeros_like(told)
    shown[first_row : first_row + height, first_column : first_column + width] = True
    told &= shown
    wider, narrower = (change(told.view(np.uint8), KERNEL).view(bool) for change in (cv2.dilate, cv2.erode))
    return int((found & ~wider).sum() + (narrower & ~found).sum()), (found & told).sum() / (found | told).sum()


def agrees(picture, side: int) -> bool:
    """Is the sector of the numbers the curated one, but for a pixel's rim?"""
    off, shared = overlap_of(picture.facts["sector_geometry"], picture, side)
    return off == 0 and shared > 1 - 2.5 / side


@pytest.mark.parametrize("side", [63, 64, 224, 400])
@pytest.mark.parametrize("width", [400, 300])  # whole, and cut at both sides
def test_of_a_made_fan(side, width):
    picture = np.ascontiguousarray(fan(2)[0][:, (400 - width) // 2 : (400 + width) // 2])
    assert agrees(prepared(Decoded(picture, False), side), side)


@pytest.mark.parametrize("site", ["site_07_jade_liver", "site_10_lavender_heart", "site_14_prairie_endocavity"])
def test_of_a_simulated_picture(site):
    manifest = next(one for one in load_sites(MANIFESTS) if one.site == site)
    source = manifest.sources.phantom
    photo = take_photo(manifest, source, 0, draw_patient(manifest, source, 0, 1), 0)
    assert agrees(prepared(Decoded(np.asarray(photo.image.convert("L")), False), 64), 64)


def test_of_real_pictures(real_data):
    files = sorted((real_data / "liver_sweep").glob("frame_*.png"))
    assert files
    assert all(agrees(prepared(read_frames(path, [0])[0], 224), 224) for path in files[::5])


def test_a_sector_that_is_two_pixels_off_is_told_from_the_right_one():
    picture = prepared(Decoded(np.ascontiguousarray(fan(2)[0]), False), 224)
    right = picture.facts["sector_geometry"]
    assert overlap_of(right, picture, 224)[0] == 0
    assert overlap_of([right[0] + 2, *right[1:]], picture, 224)[0] > 0


def test_a_rectangle_has_none():
    assert prepared(Decoded(framed(speckle(0)), False), 64).facts["sector_geometry"] is None
