"""Segmentation from patch tokens: one linear layer turns each patch's features into the logits of its pixels.

A head this small draws no better than the encoder's tokens allow, which is what is to be measured. On the frozen
encoder it is fitted by ridge regression, which has one solution and needs no learning rate; fine-tuning goes on from
there. Loss of fine-tuning: binary cross entropy on logits plus soft Dice on their sigmoid, which is applied once (the
published code applies it twice, and a perfect prediction then costs 0.67).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.special import expit
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.features import as_shares, extract_patch_features, patch_features
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.pretraining.model import patchify, unpatchify
from ultrafm.pretraining.precision import computing_in

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1e0)
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# Ridge regression gives shares of the structure; logits are SHARPNESS * (share - cut), gentle enough to be trained on.
SHARPNESS = 4.0
LEARNING_RATE = 1e-3


class PatchHead(nn.Module):
    """(B, T, F) features of patches -> (B, 1, S, S) logits of pixels.

    Features are standardised with the training images' mean and deviation, mapped by one linear layer to the P x P
    pixels of the patch, and the logits are smoothed with a fixed binomial filter (5 x 5), which hides the seams.
    """

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.linear = nn.Linear(len(mean), patch * patch)
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("filter", torch.outer(line, line)[None, None])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of pixels; no sigmoid."""
        logits = unpatchify(self.linear((features - self.mean) / self.deviation), self.patch)
        return functional.conv2d(functional.pad(logits, (2, 2, 2, 2), mode="replicate"), self.filter)


