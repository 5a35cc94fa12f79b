"""Features kept on disk: computed once, found again by what they were computed from, whoever asks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.methods.encoders import encoder_hash, open_encoder
from ultrafm.downstream.methods.features import extract_features, extract_patch_features, extract_tokens
from ultrafm.errors import one_of
from ultrafm.files import hash_text, replacing
from ultrafm.pretraining.precision import computing_in

KINDS = ("pooled", "tokens", "patches")


def cached_features(
    encoder: Path,
    images: np.ndarray,
    sectors: np.ndarray,
    kind: str = "pooled",
    cache: Path | None = None,
    precision: str = "fp32",
) -> np.ndarray:
    """Features of (N, S, S) uint8 images by the encoder in folder `encoder`; float32.

    kind: "pooled" (N, 2 D), the class token beside the scan sector's mean patch; "tokens" (N, 1 + T, D), the last
    tokens; "patches" (N, T, 2 D), a middle block beside the last. `sectors` (N, S, S) is True inside the scan sector.
    With a folder `cache` they are read from there, or written there, under a name that tells weights, pictures, kind
    and precision: whatever changes, changes the name. A damaged file is computed anew.
    """
    one_of("kind of features", kind, KINDS)
    if cache is None:
        return compute_features(open_encoder(encoder), images, sectors, kind, precision)
    made_of = [kind, precision, encoder_hash(encoder), picture_hash(images, sectors), f"torch {torch.__version__}"]
    place = Path(cache) / f"{kind}-{hash_text(' '.join(made_of))[:32]}.npy"
    found = _read(place, len(images))
    if found is None:
        found = compute_features(open_encoder(encoder), images, sectors, kind, precision)
        with replacing(place) as temporary, temporary.open("wb") as handle:
            np.save(handle, found, allow_pickle=False)
    return found


def compute_features(
    encoder: VisionTransformer, images: np.ndarray, sectors: np.ndarray, kind: str, precision: str
) -> np.ndarray:
    """What `cached_features` keeps; always the same for the same images, in the same order."""
    with computing_in(precision):
        if kind == "pooled":
            return extract_features(encoder, images, sectors)
        return (extract_tokens if kind == "tokens" else extract_patch_features)(encoder, images)


def picture_hash(images: np.ndarray, sectors: np.ndarray) -> str:
    """SHA-256 of pictures and sectors: their sizes and every value."""
    digest = hashlib.sha256(f"{images.shape} {images.dtype} {sectors.shape}".encode())
    digest.update(np.ascontiguousarray(images))
    digest.update(np.packbits(sectors))
    return digest.hexdigest()


def _read(place: Path, count: int) -> np.ndarray | None:
    """The features of `count` images in the file `place`; None when it is missing or damaged."""
    try:
        found = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if len(found) == count and np.isfinite(found).all() else None
