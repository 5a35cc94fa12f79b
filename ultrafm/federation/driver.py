"""The coordinator's loop: describe, then round after round train, average, save. One driver for every kind of grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.grid import LocalGrid, PoolGrid
from ultrafm.federation.schedule import Schedule
from ultrafm.federation.server_optimizer import ServerOptimizer, State, adam, average
from ultrafm.federation.strategy import StreamingAverage
from ultrafm.federation.vector import WEIGHTS, as_views, layout, load_vector, to_vector
from ultrafm.files import hash_text
from ultrafm.pretraining.checkpoint import load_checkpoint, part_of, save_checkpoint
from ultrafm.pretraining.grey import GreyScale, grey_scale_of
from ultrafm.pretraining.loop import LearningRate
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Federation:
    """How sites work together; see `schedule.py` for `passes`, `shares` and `sites_per_round`.

    `adaptive` says where the adaptive optimizer is: AdamW at the sites, with moments "kept" or "reset" between rounds,
    and averaging at the server; or Adam at the "server", and plain gradient steps of size `site_step` at the sites. Its
    rate is the recipe's, wherever it is. Updates are weighted by "images" of the round or "equal".
    """

    passes: int
    shares: int = 1
    sites_per_round: int = 0
    site_batch_size: int = 8
    adaptive: str = "server"
    site_step: float = 0.1
    weighting: str = "images"

    def __post_init__(self) -> None:
        one_of("adaptive", self.adaptive, ("server", "kept", "reset"))

    def schedule(self, sites: int, seed: int) -> Schedule:
        """Who trains what, when, with so many sites."""
        return Schedule(sites, self.passes, self.shares, self.sites_per_round, seed)


@dataclass(frozen=True)
class SiteDescription:
    """What a site says of itself before the first round."""

    site: str
    images: int
    grey: float
    squares: float


def open_grid(curated: Path, sites: list[str], folder: Path, workers: int) -> LocalGrid:
    """A grid over the stores of `sites` below `curated`; state that a site keeps goes to `folder`/<site>."""
    nodes = [{"site": site, "curated": str(curated), "folder": str(folder / site)} for site in sites]
    return LocalGrid(REFERENCE, nodes) if workers <= 1 else PoolGrid(REFERENCE, nodes, workers)


def in_order(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    """Send all messages and yield the replies one at a time in the order of sending.

    Raises UltraFMError when a reply takes longer than `timeout` seconds.
    """
    for name in list(grid.push_messages(messages)):
        end = time.monotonic() + timeout
        while (reply := next(iter(grid.pull_messages([name])), None)) is None:
            if time.monotonic() > end:
                raise UltraFMError("federation", f"no reply within {timeout:g} s", "a reply of every site")
            time.sleep(POLL_SECONDS)
        yield reply


def describe_sites(grid: Grid, sites: list[str], timeout: float) -> dict[int, SiteDescription]:
    """Ask every node which site it is and how much it holds: node id -> description, in the order of `sites`.

    Raises UltraFMError for a site that is not expected, that two nodes claim to be, that no node is, or that holds no
    training image.
    """
    nodes = list(grid.get_node_ids())
    messages = [Message(RecordDict({"config": ConfigRecord({})}), node, "query.describe") for node in nodes]
    found: dict[str, tuple[int, SiteDescription]] = {}
    for node, reply in zip(nodes, in_order(grid, messages, timeout)):
        if reply.has_error():
            raise UltraFMError(
                f"node {node}", reply.error.reason, "a description of the site", "mend the site, run again"
            )
        metrics, site = reply.content["metrics"], str(reply.content["names"]["site"])
        one_of(f"node {node}, site", site, sites)
        if site in found:
            mend = "give every node the name of its own site"
            raise UltraFMError(f"site {site}", "two nodes of this name", "one node a site", mend)
        description = SiteDescription(site, int(metrics["images"]), metrics["grey"], metrics["squares"])
        if description.images == 0:
            raise UltraFMError(f"site {site}", "no training image", "at least one", "leave the site out")
        found[site] = (node, description)
    if missing := [site for site in sites if site not in found]:
        raise UltraFMError(f"site {missing[0]}", "no node of this name", "a node for every site", "start the site")
    return dict(found[site] for site in sites)


def common_grey_scale(descriptions: Mapping[int, SiteDescription]) -> GreyScale:
    """The grey normalisation of all sites together."""
    return grey_scale_of([(one.images, one.grey, one.squares) for one in descriptions.values()])


def federate(
    curated: Path,
    sites: list[str],
    folder: Path,
    recipe: Recipe,
    federation: Federation,
    seed: int,
    workers: int = 1,
    timeout: float = 3600.0,
    on_round: Callable[[int, float], None] | None = None,
) -> tuple[MaskedAutoencoder, GreyScale, list[dict[str, float | str | None]]]:
    """`drive` over the stores of `sites` below `curated` on this machine; `workers` processes change the speed only."""
    grid = open_grid(curated, sites, folder / "sites", workers)
    try:
        return drive(grid, sites, folder, recipe, federation, seed, timeout, on_round)
    finally:
        grid.close()


def drive(
    grid: Grid,
    sites: list[str],
    folder: Path,
    recipe: Recipe,
    federation: Federation,
    seed: int,
    timeout: float = 3600.0,
    on_round: Callable[[int, float], None] | None = None,
) -> tuple[MaskedAutoencoder, GreyScale, list[dict[str, float | str | None]]]:
    """Pre-train one model over the `sites` that answer through `grid`, wherever these are.

    Resumes from the checkpoints in `folder`. Returns the model, the grey normalisation that the sites agreed on, and
    one row per pass and site: pass, site, images, loss (of training), validation_images, validation_loss (after the
    pass; None without validation images). Pass 0 is before training.
    """
    schedule = federation.schedule(len(sites), seed)
    descriptions = describe_sites(grid, sites, timeout)
    grey_scale = common_grey_scale(descriptions)
    names = {node: description.site for node, description in descriptions.items()}
    strategy = StreamingAverage(names, schedule, federation.weighting, *server_side(recipe, federation, schedule))
    model = build_model(recipe, seed)
    arrays = to_record({WEIGHTS: to_vector(model)})
    history: list[dict[str, float | str | None]] = []
    finished = 0
    config = round_config(recipe, federation, schedule.rounds, grey_scale, layout(model), seed)
    settings = describe_settings(config, federation, descriptions)
    if (found := load_round(folder, settings)) is not None:
        arrays, strategy.state, finished, history = found
    if not finished:
        validate(grid, strategy, 0, arrays, config, timeout)
        history = add_validation([], 0, strategy.site_validation)
    for number in range(finished + 1, schedule.rounds + 1):
        messages = strategy.configure_train(number, arrays, config, grid)
        arrays, losses = strategy.aggregate_train(number, in_order(grid, messages, timeout))
        history = add_round(history, schedule.place(number)[0], strategy.site_metrics)
        if ends := schedule.ends_pass(number):
            validate(grid, strategy, number, arrays, config, timeout)
            history = add_validation(history, schedule.place(number)[0], strategy.site_validation)
        facts = {"settings": settings, "round": number, "rounds": schedule.rounds, "history": history}
        save_round(folder, arrays, strategy.state, facts, ends)
        if on_round:
            on_round(number, float(losses["loss"]))
    load_vector(as_views(model), from_record(arrays)[WEIGHTS])
    return model, grey_scale, history


def server_side(
    recipe: Recipe, federation: Federation, schedule: Schedule
) -> tuple[ServerOptimizer, Callable[[int], float]]:
    """The server's optimizer and its learning rate in each round, from 1 on."""
    if federation.adaptive != "server":
        return average, lambda number: 1.0
    rate = LearningRate(recipe.peak_rate, recipe.warmup)
    return adam, lambda number: rate.at((number - 0.5) / schedule.rounds)


