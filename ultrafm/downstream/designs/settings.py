"""What the designs are asked for; no torch is needed to say so."""

from __future__ import annotations

from dataclasses import dataclass, field

# How a head is trained over several sites; in words of its own, as "pooled" and "federated" are encoders too.
POOLED, FEDERATED, ALONE = "in one place", "by federated averaging", "at each site alone"


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
class Settings:
    """What is asked. shares: of the training patients, 0 to 1; shots: patients a class; repeats: draws of both.

    kinds: of PERTURBATIONS; tuned: encoders whose last blocks are tuned too, as `tuning` says.
    """

    shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    repeats: int = 5
    kinds: tuple[str, ...] = ("gain", "depth_gain", "blur", "speckle", "shadow", "resolution")
    tuned: tuple[str, ...] = ("random", "federated")
    tuning: Tuning = field(default_factory=Tuning)
    seed: int = 0
