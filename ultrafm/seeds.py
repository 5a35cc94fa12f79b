"""Randomness: one seed for the study, spawned per (purpose, site, round).

No result depends on the order in which sites run, because each generator depends on its own three words only.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def spawn_integer(seed: int, purpose: str, site: str = "", round: int = 0) -> int:
    """A 63-bit integer that depends on all four arguments and on nothing else."""
    words = "\x1f".join([str(int(seed)), purpose, site, str(int(round))])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1


def spawn(seed: int, purpose: str, site: str = "", round: int = 0) -> np.random.Generator:
    """A NumPy generator for one purpose at one site in one round."""
    return np.random.default_rng(spawn_integer(seed, purpose, site, round))


def spawn_torch(seed: int, purpose: str, site: str = "", round: int = 0) -> torch.Generator:
    """A torch generator (on the processor) for one purpose at one site in one round."""
    import torch

    return torch.Generator().manual_seed(spawn_integer(seed, purpose, site, round))
