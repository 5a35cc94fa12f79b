"""The site's side of the federation as a Flower ClientApp: the same in a notebook and in a hospital.

A node's configuration names its `site`, the folder `curated` that holds its store, and its own `folder` for state.
Replies carry weights, counts and losses; no image, no path and no patient leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

import torch
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict

from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.deployment.site_app import SiteApp
from ultrafm.federation.site import RoundPlan, describe_site, train_site, validate_site
from ultrafm.federation.vector import WEIGHTS, as_views, layout, load_vector
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.precision import pick_device
from ultrafm.pretraining.recipe import Recipe, build_model

REFERENCE = "ultrafm.federation.client_app:app"
app = SiteApp()


@dataclass(frozen=True)
class SiteModel:
    """A model, its weights as one vector (changed with it, and it with them), and how they are laid out in it."""

    model: MaskedAutoencoder
    weights: torch.Tensor
    layout: dict[str, list[str]]


@lru_cache(maxsize=1)
def empty_model(recipe: Recipe) -> SiteModel:
    """One model per process; every round overwrites all of its weights."""
    model = build_model(recipe, seed=0).to(pick_device())
    return SiteModel(model, as_views(model), layout(model))


def receive_model(message: Message) -> tuple[Recipe, SiteModel]:
    """The model that a message carries. Raises ValueError when its weights are laid out otherwise than here."""
    recipe = Recipe(**dict(message.content["recipe"]))
    here = empty_model(recipe)
    theirs, ours = dict(message.content["layout"]), here.layout
    if theirs != ours:
        pairs = zip_longest(*(zip(one["names"], one["shapes"]) for one in (theirs, ours)))
        sent, own = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(f"the coordinator's model has {sent}, this site's {own}: install the same version at both")
    load_vector(here.weights, from_record(message.content["arrays"])[WEIGHTS])
    return recipe, here


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Which site this node is, how many training images it holds, and their grey sums."""
    site = str(context.node_config["site"])
    images, grey, squares = describe_site(str(context.node_config["curated"]), site)
    metrics = MetricRecord({"images": images, "grey": grey, "squares": squares})
    return Message(RecordDict({"metrics": metrics, "names": ConfigRecord({"site": site})}), reply_to=message)


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train the received weights on the site's images for one round and send them back with counts and losses."""
    recipe, here = receive_model(message)
    plan = RoundPlan(**dict(message.content["plan"]))
    site, folder = str(context.node_config["site"]), Path(str(context.node_config["folder"]))
    outcome = train_site(here.model, recipe, plan, str(context.node_config["curated"]), site, folder)
    trained = to_record({WEIGHTS: here.weights.cpu().numpy()})
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss})
    return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)


@app.evaluate()
def validate(message: Message, context: Context) -> Message:
    """Mean loss of the received weights on the site's validation images, and how many these are."""
    recipe, here = receive_model(message)
    plan = message.content["plan"]
    grey_scale = GreyScale(plan["grey_mean"], plan["grey_deviation"])
    curated, site = str(context.node_config["curated"]), str(context.node_config["site"])
    outcome = validate_site(here.model, recipe, plan["seed"], grey_scale, curated, site)
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
