"""Membership inference by a loss threshold: an image that the model reconstructs well was in training, says the attack.

Yeom et al. 2018 (arXiv 1709.01604). The simplest attack on a finished model; `likelihood.py` has a stronger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.curation import load_pictures
from ultrafm.downstream.auc import auc_covariance
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import image_losses
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, scans_of
from ultrafm.reporting.records import record
from ultrafm.seeds import spawn_torch

FEWEST_PATIENTS = 4


def mean_losses(
    model: MaskedAutoencoder, scans: Scans, grey_scale: GreyScale, recipe: Recipe, seed: int, draws: int, purpose: str
) -> np.ndarray:
    """Reconstruction loss of each picture, (N,), mean over `draws` masks, which are the same for every model."""
    losses = [
        image_losses(model, scans, grey_scale, recipe, spawn_torch(seed, "membership masks", purpose, draw))
        for draw in range(draws)
    ]
    return np.mean(losses, axis=0)


def membership_losses(
    model: MaskedAutoencoder,
    curated: Path,
    sites: Sequence[str],
    grey_scale: GreyScale,
    recipe: Recipe,
    seed: int,
    draws: int,
) -> pd.DataFrame:
    """Reconstruction loss of images that were trained on (members) and of held-out ones, mean over `draws` masks.

    One row per image: site, patient, member, loss, simulated. Sites without held-out images have members only.
    """
    tables = []
    for folds, member in ((["train"], True), (["validation", "test", "evaluation"], False)):
        pictures = load_pictures(curated, sites, folds)
        losses = mean_losses(model, scans_of(pictures), grey_scale, recipe, seed, draws, str(member))
        tables.append(pictures.table[["site", "patient", "simulated"]].assign(member=member, loss=losses))
    return pd.concat(tables, ignore_index=True)


def membership_table(losses: pd.DataFrame) -> pd.DataFrame:
    """How well a low loss tells members from held-out images, inside each site: AUROC with patient-clustered interval.

    0.5 means that the attack learns nothing. Inside a site, because between sites the loss differs for other reasons.
    Sites with fewer than `FEWEST_PATIENTS` patients on either side are left out. The last row is the mean over sites.
    """
    rows = []
    for site, table in losses.groupby("site"):
        patients = table.groupby("member")["patient"].nunique()
        if len(patients) < 2 or patients.min() < FEWEST_PATIENTS:
            continue
        areas, covariance = auc_covariance(
            -table["loss"].to_numpy()[None], table["member"].to_numpy(), "clustered", table["patient"].to_numpy()
        )
        rows.append((site, len(table), table["patient"].nunique(), areas[0], covariance[0, 0]))
    found = pd.DataFrame(rows, columns=["site", "images", "patients", "auroc", "variance"])
    if len(found):
        mean = (
            "mean over sites",
            found.images.sum(),
            found.patients.sum(),
            found.auroc.mean(),
            found.variance.sum() / len(found) ** 2,
        )
        found.loc[len(found)] = mean
    half = 1.96 * np.sqrt(found.pop("variance"))
    return found.assign(low=(found.auroc - half).clip(0, 1), high=(found.auroc + half).clip(0, 1))


def membership_records(table: pd.DataFrame, images: str) -> list[dict[str, Any]]:
    """The attack's AUROC at each site and over sites, as records."""
    return [
        record(
            section="privacy", task="membership_inference", method="loss_threshold", metric="auroc",
            fold="train against held out", level=row.site, estimate=row.auroc, ci_low=row.low, ci_high=row.high,
            ci_method="Obuchowski, clustered by patient", n=int(row.images), n_patients=int(row.patients),
            unit="probability", images=images,
        )
        for row in table.itertuples()
    ]  # fmt: skip