def round_config(
    recipe: Recipe, federation: Federation, rounds: int, grey_scale: GreyScale, weights: dict[str, list[str]], seed: int
) -> ConfigRecord:
    """What goes to every site in every round, as one flat Flower record; the batch size is that of sites."""
    at_sites = replace(recipe, batch_size=federation.site_batch_size)
    plan = {
        "seed": seed, "rounds": rounds, "shares": federation.shares, "adaptive": federation.adaptive,
        "site_step": federation.site_step,
        "grey_mean": grey_scale.mean, "grey_deviation": grey_scale.deviation,
    }  # fmt: skip
    values = {f"recipe/{key}": value for key, value in at_sites.settings().items()}
    values |= {f"layout/{key}": value for key, value in weights.items()}
    return ConfigRecord(values | {f"plan/{key}": value for key, value in plan.items()})


def validate(
    grid: Grid, strategy: StreamingAverage, number: int, arrays: ArrayRecord, config: ConfigRecord, timeout: float
) -> None:
    """Ask every site for the validation loss of the weights after round `number`; the strategy keeps the answers."""
    messages = strategy.configure_evaluate(number, arrays, config, grid)
    strategy.aggregate_evaluate(number, in_order(grid, messages, timeout))


def add_round(history: list[dict], number: int, site_metrics: Mapping[str, Mapping[str, float]]) -> list[dict]:
    """The log with a round of pass `number` added to it: one row per pass and site, losses averaged over images."""
    rows = {(row["pass"], row["site"]): row for row in history}
    for site, metrics in site_metrics.items():
        row = rows.get((number, site), new_row(number, site))
        images = row["images"] + int(metrics["images"])
        total = (row["loss"] or 0.0) * row["images"] + metrics["loss"] * metrics["images"]
        rows[number, site] = row | {"images": images, "loss": total / images if images else None}
    return list(rows.values())


