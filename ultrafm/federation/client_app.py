"""The site's side of the federation as a Flower ClientApp: the same in a notebook and in a hospital.

A node's configuration names its `site`, the folder `curated` that holds its store, and its own `folder` for state.
Replies carry weights, counts and losses; no image, no path and no patient leaves.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.site import RoundPlan, describe_site, train_site, validate_site
from ultrafm.pretraining.loop import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model

REFERENCE = "ultrafm.federation.client_app:app"
app = ClientApp()


@lru_cache(maxsize=1)
def empty_model(recipe: Recipe) -> MaskedAutoencoder:
    """One model per process; every round overwrites all of its weights."""
    return build_model(recipe, seed=0)


def load_weights(model: MaskedAutoencoder, arrays: dict[str, np.ndarray]) -> None:
    """Overwrite all weights of `model`. Raises ValueError unless there is one array for each, of its shape."""
    state = model.state_dict()
    if {name: value.shape for name, value in arrays.items()} != {name: tuple(state[name].shape) for name in state}:
        raise ValueError("the weights that were sent are not those of this model")
    for name, tensor in state.items():
        tensor.copy_(torch.from_numpy(arrays[name].copy()))  # copied, because torch wants memory that it may write to


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Which site this node is, how many training images it holds, and their grey sums."""
    site = str(context.node_config["site"])
    images, grey, squares = describe_site(str(context.node_config["curated"]), site)
    metrics = MetricRecord(
        {"number": int(context.node_config["number"]), "images": images, "grey": grey, "squares": squares}
    )
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train the received weights on the site's images for one round and send them back with counts and losses."""
    recipe = Recipe(**dict(message.content["recipe"]))
    plan = RoundPlan(**dict(message.content["plan"]))
    model = empty_model(recipe)
    load_weights(model, from_record(message.content["arrays"]))
    site, folder = str(context.node_config["site"]), Path(str(context.node_config["folder"]))
    outcome = train_site(model, recipe, plan, str(context.node_config["curated"]), site, folder)
    trained = to_record({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss})
    return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)


@app.evaluate()
def validate(message: Message, context: Context) -> Message:
    """Mean loss of the received weights on the site's validation images, and how many these are."""
    recipe, plan = Recipe(**dict(message.content["recipe"])), message.content["plan"]
    model = empty_model(recipe)
    load_weights(model, from_record(message.content["arrays"]))
    grey_scale = GreyScale(plan["grey_mean"], plan["grey_deviation"])
    curated, site = str(context.node_config["curated"]), str(context.node_config["site"])
    outcome = validate_site(model, recipe, plan["seed"], grey_scale, curated, site)
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
