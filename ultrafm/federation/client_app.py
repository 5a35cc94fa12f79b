"""The site's side of the federation as a Flower ClientApp: the same in a notebook and in a hospital.

A node's configuration names its `site`, the folder `curated` that holds its store, and its own `folder` for state.
Replies carry weights, counts and losses; no image, no path and no patient leaves.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict

from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.deployment.site_app import SiteApp
from ultrafm.federation.licences import site_licence
from ultrafm.federation.privacy.at_site import describe_protected, refuse_loss, train_protected
from ultrafm.federation.secure.client import QUERIES, SECURE, masked_update
from ultrafm.federation.site import (
    RoundPlan,
    SiteModel,
    describe_site,
    open_site_model,
    site_organs,
    validate_site,
)  # fmt: skip
from ultrafm.federation.vector import WEIGHTS, load_vector
from ultrafm.pretraining.precision import pick_device
from ultrafm.pretraining.recipe import Recipe

REFERENCE = "ultrafm.federation.client_app:app"
app = SiteApp()
for stage, answer in QUERIES.items():
    app.query(stage)(answer)


@lru_cache(maxsize=1)
def empty_model(recipe: Recipe, local: tuple[str, ...]) -> SiteModel:
    """One model per process; every message overwrites all of its weights."""
    return open_site_model(recipe, local, pick_device())


def receive_model(message: Message) -> tuple[Recipe, SiteModel]:
    """The model that a message carries. Raises ValueError when its weights are laid out otherwise than here."""
    recipe = Recipe(**dict(message.content["recipe"]))
    here = empty_model(recipe, tuple(message.content["plan"]["local_weights"].split()))
    theirs, ours = dict(message.content["layout"]), here.layout
    if theirs != ours:
        pairs = zip_longest(*(zip(one["names"], one["shapes"]) for one in (theirs, ours)))
        sent, own = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(f"the coordinator's model has {sent}, this site's {own}: install the same version at both")
    load_vector(here.weights, from_record(message.content["arrays"])[WEIGHTS])
    return recipe, here


def whereabouts(context: Context) -> tuple[str, str, Path]:
    """Of this node: where its curated store is, the site's name, and the folder for its state."""
    known = context.node_config
    return str(known["curated"]), str(known["site"]), Path(str(known["folder"]))


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Which site this node is, how many training images it holds, and their grey sums; organs and licence if asked."""
    curated, site, _folder = whereabouts(context)
    privacy = str(message.content["config"].get("privacy", "none"))
    organs = bool(message.content["config"]["organs"])
    images, grey, squares = describe_protected(curated, site, privacy, organs) or describe_site(curated, site)
    records = {"metrics": MetricRecord({"images": images, "grey": grey, "squares": squares})}
    records["names"] = ConfigRecord({"site": site})
    if organs:
        records["organs"] = MetricRecord(site_organs(curated, site))
    if message.content["config"]["licences"]:
        records["licence"] = ConfigRecord(site_licence(curated, site))
    return Message(RecordDict(records), reply_to=message)


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train the received weights on the site's images for one round and send them back with counts and losses.

    In a secure round all of these go as masked numbers.
    """
    recipe, here = receive_model(message)
    plan = RoundPlan(**dict(message.content["plan"]))
    if SECURE in message.content:
        return masked_update(message, context, lambda: train_protected(here, recipe, plan, *whereabouts(context)))
    outcome = train_protected(here, recipe, plan, *whereabouts(context))
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss, "round": plan.round})
    return Message(RecordDict({"arrays": to_record(outcome.arrays), "metrics": metrics}), reply_to=message)


@app.evaluate()
def validate(message: Message, context: Context) -> Message:
    """Mean loss of the received weights on the site's validation images, and how many these are."""
    recipe, here = receive_model(message)
    plan = dict(message.content["plan"])
    refuse_loss(*whereabouts(context)[:2], str(plan.get("privacy", "none")))
    outcome = validate_site(here, recipe, plan, *whereabouts(context))
    metrics = MetricRecord({"images": outcome.images, "loss": outcome.loss, "round": plan["round"]})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
