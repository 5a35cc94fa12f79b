"""What training leaves for others: the encoder as a timm folder with its model card, and the whole autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ultrafm.federation.log import Row
from ultrafm.federation.plan import Federation
from ultrafm.pretraining.exchange.autoencoder import FILE as AUTOENCODER
from ultrafm.pretraining.exchange.autoencoder import save_autoencoder
from ultrafm.pretraining.exchange.card import write_card
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.weights import save_encoder


def write_encoder(
    folder: Path,
    model: MaskedAutoencoder,
    grey_scale: GreyScale,
    recipe: Recipe,
    federation: Federation,
    about: dict[str, Any],
) -> Path:
    """Write encoder, card and, where no weights stayed at the sites, the whole autoencoder; returns the folder.

    `about` goes into the card: arm, sites, seed, licences, numbers (what is known of each site, such as {"images": 116,
    "validation_loss": 0.7}), and images, if it is known whether they are "real" or "simulated".
    """
    description = about | {"recipe": recipe.settings(), "federation": asdict(federation)}
    save_encoder(model, folder, grey_scale, description)
    if not federation.local_weights:
        save_autoencoder(model, folder / AUTOENCODER)
    write_card(folder)
    return folder


def site_numbers(images: Mapping[str, int], history: Sequence[Row], passes: int) -> dict[str, dict[str, float]]:
    """Of each site: its training images, and its validation loss after the last pass, where `history` has one."""
    numbers: dict[str, dict[str, float]] = {site: {"images": count} for site, count in images.items()}
    for row in history:
        if row["pass"] == passes and row["validation_loss"] is not None:
            numbers[row["site"]]["validation_loss"] = round(row["validation_loss"], 4)
    return numbers
