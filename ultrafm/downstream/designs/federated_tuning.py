"""Tuning for a task together or alone: federated over its sites, pooled, and each site by itself.

One procedure serves all three, federated averaging (FedAvg: McMahan et al. 2017, arXiv 1602.05629) over a list of
parts: the sites, or everything as one part, or one site as the only part. So heads take the same number of steps, and
blocks see each image equally often; with one local step a round, federated and pooled heads come to the same. First a
head is fitted on the frozen encoder's features; then head and last blocks may go on together. Nothing is chosen on any
fold: penalty and rounds are fixed.

Updates are joined by the federation's own streaming mean. Its driver is not used: it trains masked autoencoders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ultrafm.downstream.designs.asking import Look, joined, prediction_rows
from ultrafm.downstream.designs.settings import ALONE, FEDERATED, POOLED, Tuning
from ultrafm.downstream.designs.sites import both_classes, learning
from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.answers import balanced_weights, probabilities
from ultrafm.downstream.methods.features import picture_features
from ultrafm.downstream.methods.finetune import LEARNING_RATE, Tuned, answer_loss, head_from
from ultrafm.downstream.methods.probe import DEFAULT_PENALTY, Probe, standard_of
from ultrafm.downstream.tasks import Turn, turns
from ultrafm.federation.aggregation import StreamingMean
from ultrafm.federation.compression import Update
from ultrafm.federation.vector import WEIGHTS, as_views, load_vector, to_vector
from ultrafm.pretraining.precision import computing_in
from ultrafm.seeds import spawn_torch

HEAD, BLOCKS = "head", "head_and_blocks"
TUNING_COLUMNS = ("trained", "train_site")
Parts = Mapping[str, np.ndarray]  # site -> numbers of its training images


def joined_weights(old: np.ndarray, updates: list[np.ndarray], images: list[int]) -> np.ndarray:
    """The mean of float32 weight vectors by the number of images, as the federation joins its sites' updates."""
    mean = StreamingMean(len(old))
    for new, weight in zip(updates, images):
        mean.add(Update(old, {WEIGHTS: new}), weight)
    return (old + mean.joined()).astype(old.dtype)


def fit_head(
    features: np.ndarray, answers: np.ndarray, parts: Parts, rounds: int, steps: int, **relation: bool
) -> Probe:
    """A logistic regression by `rounds` of FedAvg, `steps` gradient steps each at every part; default penalty.

    Mean, deviation, class weights and the length of a step are agreed on: they come from sums that the parts hand over.
    features: (N, F); answers: (N, A) 0/1; relation: `exclusive` and `ordered`, as for `fit_probe`.
    """
    rows = np.concatenate(list(parts.values()))
    mean, deviation = standard_of(features[rows].astype(np.float64))
    inputs = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    weighted = np.zeros(answers.shape)
    weighted[rows] = balanced_weights(answers[rows], **relation)
    penalty = np.append(np.full(features.shape[1], 1 / (DEFAULT_PENALTY * len(rows))), 0.0)[:, None]
    steepest = max(_steepest(inputs[part], weighted[part]) for part in parts.values()) + penalty.max()
    lines = np.zeros((inputs.shape[1], answers.shape[1]))
    for _ in range(rounds):
        found = []
        for part in parts.values():
            local = lines.copy()
            for _ in range(steps):
                missed = probabilities(inputs[part] @ local, relation.get("exclusive", False)) - answers[part]
                local -= (inputs[part].T @ (weighted[part] * missed) / len(part) + penalty * local) / steepest
            found.append(local.reshape(-1))
        joined_lines = joined_weights(lines.reshape(-1), found, [len(part) for part in parts.values()])
        lines = joined_lines.reshape(lines.shape)
    return Probe(mean, deviation, lines[:-1].T, lines[-1], DEFAULT_PENALTY, **relation)


def _steepest(inputs: np.ndarray, weighted: np.ndarray) -> float:
    """The largest curvature that the weighted cross entropy can have at a part (of a softmax; a sigmoid's is half)."""
    return float(weighted.max() * np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1] / 2)


