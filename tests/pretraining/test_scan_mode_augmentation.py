"""Scan-mode conversion of a batch: the values of geometry.sectors, depth down, circles round, frames that agree."""

from __future__ import annotations

import math
from dataclasses import astuple

import cv2
import numpy as np
import pytest
import torch

from ultrafm.geometry import SectorInPixels
from ultrafm.geometry.frames import ScanFrames
from ultrafm.geometry.published import INNER_PIXELS, published_to_rectangle, published_to_sector
from ultrafm.geometry.sectors import rectangle_to_sector, sector_to_rectangle
from ultrafm.pretraining.augmentation import augment, random_crop_and_flip

SIZE = 128
CONVEX = SectorInPixels(56.0, -12.0, 26.0, 128.0, -25.0, 33.0)  # all of it is in the picture
BOX = (4, 10, 123, 117)


def drawing(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(size: int = SIZE) -> np.ndarray:
    """A picture of slow waves, grey values of about 40 to 240 out of 255, as shares."""
    rows, columns = np.mgrid[:size, :size] / size
    return ((130 + 60 * np.sin(6 * rows + 1) * np.cos(5 * columns) + 40 * rows) / 255).astype(np.float32)


def scans(pictures: np.ndarray | list[np.ndarray], frame: SectorInPixels | tuple[int, int, int, int]):
    """Pictures (B, S, S) shown in one frame, black outside: what `augment` takes first."""
    pictures = torch.as_tensor(np.stack(pictures))[:, None]
    places = np.arange(pictures.shape[-1])
    if isinstance(frame, SectorInPixels):
        seen, numbers = frame.inside(places, places), astuple(frame)
    else:
        seen, numbers = np.zeros(pictures.shape[-2:], bool), (*frame, 0, 0)
        seen[frame[1] : frame[3] + 1, frame[0] : frame[2] + 1] = True
    inside = torch.from_numpy(seen).float().expand_as(pictures)
    curved = torch.full((len(pictures),), isinstance(frame, SectorInPixels))
    frames = ScanFrames(curved, torch.tensor([numbers] * len(pictures), dtype=torch.float32))
    return pictures * inside, inside, frames


def converted(pictures, frame, conversion: str = "correct", seed: int = 0):
    """All of the pictures converted and not cropped, mirror images turned back: arrays (B, S, S), and the frames."""
    scan = scans(pictures, frame)
    made, inside, frames, _zoom = augment(*scan, 1.0, conversion, 1.0, drawing(seed))
    return *upright(seed, made, inside), frames


def upright(seed: int, *arrays: torch.Tensor) -> list[np.ndarray]:
    """What was mirrored under this seed, mirrored back."""
    generator, batch = drawing(seed), len(arrays[0])
    torch.rand(batch, generator=generator), torch.rand(batch, 2, generator=generator)
    mirrored = (torch.rand(batch, generator=generator) < 0.5)[:, None, None, None]
    return [torch.where(mirrored, array.flip(-1), array)[:, 0].numpy() for array in arrays]


def sector_of(frames: ScanFrames, number: int) -> SectorInPixels:
    return SectorInPixels(*frames.numbers[number].double().tolist())


def core(inside: np.ndarray, pixels: int = 2) -> np.ndarray:
    """Where a scan is, without its rim."""
    kernel, around = np.ones((2 * pixels + 1,) * 2), {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    return cv2.erode((inside > 0.5).astype(np.uint8), kernel, **around).view(bool)


def test_a_rectangle_becomes_the_sector_of_geometry():
    pictures, inside, frames = converted([smooth()] * 6, BOX)
    left, top, right, bottom = BOX
    assert frames.curved.all()
    for number, (picture, scan) in enumerate(zip(pictures, inside)):
        sector = sector_of(frames, number)
        expected = rectangle_to_sector(smooth()[top : bottom + 1, left : right + 1], sector, SIZE, SIZE)
        assert np.abs(picture - expected)[core(scan)].max() < 1 / 255
        assert np.abs(picture - expected).mean() < 1 / 255
        area = math.radians(sector.right_angle) * (sector.outer_radius**2 - sector.inner_radius**2)
        assert scan.sum() == pytest.approx(area, rel=0.02)
        assert 25 <= sector.right_angle <= 45 and 0.15 <= sector.inner_radius / sector.outer_radius <= 0.45
        assert sector.left_angle == -sector.right_angle


def test_a_sector_becomes_the_rectangle_of_geometry():
    pictures, inside, frames = converted([smooth()] * 4, CONVEX)
    beams = sector_to_rectangle(smooth(), CONVEX, 1001, 1001)
    places = torch.arange(SIZE, dtype=torch.float32)
    assert not frames.curved.any()
    depth, line = frames.to_unit(places[None, None, :], places[None, :, None])
    assert (frames.numbers == frames.numbers[0]).all(), "in the middle, so that mirror images lie there too"
    for number in range(4):
        seen = core(inside[number])
        sample, beam = ((unit[number].numpy()[seen] * 1000).round().astype(int) for unit in (depth, line))
        assert np.abs(pictures[number][seen] - beams[sample, beam]).max() < 2 / 255
    left, top, right, bottom = frames.numbers[0, :4].tolist()
    assert (right - left) / (bottom - top) == pytest.approx(math.radians(58) * 77 / 102)
    assert max(right - left, bottom - top) == pytest.approx(SIZE - 1)
    assert inside[0].sum() == pytest.approx((right - left + 1) * (bottom - top + 1), rel=0.02)


def test_inside_is_whole_and_black_outside():
    for frame in (CONVEX, BOX):
        pictures, inside, _frames = converted([smooth()] * 4, frame)
        partly = (inside > 0.01) & (inside < 0.99)
        assert partly.mean() < 0.04
        assert not pictures[inside == 0].any()


@pytest.mark.parametrize("frame", [CONVEX, BOX])
def test_depth_stays_down(frame):
    picture = np.repeat(np.linspace(0.1, 1, SIZE, dtype=np.float32)[:, None], SIZE, axis=1)
    for made, inside in zip(*converted([picture] * 4, frame)[:2]):
        column = made[core(inside)[:, SIZE // 2], SIZE // 2]
        assert len(column) > SIZE // 2
        assert (np.diff(column) > 0).all()


@pytest.mark.parametrize("frame", [CONVEX, BOX])
def test_left_stays_left(frame):
    picture = np.repeat(np.linspace(0.1, 1, SIZE, dtype=np.float32)[None, :], SIZE, axis=0)
    for made, inside in zip(*converted([picture] * 4, frame)[:2]):
        row = made[SIZE // 2, core(inside)[SIZE // 2]]
        assert len(row) > SIZE // 4
        assert (np.diff(row) > 0).all()


@pytest.mark.parametrize("box", [(0, 0, 127, 127), (20, 0, 100, 127), (0, 30, 127, 97), (30, 40, 90, 100)])
def test_circles_stay_round(box):
    left, top, right, bottom = box
    disc = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(disc, ((left + right) // 2, (top + bottom) // 2), 10, 1.0, -1)
    for made in converted([disc] * 8, box)[0]:
        rows, columns = np.nonzero(made > 0.5)
        assert np.std(columns) / np.std(rows) == pytest.approx(1, abs=0.15)


def test_a_rectangle_comes_back_from_a_sector():
    box = (0, 10, 127, 117)
    fans, inside, frames = augment(*scans([smooth()] * 6, box), 1.0, "correct", 1.0, drawing(1))[:3]
    back = augment(fans, inside, frames, 1.0, "correct", 1.0, drawing(2))
    for seed in (1, 2):
        turned = upright(seed, *back[:2])
        back = (*(torch.from_numpy(array)[:, None] for array in turned), back[2])
    np.testing.assert_allclose(back[2].numbers[:, :4].numpy(), np.tile(box, (6, 1)), atol=0.01)
    for picture, scan in zip(back[0][:, 0].numpy(), back[1][:, 0].numpy()):
        assert scan.sum() == pytest.approx(128 * 108, rel=0.04)
        assert np.abs(picture - smooth())[core(scan, 5)].max() < 3 / 255


def mixed() -> tuple[torch.Tensor, torch.Tensor, ScanFrames]:
    """Eight convex scans and eight linear ones."""
    parts = [scans([smooth()] * 8, frame) for frame in (CONVEX, BOX)]
    frames = ScanFrames(*(torch.cat(both) for both in zip(*((f.curved, f.numbers) for _p, _i, f in parts))))
    return torch.cat([p for p, _i, _f in parts]), torch.cat([i for _p, i, _f in parts]), frames


@pytest.mark.parametrize("conversion", ["none", "correct"])
def test_frames_tell_where_the_scan_is(conversion):
    _pictures, inside, frames, _zoom = augment(*mixed(), 0.6, conversion, 0.6, drawing(3))
    places = torch.arange(SIZE, dtype=torch.float32)
    depth, line = frames.to_unit(places[None, None, :], places[None, :, None])
    told = ((depth >= 0) & (depth <= 1) & (line >= 0) & (line <= 1)).numpy()
    for number, found in enumerate(inside[:, 0].numpy() > 0.5):
        straightened = number < 8 and not frames.curved[number]  # near the skin a pixel becomes three
        assert not (core(told[number], 3 if straightened else 1) & ~found).any(), number
        assert not (core(found, 1) & ~told[number]).any(), number
        assert (found != told[number]).mean() < 0.03, number
    assert frames.curved[:8].sum() < 8 or conversion == "none"


def test_zoom_is_that_of_the_depth():
    """A row's grey value counts its depth: how fast it changes tells how large a pixel has become."""
    ramp = np.repeat(np.arange(SIZE, dtype=np.float32)[:, None], SIZE, axis=1)
    pictures, inside, frames, zoom = augment(*scans([ramp] * 8, BOX), 0.6, "correct", 0.5, drawing(3))
    assert 0 < frames.curved.sum() < 8
    for picture, scan, frame, factor in zip(pictures[:, 0], inside[:, 0], frames.numbers, zoom):
        middle = int(frame[0]) if frame[4] else SIZE // 2  # straight below the apex
        column = picture[torch.from_numpy(core(scan.numpy()))[:, middle], middle]
        assert len(column) > 20
        assert 1 / column.diff().median() == pytest.approx(float(factor), rel=0.02)


def test_none_is_crop_and_flip_and_so_is_what_was_not_chosen():
    pictures, inside, frames = mixed()
    expected = random_crop_and_flip(pictures, inside, 0.5, drawing())
    for conversion, share in (("none", 1.0), ("correct", 0.0), ("published", 0.0)):
        found = augment(pictures, inside, frames, 0.5, conversion, share, drawing())
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
        assert torch.equal(found[2].curved, frames.curved)
        assert (found[3] >= 1).all() and (found[3] <= 2).all()
    some = augment(pictures, inside, frames, 0.5, "correct", 0.5, drawing())
    same = some[2].curved == frames.curved
    assert 0 < same.sum() < 16
    assert torch.equal(some[0][same], expected[0][same])


def test_same_draws_same_batch_and_as_many_whatever_the_pictures():
    states = []
    for scan, share in ((mixed(), 0.0), (mixed(), 1.0), (scans([0 * smooth()] * 16, BOX), 0.5)):
        generator = drawing(5)
        augment(*scan, 0.5, "correct", share, generator)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])
    first, again = (augment(*mixed(), 0.5, "correct", 0.5, drawing(5)) for _turn in range(2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[2].numbers, again[2].numbers)


def test_what_is_given_is_not_changed():
    pictures, inside, frames = mixed()
    before = pictures.clone(), inside.clone(), frames.numbers.clone()
    augment(pictures, inside, frames, 0.5, "correct", 1.0, drawing())
    assert all(map(torch.equal, before, (pictures, inside, frames.numbers)))


@pytest.mark.parametrize("conversion", ["correct", "published"])
def test_a_scan_of_nothing_and_a_batch_of_one(conversion):
    nothing = torch.zeros(1, 1, SIZE, SIZE)
    frames = ScanFrames(torch.tensor([False]), torch.tensor([[0.0, 0, SIZE - 1, SIZE - 1, 0, 0]]))
    made, inside, frames, zoom = augment(nothing, nothing, frames, 0.5, conversion, 1.0, drawing())
    assert not made.any() and not inside.any()
    assert frames.numbers.isfinite().all() and zoom.isfinite().all()
    for frame in (CONVEX, BOX):
        scan = scans([smooth()], frame)
        made, inside, changed, _zoom = augment(*scan, 0.5, conversion, 1.0, drawing())
        assert made.shape == inside.shape == (1, 1, SIZE, SIZE)
        assert changed.curved.item() != scan[2].curved.item()


def test_a_fan_whose_sides_were_not_found_is_no_rectangle():
    pictures, inside, _frames = scans([smooth()] * 4, CONVEX)
    boxes = ScanFrames(torch.zeros(4, dtype=torch.bool), torch.tensor([[0.0, 6, 127, 117, 0, 0]] * 4))
    found = augment(pictures, inside, boxes, 0.5, "correct", 1.0, drawing())
    assert not found[2].curved.any()
    assert torch.equal(found[0], random_crop_and_flip(pictures, inside, 0.5, drawing())[0])


def test_other_conversions_are_refused():
    with pytest.raises(ValueError, match="'sideways'"):
        augment(*mixed(), 0.5, "sideways", 0.5, drawing())


def test_the_published_one_is_that_of_geometry():
    whole = (0, 0, 223, 223)
    made, _inside, frames = converted([smooth(224)], whole, "published")
    expected = published_to_sector(smooth(224), inner_pixels=INNER_PIXELS)
    assert np.abs(made[0] - expected)[core(expected > 0.05, 3)].max() < 2 / 255
    assert np.abs(made[0] - expected).mean() < 1 / 255
    assert frames.numbers[0, 0] in (111, 112) and frames.numbers[0, 1:].tolist() == [0, 0, 223, -80, 80]
    picture = smooth(224)
    made, _inside, frames = converted([picture], CONVEX.scaled(1.75), "published")
    shown = scans([picture], CONVEX.scaled(1.75))[0][0, 0].numpy()
    assert np.abs(made[0] - published_to_rectangle(shown)).max() < 1e-3
    assert frames.numbers[0].tolist() == [0, 0, 223, 223, 0, 0]


def test_the_published_one_turns_depth_up_and_mirrors():
    depth = np.repeat(np.linspace(0.2, 0.9, SIZE, dtype=np.float32)[:, None], SIZE, axis=1)
    across = np.ascontiguousarray(depth.T)
    (deep, wide), inside, _frames = converted([depth, across], (0, 0, SIZE - 1, SIZE - 1), "published")
    column = deep[core(inside[0])[:, SIZE // 2], SIZE // 2]
    assert (np.diff(column) < 0).all() and column[0] > 0.85 and column[-1] < 0.25
    row = wide[SIZE // 2, core(inside[1])[SIZE // 2]]
    assert row[0] > 0.7 > 0.4 > row[-1]