def dice(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice of each image, 2 |both| / (|prediction| + |truth|), 0 to 1; (..., S, S) 0/1 masks -> (...).

    Both empty: 1, because the prediction is right. One empty: 0. The study's tasks leave images without the structure
    out (see `select_task`), so there the first case does not arise and a missed structure counts as 0.
    """
    prediction, truth = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    both = (prediction & truth).sum(axis=(-2, -1))
    total = prediction.sum(axis=(-2, -1)) + truth.sum(axis=(-2, -1))
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)


def segmentation_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy on logits plus soft Dice loss averaged over images; both (B, 1, S, S). 0 is perfect."""
    crossed = functional.binary_cross_entropy_with_logits(logits, truth)
    shares = logits.sigmoid()
    both = (shares * truth).sum(dim=(1, 2, 3))
    total = shares.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    return crossed + 1 - ((2 * both + 1) / (total + 1)).mean()


def choose_threshold(shares: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the best mean Dice on (N, S, S) shares and truth; ties go to the one nearest 0.5."""
    found = {threshold: dice(shares >= threshold, truth).mean() for threshold in THRESHOLDS}
    return max(found, key=lambda threshold: (round(float(found[threshold]), 6), -abs(threshold - 0.5)))


def fitting_rows(turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """The images a segmentation model is fitted on, and those that its threshold and epoch are chosen on.

    Fixed folds: train and validation. Cross-validation: one of the other groups is held out for choosing. With two
    groups and no train fold nothing is left to hold out, and the choice is made on the fitted images themselves.
    """
    return turn.selection[0] if turn.selection else (turn.train, turn.train)


def fit_head(features: np.ndarray, data: TaskData, turn: Turn, patch: int) -> PatchHead:
    """Fit a PatchHead on frozen (N, T, F) patch features by ridge regression on the pixels of the masks.

    Penalty and cut (the share above which a pixel is drawn) are those with the best mean Dice on the held rows of
    `fitting_rows`, ties going to the stronger penalty; the cut is folded into the head, whose logits are 0 there.
    """
    fit, held = fitting_rows(turn)
    mean, deviation = features[fit].mean(axis=(0, 1)), features[fit].std(axis=(0, 1)).clip(1e-6)
    tokens = ((features[fit] - mean) / deviation).reshape(-1, features.shape[-1]).astype(np.float64)
    pixels = patchify(as_shares(data.truth[fit]), patch).reshape(len(tokens), -1).numpy().astype(np.float64)
    usual = pixels.mean(axis=0)
    best, kept = -1.0, None
    for weights in ridge_solutions(tokens, pixels - usual):
        head = _head(mean, deviation, weights, usual, patch)
        shares = _logits(head, features[held])
        cut = choose_threshold(shares, data.truth[held])
        score = dice(shares >= cut, data.truth[held]).mean()
        if score > best:
            best = score
            kept = _head(mean, deviation, SHARPNESS * weights, SHARPNESS * (usual - cut), patch)
    return kept


def ridge_solutions(tokens: np.ndarray, pixels: np.ndarray) -> list[np.ndarray]:
    """Ridge regression weights (F, Q) for each of PENALTIES, from centred tokens (M, F) and centred pixels (M, Q)."""
    spread, axes = np.linalg.eigh(tokens.T @ tokens)
    along = axes.T @ (tokens.T @ pixels)
    return [axes @ (along / (spread.clip(0) + penalty)[:, None]) for penalty in PENALTIES]


def _head(mean: np.ndarray, deviation: np.ndarray, weights: np.ndarray, bias: np.ndarray, patch: int) -> PatchHead:
    head = PatchHead(torch.from_numpy(mean), torch.from_numpy(deviation), patch)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights.T))
        head.linear.bias.copy_(torch.from_numpy(bias))
    return head


@torch.inference_mode()
def _logits(head: PatchHead, features: np.ndarray) -> np.ndarray:
    return head(torch.from_numpy(features))[:, 0].numpy()


def head_shares(head: PatchHead, features: np.ndarray) -> np.ndarray:
    """(N, S, S) probability of the structure in each pixel, from (N, T, F) patch features."""
    return expit(_logits(head, features))


def draw(head: PatchHead, features: np.ndarray, data: TaskData, turn: Turn) -> np.ndarray:
    """(P, S, S) 0/1 masks of the images of `turn.predict`; `features` (N, T, F) are those of all images of the task.

    The threshold is chosen on the held-out rows of `fitting_rows`.
    """
    _, held = fitting_rows(turn)
    threshold = choose_threshold(head_shares(head, features[held]), data.truth[held])
    return (head_shares(head, features[turn.predict]) >= threshold).astype(np.uint8)


def fine_tune_segmentation(
    encoder: VisionTransformer,
    start: PatchHead,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> np.ndarray:
    """(P, S, S) 0/1 masks of the images of `turn.predict`, by encoder and head trained together from the fitted head.

    The epoch and threshold with the best mean Dice on the held-out rows are kept; the start counts as epoch 0, so that
    nothing is changed where training does not help (a few steps on a few images can do harm).
    Neither `encoder` nor `start` is changed.
    """
    encoder, head = training.trainable_copy(encoder), copy.deepcopy(start)
    fit, held = fitting_rows(turn)
    optimizer = training.make_optimizer(encoder, head, LEARNING_RATE)
    best, kept = -1.0, None
    for epoch in range(epochs + 1):
        if epoch:
            _train_epoch(encoder, head, optimizer, data, fit, (epoch - 1, epochs), precision, generator)
        shares = head_shares(head, extract_patch_features(encoder, data.images[held]))
        score = dice(shares >= choose_threshold(shares, data.truth[held]), data.truth[held]).mean()
        if score > best:
            best, kept = score, copy.deepcopy((encoder.state_dict(), head.state_dict()))
    encoder.load_state_dict(kept[0])
    head.load_state_dict(kept[1])
    return draw(head, extract_patch_features(encoder, data.images), data, turn)


def _train_epoch(
    encoder: VisionTransformer,
    head: PatchHead,
    optimizer: torch.optim.Optimizer,
    data: TaskData,
    fit: np.ndarray,
    epoch: tuple[int, int],
    precision: str,
    generator: torch.Generator,
) -> None:
    """One epoch, `epoch` = (number from 0, of how many), over the images `fit`."""
    encoder.train()
    batches = list(training.shuffled_batches(torch.from_numpy(fit), generator))
    for number, rows in enumerate(batches):
        training.set_rate(optimizer, (epoch[0] + (number + 0.5) / len(batches)) / epoch[1])
        pictures, masks = training.augmented(data, rows, as_shares(data.truth[rows.numpy()]), generator)
        with computing_in(precision):
            features = patch_features(encoder, pictures)
        training.step(optimizer, segmentation_loss(head(features), (masks >= 0.5).float()))