def add_validation(history: list[dict], number: int, site_metrics: Mapping[str, Mapping[str, float]]) -> list[dict]:
    """The log with the validation losses after pass `number`."""
    rows = {(row["pass"], row["site"]): row for row in history}
    for site, metrics in site_metrics.items():
        images = int(metrics["images"])
        found = {"validation_images": images, "validation_loss": float(metrics["loss"]) if images else None}
        rows[number, site] = rows.get((number, site), new_row(number, site)) | found
    return list(rows.values())


def new_row(number: int, site: str) -> dict[str, Any]:
    """A row of the log of which nothing is known yet."""
    return {"pass": number, "site": site, "images": 0, "loss": None, "validation_images": 0, "validation_loss": None}


def describe_settings(config: ConfigRecord, federation: Federation, descriptions: dict[int, SiteDescription]) -> str:
    """A fingerprint of everything that the weights depend on; a state with another one is not continued."""
    rows = [asdict(description) for description in descriptions.values()]
    return hash_text(json.dumps([sorted(config.items()), asdict(federation), rows]))


def save_round(folder: Path, arrays: ArrayRecord, state: State, facts: dict[str, Any], ends_pass: bool) -> None:
    """Write the state after a round: global weights, the server optimizer's state, and `facts` with the log.

    It survives the end of the process after every round, and a power cut after the last round of a pass.
    """
    values = {f"model/{name}": value.copy() for name, value in from_record(arrays).items()}
    for kind, memory in state.items():
        values |= {f"server/{kind}/{name}": value for name, value in memory.items()}
    tensors = {name: torch.from_numpy(value) for name, value in values.items()}
    save_checkpoint(folder, facts["round"], tensors, facts, lasting=ends_pass)


def load_round(folder: Path, settings: str) -> tuple[ArrayRecord, State, int, list] | None:
    """Global weights, server state, last finished round and log; None when there is nothing to continue.

    A state that was written under other settings, or over other images, is left alone and training begins anew.
    """
    if (found := load_checkpoint(folder, settings)) is None:
        return None
    tensors, facts = found
    state: State = {}
    for key, tensor in part_of(tensors, "server").items():
        kind, name = key.split("/", 1)
        state.setdefault(kind, {})[name] = tensor.numpy()
    model = {name: tensor.numpy() for name, tensor in part_of(tensors, "model").items()}
    return to_record(model), state, facts["round"], facts["history"]
