"""Tuning for a task together or alone: federated over its sites, pooled, and each site by itself.

One procedure serves all three, federated averaging (FedAvg: McMahan et al. 2017, arXiv 1602.05629) over a list of
parts: the sites, or everything as one part, or one site as the only part. So they take the same number of steps, and
with one local step a round, federated and pooled heads are the same. First a head is fitted on the frozen encoder's
features; then head and last blocks may go on together. Nothing is chosen on any fold: penalty and rounds are fixed.

Updates are joined by the federation's own streaming mean. Its driver is not used: it trains masked autoencoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from ultrafm.downstream.designs.asking import Seen, joined, prediction_rows
from ultrafm.downstream.designs.sites import both_classes, learning
from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.features import extract_features, picture_features
from ultrafm.downstream.methods.finetune import LEARNING_RATE
from ultrafm.downstream.methods.probe import DEFAULT_PENALTY
from ultrafm.downstream.tasks import TaskData, Turn, turns
from ultrafm.federation.aggregation import StreamingMean
from ultrafm.federation.compression import Update
from ultrafm.federation.vector import WEIGHTS, as_views, load_vector, to_vector
from ultrafm.pretraining.precision import computing_in
from ultrafm.seeds import spawn_torch

POOLED, FEDERATED, ALONE = "pooled", "federated", "alone"
HEAD, BLOCKS = "head", "head_and_blocks"
TUNING_COLUMNS = ("trained", "train_site")
Parts = Mapping[str, np.ndarray]  # site -> numbers of its training images


@dataclass(frozen=True)
class Tuning:
    """rounds, local_steps: of the head; blocks: last blocks that are tuned too, 0 for none; block_rounds: of them,
    each an epoch at every site."""

    rounds: int = 40
    local_steps: int = 5
    blocks: int = 2
    block_rounds: int = 4
    precision: str = "fp32"


@dataclass(frozen=True)
class Head:
    """Logits (N, A) = (features - mean) / deviation @ weights (F, A) + bias (A,)."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def score(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, A) scores 0 to 1."""
        return expit((features - self.mean) / self.deviation @ self.weights + self.bias)


def joined_weights(old: np.ndarray, updates: list[np.ndarray], images: list[int]) -> np.ndarray:
    """The mean of float32 weight vectors by the number of images, as the federation joins its sites' updates."""
    mean = StreamingMean(len(old))
    for new, weight in zip(updates, images):
        mean.add(Update(old, {WEIGHTS: new}), weight)
    return (old + mean.joined()).astype(old.dtype)


def fit_head(features: np.ndarray, answers: np.ndarray, parts: Parts, rounds: int, steps: int) -> Head:
    """One penalised logistic regression an answer, by `rounds` of FedAvg with `steps` gradient steps at each part.

    Mean, deviation, class weights and the length of a step are agreed on: they come from sums that the parts hand over.
    The penalty is the probe's default. features: (N, F); answers: (N, A) 0/1.
    """
    rows = np.concatenate(list(parts.values()))
    mean, deviation = features[rows].mean(axis=0), features[rows].std(axis=0)
    deviation = np.where(deviation > 1e-8, deviation, 1.0)
    inputs = np.column_stack([(features - mean) / deviation, np.ones(len(features))]).astype(np.float64)
    share = answers[rows].mean(axis=0)
    weighted = np.where(answers == 1, 0.5 / np.maximum(share, 1e-9), 0.5 / np.maximum(1 - share, 1e-9))
    penalty = np.append(np.full(features.shape[1], 1 / (DEFAULT_PENALTY * len(rows))), 0.0)[:, None]
    steepest = max(_steepest(inputs[part], weighted[part]) for part in parts.values()) + penalty.max()
    weights = np.zeros((inputs.shape[1], answers.shape[1]))
    for _ in range(rounds):
        found = []
        for part in parts.values():
            local = weights.copy()
            for _ in range(steps):
                missed = weighted[part] * (expit(inputs[part] @ local) - answers[part])
                local -= (inputs[part].T @ missed / len(part) + penalty * local) / steepest
            found.append(local.reshape(-1))
        weights = joined_weights(weights.reshape(-1), found, [len(part) for part in parts.values()])
        weights = weights.reshape(inputs.shape[1], -1)
    return Head(mean, deviation, weights[:-1], weights[-1])


def _steepest(inputs: np.ndarray, weighted: np.ndarray) -> float:
    """The largest curvature that the weighted logistic loss can have at a part."""
    return float(weighted.max() * np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1] / 4)


