"""Weights on disk: encoders as timm folders, training state as one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from timm.models.vision_transformer import VisionTransformer

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_bytes, write_json
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder


def encoder_settings(encoder: VisionTransformer) -> dict[str, Any]:
    """What `VisionTransformer(...)` must be called with to build this encoder again."""
    return {
        "img_size": encoder.patch_embed.img_size[0],
        "patch_size": encoder.patch_embed.patch_size[0],
        "in_chans": 1,
        "embed_dim": encoder.embed_dim,
        "depth": len(encoder.blocks),
        "num_heads": encoder.blocks[0].attn.num_heads,
        "reg_tokens": encoder.num_reg_tokens,
        "global_pool": "token",
    }


def save_encoder(model: MaskedAutoencoder, folder: Path, grey_scale: GreyScale, description: dict[str, Any]) -> None:
    """Write the encoder as `config.json` + `model.safetensors`, the form that timm loads.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` gives the same network; the grey normalisation is in
    `pretrained_cfg`, and `description` (how it was trained, on what, under which licences) is kept with it.
    """
    encoder = model.encoder
    settings = encoder_settings(encoder)
    config = {
        "architecture": "vit_tiny_patch16_224",  # timm's name for a plain ViT; model_args give the real sizes
        "num_classes": 0,
        "num_features": encoder.num_features,
        "model_args": settings,
        "pretrained_cfg": {
            "input_size": [1, settings["img_size"], settings["img_size"]],
            "fixed_input_size": True, "num_classes": 0, "interpolation": "bilinear", "crop_pct": 1.0,
            "mean": [grey_scale.mean], "std": [grey_scale.deviation],
            "first_conv": "patch_embed.proj", "classifier": "head",
        },
        "ultrafm": description,
    }  # fmt: skip
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / "config.json", config)
        write_bytes(temporary / "model.safetensors", save(dict(encoder.state_dict()), metadata={"format": "pt"}))


def load_encoder(folder: Path) -> VisionTransformer:
    """The encoder stored in `folder`, in evaluation mode; `pretrained_cfg` carries its grey mean and deviation.

    Raises UltraFMError when the folder holds no encoder.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists() or not (folder / "model.safetensors").exists():
        raise UltraFMError(str(folder), "no config.json with model.safetensors", "an encoder", "run 20_pretrain first")
    encoder = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return encoder.eval()


def describe_encoder(folder: Path) -> dict[str, Any]:
    """How the encoder in `folder` was trained."""
    return read_json(folder / "config.json")["ultrafm"]


def save_state(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any], durable: bool = True) -> None:
    """Write tensors and JSON facts (round, history) into one safetensors file, atomically (`durable`: see files.py).

    Raises UltraFMError when the disk is full or cannot be written; what was there before is left as it was.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    try:
        with replacing(path, durable) as temporary:
            save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})
    except SafetensorError as error:
        size = sum(tensor.numel() * tensor.element_size() for tensor in contiguous.values())
        mend = "make room; the same command then goes on from the state before"
        raise UltraFMError(str(path), str(error), f"{size / 1e6:.1f} MB that can be written", mend) from None


def load_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and facts that `save_state` wrote. Raises UltraFMError when the file is damaged."""
    facts = load_facts(path)  # first, because it tells of damage
    return load_file(path), facts


def load_facts(path: Path) -> dict[str, Any]:
    """Only the facts of a state file; its tensors are not read. Raises UltraFMError when the file is damaged."""
    try:
        with safe_open(path, framework="numpy") as handle:  # torch would map it, and trip over a file that just went
            return json.loads(handle.metadata()["facts"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        mend = "delete the file; training then continues from what is left, or begins anew"
        raise UltraFMError(str(path), f"a state that cannot be read ({error})", "what a round left", mend) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments and step counts, one named tensor each."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": tensor for index, row in state.items() for name, tensor in row.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put moments that `optimizer_tensors` gave back into an optimizer of the same model."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
