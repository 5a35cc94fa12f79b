"""Figures of pre-training: loss curves of the arms and what the models make of hidden patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas.io.formats.style import Styler

from ultrafm.curation import Pictures, load_pictures
from ultrafm.federation.arms import Workplace, load_model
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.reconstruct import reconstruct
from ultrafm.pretraining.scans import Scans, scans_of
from ultrafm.reporting.figures import PALETTE, colour_places, interval_plot, loss_curves, new_figure, picture_grid
from ultrafm.seeds import spawn, spawn_torch

PASS = "finished passes over all training images"


def site_curves(rounds: pd.DataFrame, images: str) -> Figure:
    """Training loss of each site and of the federation (weighted by images) by pass; `images`: real or simulated.

    The validation loss where no site's training loss is known, as with secure sums.
    """
    kind, loss, weight = "Training", "loss", "images"
    if rounds["loss"].isna().all():
        kind, loss, weight = "Validation", "validation_loss", "validation_images"
    told = rounds.dropna(subset=[loss])[["pass", "site", loss, weight]]
    table = told.rename(columns={loss: "loss", weight: "weight", "pass": "round"})
    figure = loss_curves(table, f"{kind} loss at each site ({images} images)")
    figure.axes[0].set_xlabel(PASS)
    return figure


def pass_losses(rounds: pd.DataFrame) -> pd.DataFrame:
    """Mean validation loss of each pass, over the sites' validation images: columns pass, validation_loss."""
    held_out = rounds.dropna(subset=["validation_loss"])
    total = (held_out["validation_loss"] * held_out["validation_images"]).groupby(held_out["pass"]).sum()
    mean = total / held_out["validation_images"].groupby(held_out["pass"]).sum()
    return mean.rename("validation_loss").reset_index()


def traffic_style(log: pd.DataFrame, rounds_of_a_pass: int) -> Styler:
    """Megabytes of weights to and from each site, in all and for each of its rounds; each message counts once."""
    table = log.groupby("site").agg(images=("images", "max"), to=("bytes_sent", "sum"), back=("bytes_received", "sum"))
    rounds, sites = max(int(log["pass"].max()) * rounds_of_a_pass, 1), set(table.index)
    table.loc["all sites"] = table.sum()
    shown = pd.DataFrame(
        {
            "site": table.index,
            "training images": table["images"].astype(int),
            "MB to the site": [f"{value / 1e6:,.1f}" for value in table["to"]],
            "MB from the site": [f"{value / 1e6:,.1f}" for value in table["back"]],
            "MB a round, both ways": [
                f"{(one.to + one.back) / 1e6 / rounds:,.2f}" if one.Index in sites else "" for one in table.itertuples()
            ],
        }
    )
    return shown.style.hide(axis="index")


def arm_curves(rounds: pd.DataFrame, comparisons: pd.DataFrame, images: str) -> Figure:
    """Validation loss after each pass, from 0: the federated model beside one site alone and all sites pooled."""
    others = comparisons[["arm", "pass", "validation_loss"]]
    table = pd.concat([pass_losses(rounds).assign(arm="federated"), others], ignore_index=True)
    figure = new_figure(8, 3.8, f"Validation loss by pass of {', '.join(table['arm'].unique())} ({images} images)")
    axes = figure.add_subplot()
    places = colour_places(list(table["arm"].unique()))
    for arm, curve in table.groupby("arm", sort=False):
        words, colour = arm.replace("_", " "), PALETTE[places[arm]]
        axes.plot(curve["pass"], curve["validation_loss"], label=words, color=colour, linewidth=2)
    axes.set(xlabel=PASS, ylabel="loss (1: guessing the mean)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"Loss on all sites' validation images ({images})")
    axes.legend()
    return figure


def setting_curves(curves: pd.DataFrame, images: str) -> Figure:
    """Validation loss after each pass, from 0, under every setting of the federation."""
    figure = new_figure(
        8, 4.2, f"Validation loss by pass under {curves['setting'].nunique()} settings ({images} images)"
    )
    axes = figure.add_subplot()
    for (setting, curve), colour in zip(curves.groupby("setting", sort=False), PALETTE):
        axes.plot(curve["pass"], curve["validation_loss"], label=setting, color=colour, linewidth=2)
    axes.set(xlabel=PASS, ylabel="loss (1: guessing the mean)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"Loss on all sites' validation images ({images})")
    axes.legend(title="adaptive optimizer, rounds a pass, sites a round")
    return figure


def choose_examples(place: Workplace, sites: Sequence[str], count: int) -> tuple[Scans, list[str]]:
    """`count` pictures of different sites, from validation folds where there are any, and their sites and organs."""
    chosen = list(spawn(place.seed, "example sites").permutation(sorted(sites))[:count])
    tables, images, sectors = [], [], []
    for site in chosen:
        pictures = load_pictures(place.curated, [site], ["validation"])
        if not len(pictures.images):
            pictures = load_pictures(place.curated, [site], ["train"])
        row = int(spawn(place.seed, "example image", site).integers(len(pictures.images)))
        images.append(pictures.images[row])
        sectors.append(pictures.sectors[row])
        tables.append(pictures.table.iloc[[row]])
    table = pd.concat(tables, ignore_index=True)
    chosen = Pictures(np.stack(images), np.stack(sectors), table)
    return scans_of(chosen), [f"{row.site[:7]}, {row.organ}" for row in table.itertuples()]


def reconstruction_figure(
    place: Workplace, sites: Sequence[str], grey_scale: GreyScale, arms: Sequence[str], count: int, images: str
) -> Figure:
    """Original, what was visible, and what each arm's model made of the hidden patches, one row per example.

    Mean and deviation of every hidden patch are taken from the original: the model predicts texture, not level.
    """
    scans, names = choose_examples(place, sites, count)
    made = {
        arm: reconstruct(
            load_model(place, arm), scans, grey_scale, place.recipe.mask_ratio,
            spawn_torch(place.seed, "example masks"),
        )
        for arm in arms
    }  # fmt: skip
    pictures, titles = [], []
    for row, name in enumerate(names):
        first = made[arms[0]]
        pictures += [first.original[row], first.visible[row], *(made[arm].completed[row] for arm in arms)]
        titles += [name, "visible to the model", *(arm.replace("_", " ") for arm in arms)]
    return picture_grid(pictures, titles, f"Reconstruction of hidden patches ({images} images)", 2 + len(arms), 1.7)


def loss_figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Mean validation loss of the arms with intervals, from the records that go into the results."""
    table = pd.DataFrame(records)
    table["method"] = table["method"].str.replace("_", " ")
    title = f"Reconstruction loss on validation images ({table.images.iloc[0]})"
    return interval_plot(table, "estimate", "ci_low", "ci_high", "method", None, title, "loss (1: guessing the mean)")
