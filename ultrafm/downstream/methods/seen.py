"""A task as one encoder sees it: features and fits that several methods share are made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.methods import probe
from ultrafm.downstream.methods.cache import cached_features
from ultrafm.downstream.methods.encoders import open_encoder
from ultrafm.downstream.methods.features import pixel_features
from ultrafm.downstream.methods.patch_head import PatchHead, fit_head
from ultrafm.downstream.tasks import TaskData, Turn, turns


@dataclass(frozen=True)
class Seen:
    """A task as one encoder sees it; without a folder, coarse pixels stand in for features.

    epochs: of fine-tuning; precision: "fp32" or "bf16", of training; cache: a folder for features, or None.
    inner: does a method that trains the encoder train once more in each turn of a cross-validation, for validation
    scores?
    """

    data: TaskData
    folder: Path | None
    seed: int
    epochs: int
    precision: str
    cache: Path | None = None
    inner: bool = False

    @cached_property
    def turns(self) -> list[Turn]:
        """The turns of the task."""
        return turns(self.data)

    @cached_property
    def encoder(self) -> VisionTransformer:
        """The encoder itself."""
        return open_encoder(self.folder)

    @cached_property
    def features(self) -> np.ndarray:
        """(N, F) pooled features."""
        return self.frozen("pooled") if self.folder else pixel_features(self.data.images)

    @cached_property
    def tokens(self) -> np.ndarray:
        """(N, 1 + T, D) last tokens."""
        return self.frozen("tokens")

    @cached_property
    def patches(self) -> np.ndarray:
        """(N, T, 2 D) features of patches."""
        return self.frozen("patches")

    @cached_property
    def answers(self) -> np.ndarray:
        """(N, A) 0 or 1."""
        return self.data.answer_truth

    @cached_property
    def penalties(self) -> list[float]:
        """The penalty that the linear probe chooses in each turn."""
        return [probe.choose_penalty(self.features, self.answers, turn, **self.data.relation) for turn in self.turns]

    @cached_property
    def heads(self) -> list[PatchHead]:
        """The linear head of segmentation that is fitted in each turn."""
        return [fit_head(self.patches, self.data, turn) for turn in self.turns]

    def frozen(self, kind: str) -> np.ndarray:
        """Features of one kind; see `cached_features`."""
        return cached_features(self.folder, self.data.images, self.data.sectors, kind, self.cache)
