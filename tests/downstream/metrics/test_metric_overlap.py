from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, MeanIoU, SurfaceDiceMetric
from random_cases import few_and_many
from scipy.ndimage import binary_erosion, distance_transform_edt
from sklearn.metrics import f1_score, jaccard_score

from ultrafm.downstream.metrics import overlap
from ultrafm.downstream.metrics.overlap import TOLERANCES
from ultrafm.errors import UltraFMError

SINGLE = 1e-6  # MONAI computes distances in single precision


def square(top: int, left: int, side: int, image: int = 16) -> np.ndarray:
    mask = np.zeros((image, image), dtype=int)
    mask[top : top + side, left : left + side] = 1
    return mask


def random_masks(generator: np.random.Generator, count: int) -> np.ndarray:
    """Blobs of any size, at the border too; some empty, some full, some a single pixel."""
    masks = generator.random((count, 14, 17)) < generator.random((count, 1, 1)) ** 3
    masks[::10] = False
    masks[generator.random(count) < 0.05] = False
    masks[generator.random(count) < 0.02] = True
    lone = np.flatnonzero(generator.random(count) < 0.05)
    masks[lone] = False
    masks[lone, generator.integers(0, 14, len(lone)), generator.integers(0, 17, len(lone))] = True
    return masks.astype(int)


def surface_distances(first: np.ndarray, second: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the outlines of two masks, each from the other, with SciPy's distance transform."""
    outlines = [mask & ~binary_erosion(mask) for mask in (first.astype(bool), second.astype(bool))]
    away = [distance_transform_edt(~outline, sampling=spacing) for outline in outlines]
    return away[1][outlines[0]], away[0][outlines[1]]


@few_and_many
def test_areas_equal_scikit_learn_and_outlines_equal_scipy_on_random_masks(count: int):
    generator = np.random.default_rng(0)
    drawn, true = random_masks(generator, count), random_masks(generator, count)
    spacing = generator.uniform(0.2, 1.5, (count, 2))
    spacing[::3] = np.nan
    found = overlap(drawn, true, 1, spacing)
    kinds = {"both": 0, "one empty": 0, "both empty": 0}
    for row in range(count):
        known = not np.isnan(spacing[row]).any()
        unit = "mm" if known else "pixels"
        assert found.unit[row] == unit
        space = spacing[row] if known else np.ones(2)
        values = [getattr(found, name)[row, 0] for name in ("dice", "iou", "hd95", "nsd")]
        if not drawn[row].any() and not true[row].any():
            kinds["both empty"] += 1
            assert values == [1, 1, 0, 1]
        elif not (drawn[row].any() and true[row].any()):
            kinds["one empty"] += 1
            assert values == pytest.approx([0, 0, np.hypot(14 * space[0], 17 * space[1]), 0], abs=1e-9)
        else:
            kinds["both"] += 1
            flat = true[row].ravel(), drawn[row].ravel()
            assert values[:2] == pytest.approx([f1_score(*flat), jaccard_score(*flat)], abs=1e-9)
            away = surface_distances(drawn[row], true[row], space)
            assert values[2] == pytest.approx(max(np.percentile(one, 95) for one in away), rel=SINGLE)
            near = np.concatenate(away) <= TOLERANCES[unit]
            assert values[3] == pytest.approx(near.mean(), rel=SINGLE)
    assert kinds["both"] > count / 2 and kinds["one empty"] and kinds["both empty"]


@few_and_many
def test_the_same_as_monai_called_through_its_metric_classes(count: int):
    generator = np.random.default_rng(1)
    drawn, true = (random_masks(generator, count) * generator.integers(1, 3, (count, 14, 17)) for _ in range(2))
    full = [all((masks[row] == c).any() for masks in (drawn, true) for c in (1, 2)) for row in range(count)]
    drawn, true = drawn[full], true[full]
    found = overlap(drawn, true, 2)
    pair = [torch.from_numpy(np.stack([masks == c for c in range(3)], axis=1)).double() for masks in (drawn, true)]
    for name, metric in (
        ("dice", DiceMetric(include_background=False, reduction="none")),
        ("iou", MeanIoU(include_background=False, reduction="none")),
        ("hd95", HausdorffDistanceMetric(include_background=False, percentile=95, reduction="none")),
        ("nsd", SurfaceDiceMetric([TOLERANCES["pixels"]] * 2, include_background=False, reduction="none")),
    ):
        metric(*pair)
        assert getattr(found, name) == pytest.approx(metric.aggregate().numpy(), abs=1e-9)
    assert len(drawn) > count / 3


def test_squares_by_hand():
    # 4 x 4 against the same moved by 2: 8 of 16 pixels in common, and every outline pixel within 2 of the other.
    drawn, true = square(4, 4, 4)[None], square(4, 6, 4)[None]
    pixels = overlap(drawn, true)
    assert pixels.dice[0, 0] == 0.5 and pixels.iou[0, 0] == pytest.approx(8 / 24)
    assert pixels.hd95[0, 0] == 2.0 and pixels.unit.tolist() == ["pixels"]
    # Of 12 outline pixels of one, 2 x 2 overlap columns touch at distance 0, the next column lies 1 away: by hand
    # columns 4..7 have 4, 2, 2, 4 pixels, at distances 2, 1, 0 (rows of the edge) and 1: 2 + 2 + 4 = 8 within 1.
    assert pixels.nsd[0, 0] == pytest.approx(8 / 12)
    metric = overlap(drawn, true, spacing=np.array([[1.0, 0.5]]))
    assert metric.hd95[0, 0] == 1.0 and metric.unit.tolist() == ["mm"] and metric.nsd[0, 0] == 1.0


def test_structures_are_measured_one_by_one_with_their_own_empty_masks():
    drawn, true = square(2, 2, 4), square(2, 2, 4)
    true[10:12, 10:12] = 2  # missed
    found = overlap(drawn[None], true[None], 3)
    assert found.dice.tolist() == [[1, 0, 1]] and found.nsd.tolist() == [[1, 0, 1]]
    assert found.hd95[0].tolist() == pytest.approx([0, np.hypot(16, 16), 0])


def test_no_image_gives_empty_tables():
    found = overlap(np.zeros((0, 8, 8)), np.zeros((0, 8, 8)), 2)
    assert found.dice.shape == found.hd95.shape == (0, 2) and found.unit.shape == (0,)


def test_bad_masks_and_spacings_are_named():
    with pytest.raises(UltraFMError, match="predicted mask 0"):
        overlap(2 * square(1, 1, 2)[None], square(1, 1, 2)[None])
    with pytest.raises(UltraFMError, match="shapes"):
        overlap(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(UltraFMError, match="spacing of mask 0"):
        overlap(square(1, 1, 2)[None], square(1, 1, 2)[None], 1, np.array([[0.0, 1.0]]))
    with pytest.raises(UltraFMError, match="millimetres down and across"):
        overlap(square(1, 1, 2)[None], square(1, 1, 2)[None], 1, np.array([0.5]))
