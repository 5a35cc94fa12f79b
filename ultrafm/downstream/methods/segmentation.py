"""Segmentation by a network that is trained: what every such network shares, and the linear head with its encoder.

Loss: binary cross entropy on logits plus soft Dice on their sigmoid, which is applied once (the published code applies
it twice, and a perfect prediction then costs 0.67).
"""

from __future__ import annotations

import copy
from typing import Protocol

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.drawing import (
    Drawn,
    choose_thresholds,
    draw,
    fitting_rows,
    label_map,
    mean_dice,
    structure_masks,
)
from ultrafm.downstream.methods.features import extract_patch_features, patch_features
from ultrafm.downstream.methods.patch_head import PatchHead, head_shares
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.pretraining.precision import computing_in

LEARNING_RATE = 1e-3


class Network(Protocol):
    """What can be trained to draw: a module with these two."""

    def logits(self, pictures: torch.Tensor, precision: str) -> torch.Tensor:
        """(B, C, S, S) logits of C structures in pictures (B, 1, S, S), computed in `precision`."""
        ...

    def shares(self, images: np.ndarray) -> np.ndarray:
        """(N, C, S, S) probabilities of the structures in (N, S, S) uint8 images, in fp32."""
        ...


class PatchNetwork(nn.Module):
    """An encoder with a linear head on its patches."""

    def __init__(self, encoder: VisionTransformer, head: PatchHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def logits(self, pictures: torch.Tensor, precision: str) -> torch.Tensor:
        """See Network."""
        with computing_in(precision):
            features = patch_features(self.encoder, pictures)
        return self.head(features)

    def shares(self, images: np.ndarray) -> np.ndarray:
        """See Network."""
        return head_shares(self.head, extract_patch_features(self.encoder, images))


def segmentation_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy on logits plus soft Dice loss averaged over images and structures; both (B, C, S, S).

    0 is perfect.
    """
    crossed = functional.binary_cross_entropy_with_logits(logits, truth)
    shares = logits.sigmoid()
    both = (shares * truth).sum(dim=(2, 3))
    total = shares.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return crossed + 1 - ((2 * both + 1) / (total + 1)).mean()


def fine_tune_segmentation(
    encoder: VisionTransformer,
    start: PatchHead,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> Drawn:
    """Outlines of the images of `turn.predict`, by encoder and head trained together from the fitted head.

    Epoch and thresholds are chosen on the held-out rows (see `train_network`). Neither `encoder` nor `start` changes.
    """
    network = PatchNetwork(training.trainable_copy(encoder), copy.deepcopy(start))
    optimizer = training.make_optimizer(network.encoder, network.head, LEARNING_RATE)
    train_network(network, optimizer, data, turn, epochs, precision, generator)
    features = extract_patch_features(network.encoder, data.images)
    return draw(lambda rows: head_shares(network.head, features[rows]), data, turn)


def train_network(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> None:
    """Train a Network on the masks of the fitted rows, in place.

    The epoch with the best mean Dice on the held-out rows of `fitting_rows` is kept, the start being the first of them:
    a few steps on a few images can do harm.
    """
    (fit, held), count = fitting_rows(turn), len(data.answers)
    truth = structure_masks(data.truth[held], count)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        masks = torch.from_numpy(structure_masks(data.truth[rows.numpy()], count)).float()
        pictures, masks = training.augmented(data, rows, masks, generator)
        return segmentation_loss(network.logits(pictures, precision), (masks >= 0.5).float())

    def train(epoch: int) -> None:
        network.train()
        training.train_epoch(optimizer, fit, epoch, epochs, loss, generator)

    def quality() -> float:
        shares = network.shares(data.images[held])
        return mean_dice(label_map(shares, choose_thresholds(shares, truth)), data.truth[held], count)

    training.keep_best(network, epochs, train, quality)
