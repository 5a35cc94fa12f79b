"""Pictures of one scan are alike in texture however they were rendered; other scans are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.curation.likeness import compared, grey_correlation, resemblance, texture_of, tying

SIDE = 96
WHOLE = np.full((SIDE, SIDE), 255, np.uint8)


def tissue(seed: int, side: int = SIDE) -> np.ndarray:
    """Speckle a few pixels wide under a shading from top to bottom, as scans have."""
    generator = np.random.default_rng(seed)
    waves = [cv2.GaussianBlur(generator.standard_normal((side, side)), (0, 0), 1.6) for _ in range(2)]
    level = np.linspace(1.0, 0.4, side)[:, None]
    return np.clip(400 * level * np.hypot(*waves), 0, 255).astype(np.uint8)


def look(picture: np.ndarray, sector: np.ndarray = WHOLE):
    return compared(picture, sector)


RENDERINGS = {
    "darker": lambda picture: (picture * 0.5).astype(np.uint8),
    "another curve of grey": lambda picture: (255 * (picture / 255.0) ** 0.6).astype(np.uint8),
    "brighter below": lambda picture: np.clip(picture * np.linspace(0.5, 2, SIDE)[:, None], 0, 255).astype(np.uint8),
    "as JPEG": lambda picture: cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0),
    "cut elsewhere": lambda picture: np.roll(picture, (3, -3), axis=(0, 1)),
}


@pytest.mark.parametrize("name", RENDERINGS)
def test_another_rendering_of_a_scan_is_tied_to_it(name):
    picture = tissue(1)
    assert resemblance(look(picture), look(RENDERINGS[name](picture))).tied


def test_texture_tells_scans_apart_that_share_their_shading():
    shaded = np.linspace(0.1, 1, SIDE)[:, None] ** 2 * 255  # so strong that grey values take them for one
    one, other = (np.clip(shaded + tissue(seed) * 0.2 - 10, 0, 255).astype(np.uint8) for seed in (1, 2))
    assert grey_correlation(look(one), look(other)) > 0.9
    assert resemblance(look(one), look(other)).texture < 0.3


@given(st.integers(0, 50), st.integers(51, 100))
def test_likeness_is_symmetric_bounded_and_whole_for_the_picture_itself(first, second):
    one, other = look(tissue(first)), look(tissue(second))
    there, back, itself = resemblance(one, other), resemblance(other, one), resemblance(one, one)
    assert there.texture == pytest.approx(back.texture, abs=1e-6) and np.abs(there).max() <= 1
    assert there.quarter == pytest.approx(back.quarter, abs=0.2)  # a quarter's jitter is that of one of the two
    assert itself == pytest.approx((1, 1), abs=1e-4) and itself.tied
    assert tying(one, other) is None and not there.tied and tying(one, one) == itself


def test_a_strip_that_the_device_draws_into_every_picture_ties_nobody():
    """M-mode: a fan above differs from patient to patient, the lower half has the same lines in all."""
    lines = 60 + 50 * (np.random.default_rng(0).random(SIDE // 2)[:, None] > 0.5) + np.zeros((1, SIDE))
    one, other = (np.vstack([tissue(seed)[: SIDE // 2], lines]).astype(np.uint8) for seed in (1, 2))
    alike = resemblance(look(one), look(other))
    assert alike.texture > 0.3 and alike.quarter < 0.2 and not alike.tied


def test_black_parts_and_their_edges_do_not_count():
    hole = np.zeros((SIDE, SIDE), bool)
    hole[20:60, 30:70] = True
    one, other = (np.where(hole, 0, tissue(seed)) for seed in (1, 2))
    texture = texture_of(one.astype(np.float32), WHOLE > 0)
    assert not texture[19:61, 29:71].any() and texture[:15].any()
    assert resemblance(look(one), look(other)).texture < 0.3


def test_what_lies_outside_the_scan_area_does_not_count():
    sector = np.zeros_like(WHOLE)
    sector[:, SIDE // 4 : -SIDE // 4] = 255
    one, other = tissue(1), np.where(sector > 0, tissue(1), tissue(2))
    assert resemblance(look(one, sector), look(other, sector)) == pytest.approx((1, 1), abs=1e-4)
    assert not texture_of(one.astype(np.float32), sector > 0)[sector == 0].any()


@pytest.mark.parametrize("picture", [np.zeros_like(WHOLE), WHOLE], ids=["black", "white"])
@pytest.mark.parametrize("sector", [np.zeros_like(WHOLE), WHOLE], ids=["no scan area", "all of it"])
def test_nothing_is_like_nothing(picture, sector):
    alike = resemblance(look(picture, sector), look(picture, sector))
    assert alike == pytest.approx((0, 0), abs=1e-6) and not alike.tied
    assert grey_correlation(look(picture, sector), look(picture, sector)) == 0


def test_pictures_smaller_than_the_comparing_size_are_compared_as_they_are():
    small = tissue(1, 32)
    sector = np.full_like(small, 255)
    assert len(compared(small, sector).texture) == 32
    assert resemblance(compared(small, sector), compared(small // 2, sector)).tied
