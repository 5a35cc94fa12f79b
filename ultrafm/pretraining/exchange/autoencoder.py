"""A whole masked autoencoder, decoder included, as one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from ultrafm.errors import UltraFMError
from ultrafm.files import write_bytes
from ultrafm.pretraining.model import MaskedAutoencoder

FILE = "autoencoder.safetensors"  # beside the encoder's config.json, which tells the grey normalisation


def autoencoder_settings(model: MaskedAutoencoder) -> dict[str, Any]:
    """What `MaskedAutoencoder(...)` must be called with to build this one again."""
    encoder = model.encoder
    return {
        "image_size": encoder.patch_embed.img_size[0],
        "patch_size": model.patch_size,
        "width": encoder.embed_dim,
        "depth": len(encoder.blocks),
        "heads": encoder.blocks[0].attn.num_heads,
        "decoder_width": model.to_decoder.out_features,
        "decoder_depth": len(model.decoder),
        "decoder_heads": model.decoder[0].attn.num_heads if len(model.decoder) else 0,
        "positions": "learned" if encoder.pos_embed.requires_grad else "sine",
        "registers": encoder.reg_token is not None,
    }


def save_autoencoder(model: MaskedAutoencoder, path: Path) -> None:
    """Write all weights of `model` to `path`, with its settings as metadata, or nothing."""
    told = {"settings": autoencoder_settings(model)}
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    # one entry only: safetensors writes several in an order that changes from process to process
    write_bytes(path, save(tensors, metadata={"ultrafm": json.dumps(told)}))


def load_autoencoder(path: Path) -> MaskedAutoencoder:
    """The model that `save_autoencoder` wrote, in evaluation mode; torch's generator is left as it was.

    Raises UltraFMError when the file is missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UltraFMError(str(path), "no such file", "a masked autoencoder", "import a checkpoint with a decoder")
    try:
        with safe_open(path, framework="pt") as handle:
            told = json.loads((handle.metadata() or {})["ultrafm"])
        with torch.random.fork_rng(devices=[]):
            model = MaskedAutoencoder(**told["settings"])
        model.load_state_dict(load_file(path))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        found = f"a file that cannot be read as one ({error})"
        raise UltraFMError(str(path), found, "a masked autoencoder", "write it again with save_autoencoder") from error
    return model.eval()
