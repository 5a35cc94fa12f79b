"""How a foundation model is pre-trained: sizes, rates and choices that every arm of the comparison shares."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import torch

from ultrafm.errors import UltraFMError, one_of
from ultrafm.pretraining.masking import kept_count, policy_named
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.precision import choose_precision
from ultrafm.seeds import spawn_integer

CONVERSIONS = ("none", "correct", "published")
FINE = 128
RATE_BATCH = 256  # pictures of a step that a base rate is for (Goyal et al. 2017, linear scaling)


@dataclass(frozen=True)
class Recipe:
    """Sizes in pixels and tokens, rates, and what a picture goes through on its way into the model.

    learning_rate: the peak of AdamW's; with `scale_rate` it is for steps of 256 pictures and grows with the step.
    accumulate: parts in which a step's pictures go through the model; fewer at a time need less memory.
    masking: a policy of `masking.POLICIES`. decoded_share: share of the hidden patches that are decoded and scored.
    scan_conversion: "none", "correct" or "published", for `conversion_share` of the pictures.
    degraded_share: share of the pictures that the encoder sees degraded; the clean picture is the target.
    positions, registers: see `MaskedAutoencoder`. precision: "auto", "fp32" or "bf16". compiled: "auto", "on" or "off".
    """

    image_size: int = 64
    patch_size: int = 8
    width: int = 128
    depth: int = 6
    heads: int = 4
    decoder_width: int = 64
    decoder_depth: int = 2
    positions: str = "sine"
    registers: bool = False
    masking: str = "uniform"
    mask_ratio: float = 0.75
    decoded_share: float = 1.0
    smallest_crop: float = 0.5
    gain_spread: float = 0.2
    scan_conversion: str = "none"
    conversion_share: float = 0.5
    degraded_share: float = 0.0
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-3
    scale_rate: bool = False
    warmup: float = 0.1
    weight_decay: float = 0.05
    clip: float = 1.0
    precision: str = "fp32"
    compiled: str = "auto"

    def __post_init__(self) -> None:
        policy_named(self.masking)
        if self.image_size % self.patch_size or self.image_size < self.patch_size:
            found = f"{self.image_size} pixels in patches of {self.patch_size}"
            raise UltraFMError("recipe, image_size", found, "a multiple of patch_size")
        kept_count((self.image_size // self.patch_size) ** 2, self.mask_ratio)
        one_of("recipe, scan_conversion", self.scan_conversion, CONVERSIONS)
        one_of("recipe, precision", self.precision, ("auto", "fp32", "bf16"))
        one_of("recipe, compiled", self.compiled, ("auto", "on", "off"))
        for name in ("decoded_share", "smallest_crop"):
            if not 0 < getattr(self, name) <= 1:
                raise UltraFMError(f"recipe, {name}", f"{getattr(self, name):g}", "a share above 0, at most 1")
        for name in ("conversion_share", "degraded_share", "gain_spread"):
            if not 0 <= getattr(self, name) <= 1:
                raise UltraFMError(f"recipe, {name}", f"{getattr(self, name):g}", "a share from 0 to 1")
        if not 0 <= self.warmup < 1:
            raise UltraFMError("recipe, warmup", f"{self.warmup:g}", "a share of training from 0 to below 1")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UltraFMError(f"recipe, {name}", f"{getattr(self, name):g}", "a finite number above 0")
        for name in ("depth", "heads", "decoder_depth", "batch_size"):
            if getattr(self, name) < 1:
                raise UltraFMError(f"recipe, {name}", f"{getattr(self, name)}", "1 or more")
        if self.width % (4 * self.heads) or self.decoder_width % 4:
            found = f"{self.width} for {self.heads} heads, decoder {self.decoder_width}"
            raise UltraFMError("recipe, width", found, "a multiple of 4 x heads; the decoder's, of 4")
        one_of("recipe, positions", self.positions, ("sine", "learned"))
        if not 1 <= self.accumulate <= self.batch_size:
            found = f"{self.accumulate} parts of {self.batch_size} pictures"
            raise UltraFMError("recipe, accumulate", found, "at least 1 part, at most one a picture")

    @property
    def peak_rate(self) -> float:
        """The highest learning rate of a step."""
        return self.learning_rate * (self.batch_size / RATE_BATCH if self.scale_rate else 1.0)

    @property
    def part_size(self) -> int:
        """Pictures that go through the model at once."""
        return -(-self.batch_size // self.accumulate)

    @property
    def step_numbers(self) -> int:
        """Patches that go through the model at once, times its width: how much there is to compute in a step."""
        return self.part_size * (self.image_size // self.patch_size) ** 2 * self.width

    def settings(self) -> dict[str, int | float | str | bool]:
        """The recipe as plain values, in a fixed order."""
        return asdict(self)


SIZES = {
    "micro": {"width": 64, "depth": 3, "heads": 2, "decoder_width": 32, "decoder_depth": 1},
    "laptop": {"width": 128, "depth": 4, "heads": 4, "decoder_width": 64, "decoder_depth": 2},
    "tiny": {"width": 192, "depth": 12, "heads": 3, "decoder_width": 128, "decoder_depth": 4},
    "small": {"width": 384, "depth": 12, "heads": 6, "decoder_width": 256, "decoder_depth": 4},
    "base": {"width": 768, "depth": 12, "heads": 12, "decoder_width": 512, "decoder_depth": 8},
    "large": {"width": 1024, "depth": 24, "heads": 16, "decoder_width": 512, "decoder_depth": 8},
}
HALF_DECODED = ("small", "base", "large")  # sizes whose steps gain by decoding half of the hidden patches


AUGMENTATIONS: dict[str, dict[str, str | float]] = {
    "plain": {},
    "conversion": {"scan_conversion": "correct"},
    "degradation": {"degraded_share": 0.5},
    "both": {"scan_conversion": "correct", "degraded_share": 0.5},
}


def recipe_of_size(size: str, **changes: int | float | str | bool) -> Recipe:
    """A recipe with the sizes of SIZES: "micro" for tests, "base" is the paper's, at 224 pixels.

    Large ones decode half of the hidden patches, which is where their decoder's time goes. Unless they are told,
    patches have 8 pixels in pictures below FINE pixels and 16 in others.
    """
    one_of("size", size, SIZES)
    pixels = changes.get("image_size", Recipe.image_size)
    usual = {"patch_size": 8 if pixels < FINE else 16, "decoded_share": 0.5 if size in HALF_DECODED else 1.0}
    return Recipe(**SIZES[size] | usual | changes)


def decide_precision(recipe: Recipe, device: torch.device, smallest_step: int | None = None) -> Recipe:
    """The recipe with its precision in so many words, as it is for this device: "fp32" or "bf16", no longer "auto".

    `smallest_step`: pictures in the smallest step that is trained with it; None means the recipe's own batch size.
    Arms that are compared share one precision, and bf16 costs time where a step is too small to gain by it.
    """
    step = replace(recipe, batch_size=smallest_step) if smallest_step else recipe
    return replace(recipe, precision=choose_precision(recipe.precision, device, step.step_numbers))


def build_model(recipe: Recipe, seed: int) -> MaskedAutoencoder:
    """A freshly initialised model; the same seed gives the same weights and leaves torch's own generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_integer(seed, "initial weights"))
        return MaskedAutoencoder(
            image_size=recipe.image_size, patch_size=recipe.patch_size, width=recipe.width, depth=recipe.depth,
            heads=recipe.heads, decoder_width=recipe.decoder_width, decoder_depth=recipe.decoder_depth,
            positions=recipe.positions, registers=recipe.registers,
        )  # fmt: skip
