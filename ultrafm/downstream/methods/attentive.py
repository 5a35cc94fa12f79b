"""The attentive probe: one learned query looks at the tokens of a frozen encoder, and a line reads what it collects.

It finds what a mean over the picture drowns, a small lesion above all (Chen et al. 2022, arXiv 2202.03026, section 4.1;
El-Nouby et al. 2024, arXiv 2401.08541, section 3.3). It starts as the linear probe of the mean token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from timm.layers import AttentionPoolLatent
from torch import nn

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.answers import balanced_weights, check_training, mean_auroc, probabilities
from ultrafm.downstream.methods.finetune import answer_loss, held_out
from ultrafm.downstream.methods.probe import fit_probe
from ultrafm.downstream.tasks import Turn

EPOCHS, LEARNING_RATE, PENALTY = 20, 1e-2, 1e-3
HEADS = 4


class AttentiveProbe(nn.Module):
    """(B, T, D) tokens and which of them (B, T) may be looked at -> (B, A) logits."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, answers: int) -> None:
        super().__init__()
        heads = HEADS if len(mean) % HEADS == 0 else 1
        self.pool = AttentionPoolLatent(len(mean), out_features=0, num_heads=heads, q_proj=False)
        self.line = nn.Linear(len(mean), answers)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, tokens: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Logits; no sigmoid."""
        hidden = torch.zeros(inside.shape).masked_fill(~inside, -torch.inf)[:, None, None]
        return self.line(self.pool((tokens - self.mean) / self.deviation, attn_mask=hidden))


@dataclass(frozen=True)
class Attentive:
    """A fitted attentive probe."""

    network: AttentiveProbe
    exclusive: bool
    ordered: bool

    @torch.inference_mode()
    def score(self, tokens: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(N, T, D) tokens, (N, T) True where they may be looked at -> (N, A) probabilities."""
        logits = self.network(torch.from_numpy(tokens), torch.from_numpy(inside))
        return probabilities(logits.numpy(), self.exclusive, self.ordered)


def fit_attentive(
    tokens: np.ndarray,
    inside: np.ndarray,
    answers: np.ndarray,
    turn: Turn,
    generator: torch.Generator,
    exclusive: bool = False,
    ordered: bool = False,
) -> Attentive:
    """Train on the images `turn.train` of (N, T, D) tokens, of which `inside` (N, T) are looked at, and (N, A) answers.

    The epoch with the best mean AUROC on the validation images is kept, the start being the first; in cross-validation
    the last (see `fine_tune`). Raises UltraFMError when an answer is the same for all images, or tokens are not finite.
    """
    check_training(tokens[turn.train], answers[turn.train])
    probe = Attentive(start_probe(tokens, inside, answers, turn, generator, exclusive, ordered), exclusive, ordered)
    optimizer = training.plain_optimizer(list(probe.network.parameters()), LEARNING_RATE)
    truth, weights = torch.from_numpy(answers).float(), torch.zeros(answers.shape)
    weights[turn.train] = torch.from_numpy(balanced_weights(answers[turn.train], exclusive, ordered))
    seen, looked, held = torch.from_numpy(tokens), torch.from_numpy(inside), held_out(turn, answers)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return answer_loss(probe.network(seen[rows], looked[rows]), truth[rows], weights[rows], exclusive)

    def train(epoch: int) -> None:
        training.train_epoch(optimizer, turn.train, epoch, EPOCHS, loss, generator)

    def quality() -> float:
        return mean_auroc(answers[held], probe.score(tokens[held], inside[held]))

    training.keep_best(probe.network, EPOCHS, train, None if held is None else quality)
    return probe


def start_probe(
    tokens: np.ndarray,
    inside: np.ndarray,
    answers: np.ndarray,
    turn: Turn,
    generator: torch.Generator,
    exclusive: bool,
    ordered: bool,
) -> AttentiveProbe:
    """The network before training: a query of zeros looks at all tokens alike, and the line is a linear probe of that.

    Tokens are standardised with the mean and deviation of those that are looked at in the training images.
    """
    looked = tokens[turn.train][inside[turn.train]]
    mean, deviation = looked.mean(axis=0), looked.std(axis=0).clip(1e-6)
    network = AttentiveProbe(torch.from_numpy(mean), torch.from_numpy(deviation), answers.shape[1])
    shares = inside[turn.train] / inside[turn.train].sum(axis=1, keepdims=True)
    means = (np.einsum("nt,ntd->nd", shares, tokens[turn.train]) - mean) / deviation
    line = fit_probe(means, answers[turn.train], PENALTY, exclusive, ordered)
    weights = np.stack([row / line.deviation for row in line.weights])
    with torch.no_grad():
        keys = 0.02 * torch.randn(len(mean), len(mean), generator=generator)
        network.pool.latent.zero_()
        network.pool.kv.weight.copy_(torch.cat([keys, torch.eye(len(mean))]))
        network.pool.kv.bias.zero_()
        network.line.weight.copy_(torch.from_numpy(weights))
        network.line.bias.copy_(torch.from_numpy(line.intercepts - weights @ line.mean))
    return network
