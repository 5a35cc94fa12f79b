"""Fine-tuning for diagnosis: the whole encoder and a linear head, trained for a few epochs.

The head starts as a linear probe of the same training images and the encoder follows (Kumar et al. 2022, arXiv
2202.10054: a head that starts at random distorts the features before it has learned anything).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.features import extract_features, picture_features
from ultrafm.downstream.methods.probe import Probe
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.pretraining.precision import computing_in

LEARNING_RATE = 3e-4


def fine_tune(
    encoder: VisionTransformer,
    start: Probe,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> np.ndarray:
    """(P,) scores of the images of `turn.predict`, by an encoder fine-tuned on `turn.train`; `encoder` is not changed.

    One pair in `turn.selection` that was held out of `turn.train` (fixed folds): the epoch with the best AUROC on it is
    kept, the first of equals; the start counts as epoch 0, so that nothing is changed where training does not help.
    Else (cross-validation): the number of epochs is fixed and the last is kept.
    Classes weigh alike in the loss. The images of `turn.predict` are read once, at the end.
    """
    encoder, head = training.trainable_copy(encoder), head_from(start)
    optimizer = training.make_optimizer(encoder, head, LEARNING_RATE)
    held = _held_out(turn, data.truth)
    best, kept = -1.0, None
    for epoch in range(epochs + 1):
        if epoch:
            _train_epoch(encoder, head, optimizer, data, turn.train, (epoch - 1, epochs), precision, generator)
        if held is not None:
            auroc = roc_auc_score(data.truth[held], predict(encoder, head, data, held))
            if auroc > best:
                best, kept = auroc, copy.deepcopy((encoder.state_dict(), head.state_dict()))
    if kept is not None:
        encoder.load_state_dict(kept[0])
        head.load_state_dict(kept[1])
    return predict(encoder, head, data, turn.predict)


def head_from(probe: Probe) -> nn.Linear:
    """The probe as a linear layer on the raw features: standardisation is folded into weights and bias."""
    weights = probe.weights / probe.deviation
    head = nn.Linear(len(weights), 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights)[None])
        head.bias.fill_(float(probe.intercept - probe.mean @ weights))
    return head


def predict(encoder: VisionTransformer, head: nn.Linear, data: TaskData, rows: np.ndarray) -> np.ndarray:
    """(P,) probabilities of a positive case, in fp32."""
    features = extract_features(encoder, data.images[rows], data.sectors[rows])
    with torch.inference_mode():
        logits = head(torch.from_numpy(features))[:, 0]
    return expit(logits.numpy().astype(np.float64))  # in double precision, so that sure scores are not tied at 1


def _held_out(turn: Turn, truth: np.ndarray) -> np.ndarray | None:
    """The validation images, if they are no training images and have both classes."""
    held = turn.selection[0][1] if len(turn.selection) == 1 else np.array([], dtype=int)
    usable = len(held) and not np.isin(held, turn.train).any() and len(set(truth[held])) == 2
    return held if usable else None


def _train_epoch(
    encoder: VisionTransformer,
    head: nn.Linear,
    optimizer: torch.optim.Optimizer,
    data: TaskData,
    fit: np.ndarray,
    epoch: tuple[int, int],
    precision: str,
    generator: torch.Generator,
) -> None:
    """One epoch, `epoch` = (number from 0, of how many), over the images `fit`."""
    encoder.train()
    truth = torch.tensor(data.truth, dtype=torch.float32)
    share = truth[torch.from_numpy(fit)].mean()
    batches = list(training.shuffled_batches(torch.from_numpy(fit), generator))
    for number, rows in enumerate(batches):
        training.set_rate(optimizer, (epoch[0] + (number + 0.5) / len(batches)) / epoch[1])
        pictures, inside = training.augmented(data, rows, training.sectors_of(data, rows), generator)
        with computing_in(precision):
            features = picture_features(encoder, pictures, inside)
        answers = truth[rows]
        weights = torch.where(answers > 0, 0.5 / share, 0.5 / (1 - share))
        logits = head(features.float())[:, 0]
        training.step(optimizer, functional.binary_cross_entropy_with_logits(logits, answers, weights))
