"""Encoders of any origin, opened and checked: ours, imported ones, and timm's own folders."""

from __future__ import annotations

from pathlib import Path

from timm.models.vision_transformer import VisionTransformer

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_files
from ultrafm.pretraining.exchange import places

FILES = ("config.json", "model.safetensors")


def open_encoder(folder: Path) -> VisionTransformer:
    """The encoder in `folder`, in evaluation mode; it reads pictures of any size (see `features.as_input`).

    Raises UltraFMError when it is missing, damaged, or no plain Vision Transformer of square pictures with a class
    token, standard blocks and one or three colours.
    """
    encoder = places.open_encoder(Path(folder))
    if found := _what_does_not_fit(encoder):
        mend = "`ultrafm weights import` turns checkpoints of plain Vision Transformers into ones that fit"
        raise UltraFMError(str(folder), found, "a plain Vision Transformer with a class token", mend)
    return encoder


def encoder_hash(folder: Path) -> str:
    """SHA-256 of an encoder's weights and configuration. Raises UltraFMError when there are none."""
    files = [Path(folder) / name for name in FILES]
    if not all(file.is_file() for file in files):
        raise UltraFMError(str(folder), "no config.json with model.safetensors", "an encoder", "run 20_pretrain first")
    return hash_files(files, Path(folder))


def _what_does_not_fit(encoder: object) -> str | None:
    if not isinstance(encoder, VisionTransformer):
        return f"a {type(encoder).__name__}"
    if not encoder.has_class_token:
        return "a Vision Transformer without a class token"
    height, width = encoder.patch_embed.img_size
    patch_height, patch_width = encoder.patch_embed.patch_size
    if height != width or patch_height != patch_width:
        return f"pictures of {height} x {width} pixels in patches of {patch_height} x {patch_width}"
    colours = encoder.patch_embed.proj.weight.shape[1]
    told = {len(encoder.pretrained_cfg["mean"]), len(encoder.pretrained_cfg["std"])}
    if colours not in (1, 3) or told != {colours}:
        return f"{colours} colours, and a normalisation of {', '.join(map(str, sorted(told)))}"
    return None