class TunedEncoder(nn.Module):
    """An encoder with a linear head; all but the last `blocks` blocks, the last norm and the head stand still."""

    def __init__(self, encoder: VisionTransformer, head: Head, blocks: int) -> None:
        super().__init__()
        self.encoder = training.trainable_copy(encoder)
        moving = {
            id(one) for block in [*self.encoder.blocks[-blocks:], self.encoder.norm] for one in block.parameters()
        }
        for weight in self.encoder.parameters():
            weight.requires_grad_(id(weight) in moving)
        folded = head.weights / head.deviation[:, None]
        self.head = nn.Linear(*folded.shape)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(folded.T))
            self.head.bias.copy_(torch.from_numpy(head.bias - head.mean @ folded))

    @torch.inference_mode()
    def score(self, data: TaskData, rows: np.ndarray) -> np.ndarray:
        """(P, A) scores 0 to 1 of the images `rows`, in fp32."""
        features = extract_features(self.encoder, data.images[rows], data.sectors[rows])
        return expit(self.head(torch.from_numpy(features)).numpy().astype(np.float64))


def tune_blocks(
    encoder: VisionTransformer, head: Head, seen: Seen, parts: Parts, tuning: Tuning, seed: int
) -> TunedEncoder:
    """Head and last blocks tuned from `head` by FedAvg: each round one epoch at every part, then the mean by images.

    AdamW begins anew in each round; its rate follows one schedule over all rounds. `encoder` is not changed.
    """
    model = TunedEncoder(encoder, head, tuning.blocks)
    shared = as_views(model)
    share = torch.tensor(seen.answers[np.concatenate(list(parts.values()))].mean(axis=0), dtype=torch.float32)
    for number in range(tuning.block_rounds):
        old, found = to_vector(model), []
        for site, rows in parts.items():
            load_vector(shared, old)
            generator = spawn_torch(seed, "tuning", f"{seen.data.task.name}/{site}", number)
            _train_epoch(model, seen, rows, share, (number, tuning.block_rounds), tuning.precision, generator)
            found.append(to_vector(model))
        load_vector(shared, joined_weights(old, found, [len(rows) for rows in parts.values()]))
    return model


def _train_epoch(
    model: TunedEncoder,
    seen: Seen,
    rows: np.ndarray,
    share: torch.Tensor,
    epoch: tuple[int, int],
    precision: str,
    generator: torch.Generator,
) -> None:
    """One epoch, `epoch` = (number from 0, of how many), over the images `rows`; classes weigh by `share` (A,)."""
    model.train()
    optimizer = training.make_optimizer(model.encoder, model.head, LEARNING_RATE)
    batches = list(training.shuffled_batches(torch.from_numpy(rows), generator))
    for number, batch in enumerate(batches):
        training.set_rate(optimizer, (epoch[0] + (number + 0.5) / len(batches)) / epoch[1])
        pictures, inside = training.augmented(seen.data, batch, training.sectors_of(seen.data, batch), generator)
        with computing_in(precision):
            features = picture_features(model.encoder, pictures, inside)
        answers = torch.tensor(seen.answers[batch.numpy()], dtype=torch.float32)
        weights = torch.where(answers > 0, 0.5 / share.clamp(min=1e-6), 0.5 / (1 - share).clamp(min=1e-6))
        logits = model.head(features.float())
        training.step(optimizer, functional.binary_cross_entropy_with_logits(logits, answers, weights))


def tune_together_or_alone(
    seen: Seen, tuning: Tuning, seed: int, encoder: VisionTransformer | None = None
) -> pd.DataFrame:
    """Predictions for each site by models trained pooled, federated, and at that site alone.

    Asked are the sites with both classes (see `sites`); all sites' training images take part in what is trained
    together. method "head" is on frozen features, "head_and_blocks", with an `encoder`, tunes its last blocks too.
    Columns of `asking`, then trained ("pooled", "federated", "alone") and train_site.
    """
    data, usable = seen.data, both_classes(seen.data)
    sites, found = data.table["site"].to_numpy(dtype=str), []
    for turn in turns(data) if usable else []:
        train = turn.train[learning(data)[turn.train]]
        by_site = {str(site): train[sites[train] == site] for site in np.unique(sites[train])}
        asked = {site: turn.predict[sites[turn.predict] == site] for site in usable}
        ways = [(POOLED, "all", {"all": train}, asked), (FEDERATED, "all", by_site, asked)]
        ways += [(ALONE, site, {site: by_site[site]}, {site: asked[site]}) for site in usable]
        for trained, train_site, parts, here in ways:
            predict = np.concatenate(list(here.values()))
            if len(predict):
                own = {"trained": trained, "train_site": train_site}
                found += _tuned_rows(seen, turn, parts, predict, tuning, seed, encoder, own)
    return joined(found, TUNING_COLUMNS)


def _tuned_rows(
    seen: Seen, turn: Turn, parts: Parts, predict: np.ndarray, tuning: Tuning, seed: int,
    encoder: VisionTransformer | None, own: Mapping[str, str],
) -> list[pd.DataFrame]:  # fmt: skip
    head = fit_head(seen.features, seen.answers, parts, tuning.rounds, tuning.local_steps)
    rows = [prediction_rows(seen, predict, head.score(seen.features[predict]), turn.fold, HEAD, **own)]
    if encoder is not None and tuning.blocks:
        tuned = tune_blocks(encoder, head, seen, parts, tuning, seed)
        rows.append(prediction_rows(seen, predict, tuned.score(seen.data, predict), turn.fold, BLOCKS, **own))
    return rows
