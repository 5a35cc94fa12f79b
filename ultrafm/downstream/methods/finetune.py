"""Fine-tuning for classes: the whole encoder and a linear head, trained for a few epochs.

The head starts as a linear probe of the same training images and the encoder follows (Kumar et al. 2022, arXiv
2202.10054: a head that starts at random distorts the features before it has learned anything).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.answers import balanced_weights, mean_auroc, probabilities
from ultrafm.downstream.methods.features import extract_features, picture_features
from ultrafm.downstream.methods.probe import Probe
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.pretraining.precision import computing_in

LEARNING_RATE = 3e-4


@dataclass(frozen=True)
class Tuned:
    """An encoder that was trained further, with its linear head."""

    encoder: VisionTransformer
    head: nn.Linear
    exclusive: bool = False
    ordered: bool = False

    def score(self, data: TaskData, rows: np.ndarray) -> np.ndarray:
        """(P, A) probabilities of each answer for the images `rows`, in fp32."""
        features = extract_features(self.encoder, data.images[rows], data.sectors[rows])
        with torch.inference_mode():
            logits = self.head(torch.from_numpy(features))
        return probabilities(logits.numpy(), self.exclusive, self.ordered)


def fine_tune(
    encoder: VisionTransformer,
    start: Probe,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> Tuned:
    """`encoder` and the probe `start`, trained together on `turn.train`; neither is changed.

    One pair in `turn.selection` that was held out of `turn.train` (fixed folds): the epoch with the best mean AUROC on
    it is kept; see `keep_best`. Else (cross-validation) the last one. Classes weigh alike in the loss. The images of
    `turn.predict` are not read.
    """
    tuned = Tuned(training.trainable_copy(encoder), head_from(start), start.exclusive, start.ordered)
    optimizer = training.make_optimizer(tuned.encoder, tuned.head, LEARNING_RATE)
    train_further(tuned, optimizer, data, turn, epochs, precision, generator)
    return tuned


def train_further(
    tuned: Tuned,
    optimizer: torch.optim.Optimizer,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> None:
    """Train what the `optimizer` holds of `tuned`, in place; see `fine_tune`."""
    truth, held = data.answer_truth, held_out(turn, data.answer_truth)
    answers, weights = torch.zeros(truth.shape), torch.zeros(truth.shape)
    answers[turn.train] = torch.from_numpy(truth[turn.train]).float()
    weights[turn.train] = torch.from_numpy(balanced_weights(truth[turn.train], tuned.exclusive, tuned.ordered))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        pictures, inside = training.augmented(data, rows, training.sectors_of(data, rows), generator)
        with computing_in(precision):
            features = picture_features(tuned.encoder, pictures, inside)
        return answer_loss(tuned.head(features.float()), answers[rows], weights[rows], tuned.exclusive)

    def train(epoch: int) -> None:
        tuned.encoder.train()
        training.train_epoch(optimizer, turn.train, epoch, epochs, loss, generator)

    def quality() -> float:
        return mean_auroc(truth[held], tuned.score(data, held))

    model = nn.ModuleList([tuned.encoder, tuned.head])
    training.keep_best(model, epochs, train, None if held is None else quality)


def answer_loss(
    logits: torch.Tensor, answers: torch.Tensor, weights: torch.Tensor, exclusive: bool = False
) -> torch.Tensor:
    """Weighted cross entropy of (B, A) logits and answers 0/1: one softmax (`exclusive`), or a sigmoid an answer."""
    if exclusive and answers.shape[1] > 1:
        return (functional.cross_entropy(logits, answers, reduction="none") * weights[:, 0]).mean()
    return functional.binary_cross_entropy_with_logits(logits, answers, weights)


def head_from(probe: Probe) -> nn.Linear:
    """The probe as a linear layer on the raw features: standardisation is folded into weights and bias."""
    lines = [line / probe.deviation for line in probe.weights]
    head = nn.Linear(len(probe.mean), len(lines))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.stack(lines)))
        shifts = [float(intercept - probe.mean @ line) for intercept, line in zip(probe.intercepts, lines)]
        head.bias.copy_(torch.tensor(shifts, dtype=torch.float64))
    return head


def held_out(turn: Turn, answers: np.ndarray) -> np.ndarray | None:
    """The validation images, if they are no training images and differ in an answer (N, A); else None."""
    held = turn.selection[0][1] if len(turn.selection) == 1 else np.array([], dtype=int)
    usable = len(held) and not np.isin(held, turn.train).any() and (answers[held] != answers[held[0]]).any()
    return held if usable else None
