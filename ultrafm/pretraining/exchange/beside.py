"""What the files beside a checkpoint tell of its network: timm's and Hugging Face's config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.exchange.grey import Colours

EPSILON = 1e-6  # of the layer norms of masked autoencoders and of timm's ViTs


@dataclass(frozen=True)
class Told:
    """Facts that tensors do not tell; None where nobody tells them. `epsilon`: what layer norms add to variances."""

    heads: int | None = None
    decoder_heads: int | None = None
    colours: Colours | None = None
    epsilon: float = EPSILON
    settings: dict[str, Any] = field(default_factory=dict)


def told_beside(checkpoint: Path, layout: str) -> Told:
    """What lies beside the file `checkpoint`, if it was written by a program of this layout.

    Raises UltraFMError when it tells of a network that a plain ViT is not.
    """
    config = read_object(checkpoint.with_name("config.json"))
    if layout == "timm" and isinstance(scale := config.get("pretrained_cfg"), dict):
        heads = count(config.get("model_args"), "num_heads")
        return Told(heads, colours=colours(scale.get("mean"), scale.get("std")))
    if layout != "vitmae" or config.get("model_type") != "vit_mae":
        return Told()
    if (activation := config.get("hidden_act", "gelu")) != "gelu":
        raise UltraFMError(f"{checkpoint.with_name('config.json')}, hidden_act", repr(activation), "'gelu'")
    scale = read_object(checkpoint.with_name("preprocessor_config.json"))
    settings = {name: config[name] for name in ("mask_ratio", "norm_pix_loss") if is_number(config.get(name))}
    epsilon = config.get("layer_norm_eps")
    return Told(
        count(config, "num_attention_heads"), count(config, "decoder_num_attention_heads"),
        colours(scale.get("image_mean"), scale.get("image_std")), epsilon if is_number(epsilon) else EPSILON, settings,
    )  # fmt: skip


def count(facts: Any, name: str) -> int | None:
    """The number above zero that an object tells under a name, or None."""
    value = facts.get(name) if isinstance(facts, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def colours(mean: Any, deviation: Any) -> Colours | None:
    """A normalisation, or None when one half of it is no list of numbers."""
    known = all(isinstance(half, list) and half and all(map(is_number, half)) for half in (mean, deviation))
    return Colours(tuple(mean), tuple(deviation)) if known else None


def is_number(value: Any) -> bool:
    """Is this a number, or a truth value?"""
    return isinstance(value, int | float)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