def tune_blocks(
    encoder: VisionTransformer, head: Probe, look: Look, parts: Parts, tuning: Tuning, seed: int
) -> Tuned:  # fmt: skip
    """Head and last blocks tuned from `head` by FedAvg: each round one epoch at every part, then the mean by images.

    AdamW begins anew in each round; its rate follows one schedule over all rounds. `encoder` is not changed.
    """
    tuned = Tuned(training.trainable_copy(encoder), head_from(head), **look.data.relation)
    let_move(tuned.encoder, tuning.blocks)
    model = nn.ModuleList([tuned.encoder, tuned.head])
    shared, rows = as_views(model), np.concatenate(list(parts.values()))
    weights = np.zeros(look.answers.shape, np.float32)
    weights[rows] = balanced_weights(look.answers[rows], **look.data.relation)
    for number in range(tuning.block_rounds):
        old, found = to_vector(model), []
        for site, part in parts.items():
            load_vector(shared, old)
            generator = spawn_torch(seed, "tuning", f"{look.data.task.name}/{site}", number)
            _train_epoch(tuned, look, part, torch.from_numpy(weights), (number, tuning), generator)
            found.append(to_vector(model))
        load_vector(shared, joined_weights(old, found, [len(part) for part in parts.values()]))
    tuned.encoder.eval()
    return tuned


def let_move(encoder: VisionTransformer, blocks: int) -> None:
    """Only the last `blocks` blocks and the last norm are trained from now on."""
    moving = [*encoder.blocks[len(encoder.blocks) - blocks :], encoder.norm]
    encoder.requires_grad_(False)
    for module in moving:
        module.requires_grad_(True)


def _train_epoch(
    tuned: Tuned, look: Look, part: np.ndarray, weights: torch.Tensor, when: tuple[int, Tuning],
    generator: torch.Generator,
) -> None:  # fmt: skip
    """One epoch over the images `part`; `when` is the round from 0, and of what."""
    number, tuning = when
    answers = torch.from_numpy(look.answers).float()
    optimizer = training.make_optimizer(tuned.encoder, tuned.head, LEARNING_RATE)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        pictures, inside = training.augmented(look.data, rows, training.sectors_of(look.data, rows), generator)
        with computing_in(tuning.precision):
            features = picture_features(tuned.encoder, pictures, inside)
        return answer_loss(tuned.head(features.float()), answers[rows], weights[rows], tuned.exclusive)

    tuned.encoder.train()
    training.train_epoch(optimizer, part, number, tuning.block_rounds, loss, generator)


def tune_together_or_alone(
    look: Look, tuning: Tuning, seed: int, encoder: VisionTransformer | None = None
) -> pd.DataFrame:
    """Predictions for each site by models trained pooled, federated, and at that site alone.

    Asked are the sites with both classes (see `sites`); all sites' training images take part in what is trained
    together. method "head" is on frozen features, "head_and_blocks", with an `encoder`, tunes its last blocks too.
    Columns of `asking`, then trained (POOLED, FEDERATED, ALONE) and train_site.
    """
    data, usable = look.data, both_classes(look.data)
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
                found += _tuned_rows(look, turn, parts, predict, tuning, seed, encoder, own)
    return joined(found, TUNING_COLUMNS)


def _tuned_rows(
    look: Look, turn: Turn, parts: Parts, predict: np.ndarray, tuning: Tuning, seed: int,
    encoder: VisionTransformer | None, own: Mapping[str, str],
) -> list[pd.DataFrame]:  # fmt: skip
    head = fit_head(look.features, look.answers, parts, tuning.rounds, tuning.local_steps, **look.data.relation)
    rows = [prediction_rows(look, predict, head.score(look.features[predict]), turn.fold, HEAD, **own)]
    if encoder is not None and tuning.blocks:
        tuned = tune_blocks(encoder, head, look, parts, tuning, seed)
        rows.append(prediction_rows(look, predict, tuned.score(look.data, predict), turn.fold, BLOCKS, **own))
    return rows
