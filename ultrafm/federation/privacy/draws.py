"""Random numbers of the mechanism: who is sampled, and the noise. Secure ones in real runs, seeded ones in simulation.

Secure draws are the key stream of ChaCha20 (RFC 8439) under a key from the operating system that is used once and kept
nowhere; Gaussians come from it by the transform of Box and Muller in double precision. What this does not cover:
floating point. The possible outputs of a sum with such noise differ in their last bits with what was summed, and an
attacker who sees exact outputs may use that (Mironov 2012, CCS, on the Laplace mechanism; Jin et al. 2022, S&P,
on Gaussians). Sums are in double precision and sent in single, which hides 29 of 53 bits; that is no proof. Nor is the
time that a draw takes hidden. Tails end at 8.57 deviations, beyond which a draw lies with probability 1e-17.
"""

from __future__ import annotations

import math
import os
from typing import Protocol

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from ultrafm.errors import UltraFMError
from ultrafm.seeds import spawn, spawn_torch

BLOCK = 1 << 20  # numbers made at a time


class Draws(Protocol):
    """A source of random numbers for one round."""

    def uniform(self, count: int) -> np.ndarray:
        """(count,) float64 from 0 to below 1."""

    def normal(self, count: int) -> torch.Tensor:
        """(count,) float64 Gaussians with mean 0 and deviation 1."""


class SeededDraws:
    """Draws that anyone with the seed can repeat, and so subtract: for simulated images only."""

    def __init__(self, seed: int, site: str, round: int) -> None:
        self._uniform = spawn(seed, "privacy, sampling", site, round)
        self._normal = spawn_torch(seed, "privacy, noise", site, round)

    def uniform(self, count: int) -> np.ndarray:
        return self._uniform.random(count)

    def normal(self, count: int) -> torch.Tensor:
        return torch.randn(count, generator=self._normal, dtype=torch.float64)


class SecureDraws:
    """Draws that nobody can repeat."""

    def __init__(self) -> None:
        key, nonce = os.urandom(32), bytes(16)  # a fresh key needs no nonce
        self._stream = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor()

    def _integers(self, count: int) -> np.ndarray:
        """(count,) whole numbers from 0 to below 2^53."""
        return np.frombuffer(self._stream.update(bytes(8 * count)), "<u8") >> np.uint64(11)

    def uniform(self, count: int) -> np.ndarray:
        return self._integers(count) * 2.0**-53

    def normal(self, count: int) -> torch.Tensor:
        blocks = [self._normals(min(BLOCK, count - start)) for start in range(0, count, BLOCK)]
        return torch.cat(blocks) if blocks else torch.zeros(0, dtype=torch.float64)

    def _normals(self, count: int) -> torch.Tensor:
        """Box and Muller 1958; the radius is of a uniform number above 0, so its logarithm is finite."""
        pairs = -(-count // 2)
        unit = torch.from_numpy(self._integers(2 * pairs).astype(np.float64))
        radius = ((unit[:pairs] + 1) * 2.0**-53).log_().mul_(-2).sqrt_()
        angle = unit[pairs:] * (2 * math.pi * 2.0**-53)
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count]


def open_draws(secure: bool, simulated: bool, seed: int, site: str, round: int) -> Draws:
    """Draws for one round at a site, or at the coordinator.

    Raises UltraFMError for seeded draws over images that are not simulated: their noise could be taken away again.
    """
    if secure:
        return SecureDraws()
    require_simulated(simulated, site)
    return SeededDraws(seed, site, round)


def require_simulated(simulated: bool, site: str) -> None:
    """Raises UltraFMError, for draws from a seed, unless all images are simulated."""
    if not simulated:
        raise UltraFMError(
            f"site {site}, privacy", "noise from a seed over real images", "noise that nobody can repeat",
            "set secure_noise: true in the plan; seeded noise is for simulated images",
        )  # fmt: skip
