"""Folders of weights: opened with a word when they are none, never written over."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from timm.models.vision_transformer import VisionTransformer

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.weights import load_encoder


def refuse_full(place: Path) -> None:
    """Raise UltraFMError when something is at `place` already: nothing of a user's is ever replaced."""
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        found = "a file" if place.is_file() else "a folder with something in it"
        raise UltraFMError(str(place), found, "a new place", "choose another place, or remove what is there first")


def open_encoder(folder: Path) -> VisionTransformer:
    """The encoder in `folder`, without a draw from torch's generator.

    Raises UltraFMError when it is missing, damaged or not in timm's form.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return load_encoder(folder)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        found = f"a folder that timm cannot load ({type(error).__name__}: {said})"
        mend = "`ultrafm weights import` reads other forms; else write the encoder again"
        raise UltraFMError(str(folder), found, "an encoder as UltraFM writes it", mend) from error
