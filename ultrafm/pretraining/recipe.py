"""How a foundation model is pre-trained: sizes and rates that every arm of the comparison shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.seeds import spawn_integer


@dataclass(frozen=True)
class Recipe:
    """Sizes in pixels and tokens; `learning_rate` is the peak of AdamW's; `precision` is 'fp32' or 'bf16'."""

    image_size: int = 64
    patch_size: int = 8
    width: int = 128
    depth: int = 6
    heads: int = 4
    decoder_width: int = 64
    decoder_depth: int = 2
    mask_ratio: float = 0.75
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    precision: str = "fp32"

    def settings(self) -> dict[str, int | float | str]:
        """The recipe as plain values, in a fixed order."""
        return asdict(self)


def build_model(recipe: Recipe, seed: int) -> MaskedAutoencoder:
    """A freshly initialised model; the same seed gives the same weights and leaves torch's own generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_integer(seed, "initial weights"))
        return MaskedAutoencoder(
            image_size=recipe.image_size, patch_size=recipe.patch_size, width=recipe.width, depth=recipe.depth,
            heads=recipe.heads, decoder_width=recipe.decoder_width, decoder_depth=recipe.decoder_depth,
        )  # fmt: skip
