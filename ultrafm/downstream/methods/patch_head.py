"""The linear head of segmentation: one layer turns each patch's features into the logits of its pixels.

A head this small draws no better than the encoder's tokens allow, which is what is to be measured. On the frozen
encoder it is fitted by ridge regression, which has one solution and needs no learning rate.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit
from torch import nn
from torch.nn import functional

from ultrafm.downstream.methods.answers import check_numbers
from ultrafm.downstream.methods.drawing import choose_thresholds, fitting_rows, label_map, mean_dice, structure_masks
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.pretraining.model import patchify, unpatchify

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1e0)
# Ridge regression gives shares of the structure; logits are SHARPNESS * (share - cut), gentle enough to be trained on.
SHARPNESS = 4.0


class PatchHead(nn.Module):
    """(B, T, F) features of patches -> (B, C, S, S) logits of pixels, one picture a structure.

    Features are standardised with the training images' mean and deviation, mapped by one linear layer to the `cell` x
    `cell` pixels of the patch, and the logits are smoothed with a fixed binomial filter (5 x 5), which hides the seams.
    Where the cells do not add up to `side` pixels, the logits are resized.
    """

    def __init__(
        self, mean: torch.Tensor, deviation: torch.Tensor, cell: int, structures: int = 1, side: int | None = None
    ) -> None:
        super().__init__()
        self.cell, self.structures, self.side = cell, structures, side
        self.linear = nn.Linear(len(mean), structures * cell * cell)
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("filter", torch.outer(line, line)[None, None])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of pixels; no sigmoid."""
        pixels = self.linear((features - self.mean) / self.deviation)
        pixels = pixels.unflatten(-1, (self.structures, -1)).transpose(1, 2).flatten(0, 1)  # (B * C, T, cell * cell)
        logits = unpatchify(pixels, self.cell)
        logits = functional.conv2d(functional.pad(logits, (2, 2, 2, 2), mode="replicate"), self.filter)
        return resized_to(logits.unflatten(0, (-1, self.structures)).squeeze(2), self.side)


def resized_to(pictures: torch.Tensor, side: int | None) -> torch.Tensor:
    """(B, C, H, H) pictures at `side` pixels; untouched where that is their size, or None."""
    if side is None or pictures.shape[-1] == side:
        return pictures
    return functional.interpolate(pictures, size=(side, side), mode="bilinear", antialias=side < pictures.shape[-1])


def fit_head(features: np.ndarray, data: TaskData, turn: Turn) -> PatchHead:
    """Fit a PatchHead on frozen (N, T, F) patch features by ridge regression on the pixels of the masks.

    Penalty and cuts (the share above which a pixel is drawn, one a structure) are those with the best mean Dice on the
    held rows of `fitting_rows`, ties going to the stronger penalty; the cuts are folded into the head, whose logits are
    0 there. Raises UltraFMError when features are not finite.
    """
    fit, held = fitting_rows(turn)
    check_numbers("patch features of the training images", features[fit])
    count, side = len(data.answers), data.images.shape[1]
    cell = cell_of(side, features.shape[1])
    mean, deviation = features[fit].mean(axis=(0, 1)), features[fit].std(axis=(0, 1)).clip(1e-6)
    tokens = ((features[fit] - mean) / deviation).reshape(-1, features.shape[-1]).astype(np.float64)
    pixels = cell_pixels(structure_masks(data.truth[fit], count), cell, features.shape[1])
    usual, truth = pixels.mean(axis=0), structure_masks(data.truth[held], count)
    best, kept = -1.0, None
    for weights in ridge_solutions(tokens, pixels - usual):
        shares = head_logits(_head(mean, deviation, weights, usual, cell, count, side), features[held])
        cuts = choose_thresholds(shares, truth)
        score = mean_dice(label_map(shares, cuts), data.truth[held], count)
        if score > best:
            bias = SHARPNESS * (usual - np.repeat(cuts, cell * cell))
            best, kept = score, _head(mean, deviation, SHARPNESS * weights, bias, cell, count, side)
    return kept


def cell_of(side: int, patches: int) -> int:
    """Pixels along a patch of pictures of `side` pixels that an encoder sees as `patches` patches, rounded up."""
    return -(-side // round(patches**0.5))


def cell_pixels(masks: np.ndarray, cell: int, patches: int) -> np.ndarray:
    """(N, C, S, S) 0/1 masks -> (N * T, C * cell * cell) float64 shares of the structure in each pixel of each cell."""
    drawn = resized_to(torch.from_numpy(masks).float(), cell * round(patches**0.5))
    rows = patchify(drawn.flatten(0, 1)[:, None], cell).unflatten(0, (len(masks), -1))  # (N, C, T, cell * cell)
    return rows.transpose(1, 2).flatten(2).flatten(0, 1).numpy().astype(np.float64)


def ridge_solutions(tokens: np.ndarray, pixels: np.ndarray) -> list[np.ndarray]:
    """Ridge regression weights (F, Q) for each of PENALTIES, from centred tokens (M, F) and centred pixels (M, Q)."""
    spread, axes = np.linalg.eigh(tokens.T @ tokens)
    along = axes.T @ (tokens.T @ pixels)
    return [axes @ (along / (spread.clip(0) + penalty)[:, None]) for penalty in PENALTIES]


@torch.inference_mode()
def head_logits(head: PatchHead, features: np.ndarray) -> np.ndarray:
    """(N, C, S, S) logits from (N, T, F) patch features."""
    return head(torch.from_numpy(features)).numpy()


def head_shares(head: PatchHead, features: np.ndarray) -> np.ndarray:
    """(N, C, S, S) probability of each structure in each pixel, from (N, T, F) patch features."""
    return expit(head_logits(head, features))


def _head(
    mean: np.ndarray, deviation: np.ndarray, weights: np.ndarray, bias: np.ndarray, cell: int, count: int, side: int
) -> PatchHead:
    head = PatchHead(torch.from_numpy(mean), torch.from_numpy(deviation), cell, count, side)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights.T))
        head.linear.bias.copy_(torch.from_numpy(bias))
    return head
