"""The grey normalisation of pictures: mean and deviation that travel with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from ultrafm.pretraining.scans import Scans


@dataclass(frozen=True)
class GreyScale:
    """Mean and deviation of grey values (pixel / 255) that pictures are normalised with; travels with the weights."""

    mean: float
    deviation: float

    def apply(self, pictures: torch.Tensor) -> torch.Tensor:
        """Grey values between 0 and 1 to normalised ones."""
        return (pictures - self.mean) / self.deviation


def grey_sums(scans: Scans) -> tuple[int, float, float]:
    """Number of pictures, and the sums of grey values and of their squares per picture inside the scan sector.

    Each picture counts once, however large its sector. From these three numbers of every place comes the normalisation
    of all.
    """
    grey, squares = 0.0, 0.0
    for image, sector in zip(scans.images, scans.sectors):
        values = image[sector].astype(np.float64) / 255 if sector.any() else np.zeros(1)
        grey, squares = grey + values.mean(), squares + (values**2).mean()
    return len(scans), grey, squares


def grey_scale_of(sums: Sequence[tuple[int, float, float]]) -> GreyScale:
    """Mean and deviation over all places, from what `grey_sums` gave of each."""
    count, grey, squares = (sum(column) for column in zip(*sums))
    mean = grey / count
    return GreyScale(mean=round(mean, 6), deviation=round(max(squares / count - mean**2, 1e-6) ** 0.5, 6))
