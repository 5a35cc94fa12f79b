"""How well masks agree: Dice, intersection over union (IoU), distance of outlines (HD95), normalised surface distance.

Computed by MONAI. Outlines are the pixels of a mask that touch a pixel outside of it (four neighbours, or the border
of the image). HD95 is the larger of the two 95th percentiles of distances from one outline to the other. The
normalised surface distance (NSD) is the share of both outlines that lies within a tolerance of the other (Nikolov et
al., J Med Internet Res 2021, 23:e26151). MONAI computes distances in single precision.

Empty masks: both empty is right: Dice, IoU and NSD 1, HD95 0. One empty is a miss or a false alarm: Dice, IoU and NSD
0, and HD95 the diagonal of the image, the largest distance there could be; leaving such images out would reward misses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ultrafm.errors import UltraFMError

MILLIMETRES, PIXELS = "mm", "pixels"
TOLERANCES = {MILLIMETRES: 2.0, PIXELS: 1.0}  # of the normalised surface distance


@dataclass(frozen=True)
class Overlap:
    """Values of each image and structure (N, C); `unit` (N,) says whether an image's `hd95` is in mm or in pixels."""

    dice: np.ndarray
    iou: np.ndarray
    hd95: np.ndarray
    nsd: np.ndarray
    unit: np.ndarray


def overlap(
    predicted: np.ndarray, truth: np.ndarray, structures: int = 1, spacing: np.ndarray | None = None
) -> Overlap:
    """Agreement of masks (N, H, W), 0 background and c = structure c, for each of `structures`.

    spacing: (N, 2) millimetres per pixel, down and across; NaN (or None for all) where not known: such an image is
    measured in pixels and named so. Tolerances of the NSD are TOLERANCES. Raises UltraFMError for shapes that differ, a
    number that is no structure, and a spacing that is not positive.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    _check_masks(predicted, truth, structures)
    spaces = _spacings(spacing, len(truth))
    known = ~np.isnan(spaces).any(axis=1)
    spaces = np.where(known[:, None], spaces, 1.0)
    drawn, true = (_one_hot(masks, structures) for masks in (predicted, truth))
    dice, iou = _areas(drawn, true)
    far, near = _outlines(drawn, true, spaces, known)
    return Overlap(dice, iou, far, near, np.where(known, MILLIMETRES, PIXELS))


def _areas(drawn: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU (N, C) of masks (N, C, H, W)."""
    import torch
    from monai.metrics import compute_dice, compute_iou

    if not len(true):
        return np.zeros(true.shape[:2]), np.zeros(true.shape[:2])
    # Without a background channel MONAI takes one channel for class 1 of an index mask; a second one avoids that.
    pair = [torch.from_numpy(np.concatenate([masks[:, :1], masks], axis=1).astype(float)) for masks in (drawn, true)]
    found = compute_dice(*pair, include_background=False, ignore_empty=False)
    return found.numpy(), compute_iou(*pair, include_background=False, ignore_empty=False).numpy()


def _outlines(
    drawn: np.ndarray, true: np.ndarray, spaces: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """HD95 and NSD (N, C); see the top of the file for empty masks."""
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    in_drawn, in_true = drawn.any(axis=(2, 3)), true.any(axis=(2, 3))
    diagonal = np.hypot(*(np.array(true.shape[2:]) * spaces).T)[:, None]
    far, near = np.where(in_drawn == in_true, 0.0, diagonal), (in_drawn == in_true).astype(float)
    for unit, here in ((MILLIMETRES, known), (PIXELS, ~known)):
        rows, columns = np.nonzero(in_drawn & in_true & here[:, None])
        if not len(rows):
            continue
        pair = [torch.from_numpy(masks[rows, columns][:, None]) for masks in (drawn, true)]
        about = {"include_background": True, "spacing": spaces[rows].tolist()}
        far[rows, columns] = compute_hausdorff_distance(*pair, percentile=95, **about)[:, 0].numpy()
        near[rows, columns] = compute_surface_dice(*pair, [TOLERANCES[unit]], **about)[:, 0].numpy()
    return far, near


def _one_hot(masks: np.ndarray, structures: int) -> np.ndarray:
    """(N, C, H, W) bool."""
    return np.stack([masks == number for number in range(1, structures + 1)], axis=1)


def _spacings(spacing: np.ndarray | None, count: int) -> np.ndarray:
    """(N, 2) floats, NaN where not known."""
    found = np.full((count, 2), np.nan) if spacing is None else np.asarray(spacing, dtype=float)
    if found.shape != (count, 2):
        raise UltraFMError("spacing of masks", f"shape {found.shape}", f"({count}, 2), millimetres down and across")
    wrong = np.flatnonzero(((found <= 0) | np.isinf(found)).any(axis=1))
    if len(wrong):
        raise UltraFMError(f"spacing of mask {wrong[0]}", f"{found[wrong[0]].tolist()}", "positive millimetres, or NaN")
    return found


def _check_masks(predicted: np.ndarray, truth: np.ndarray, structures: int) -> None:
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise UltraFMError("masks", f"shapes {predicted.shape} and {truth.shape}", "the same, (images, height, width)")
    for name, masks in (("predicted", predicted), ("true", truth)):
        odd = np.argwhere(~np.isin(masks, np.arange(structures + 1)))
        if len(odd):
            found = f"the number {masks[tuple(odd[0])]}"
            raise UltraFMError(f"{name} mask {odd[0][0]}", found, f"whole numbers from 0 to {structures}")
