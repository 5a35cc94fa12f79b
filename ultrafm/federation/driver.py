"""The coordinator's loop: describe, then round after round train, average, save. One driver for every kind of grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ultrafm.errors import UltraFMError
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.grid import LocalGrid, PoolGrid
from ultrafm.federation.site import grey_scale_of
from ultrafm.federation.strategy import StreamingAverage
from ultrafm.files import hash_text
from ultrafm.pretraining.loop import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.weights import load_state, save_state

POLL_SECONDS = 0.2
STATE = "state.safetensors"


@dataclass(frozen=True)
class Federation:
    """How sites work together: averaged by images or equally, with or without server momentum.

    In a pass every site takes part once, in one of the pass's rounds of `sites_per_round` sites (0: all).
    """

    passes: int
    sites_per_round: int = 0
    local_epochs: int = 1
    site_batch_size: int = 8
    site_optimizer: str = "kept"
    server_momentum: float = 0.0
    weighting: str = "images"

    def rounds_per_pass(self, sites: int) -> int:
        """In how many rounds all of `sites` sites take part once."""
        return -(-sites // self.sites_per_round) if 0 < self.sites_per_round < sites else 1


@dataclass(frozen=True)
class SiteDescription:
    """What a site says of itself before the first round."""

    site: str
    images: int
    grey: float
    squares: float


def open_grid(curated: Path, sites: list[str], folder: Path, workers: int) -> LocalGrid:
    """A grid over the stores of `sites` below `curated`; state that a site keeps goes to `folder`/<site>."""
    nodes = [
        {"site": site, "number": number, "curated": str(curated), "folder": str(folder / site)}
        for number, site in enumerate(sites)
    ]
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
    """Ask every node which site it is and how much it holds: node id -> description, in the order of `sites`."""
    nodes = list(grid.get_node_ids())
    messages = [Message(RecordDict({"config": ConfigRecord({})}), node, "query.describe") for node in nodes]
    found: dict[int, tuple[int, SiteDescription]] = {}
    for node, reply in zip(nodes, in_order(grid, messages, timeout)):
        if reply.has_error():
            raise UltraFMError(
                f"node {node}", reply.error.reason, "a description of the site", "mend the site, run again"
            )
        metrics = reply.content["metrics"]
        number = int(metrics["number"])
        description = SiteDescription(sites[number], int(metrics["images"]), metrics["grey"], metrics["squares"])
        if description.images == 0:
            raise UltraFMError(f"site {description.site}", "no training image", "at least one", "leave the site out")
        found[node] = (number, description)
    return {node: description for node, (_number, description) in sorted(found.items(), key=lambda item: item[1][0])}


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
) -> tuple[MaskedAutoencoder, GreyScale, list[dict[str, float | str]]]:
    """Pre-train one model over `sites` without an image leaving its store; resumes from `folder`/state.safetensors.

    Returns the model, the grey normalisation that the sites agreed on, and one row per round and site: round, pass,
    site, images, loss, validation_loss (None without validation images). `workers` processes change the speed only.
    """
    grid = open_grid(curated, sites, folder / "sites", workers)
    try:
        descriptions = describe_sites(grid, sites, timeout)
        grey_scale = grey_scale_of([(one.images, one.grey, one.squares) for one in descriptions.values()])
        names = {node: description.site for node, description in descriptions.items()}
        strategy = StreamingAverage(
            names, federation.weighting, federation.server_momentum, federation.sites_per_round, seed
        )
        arrays = ArrayRecord(build_model(recipe, seed).state_dict())
        history: list[dict[str, float | str]] = []
        finished = 0
        rounds = federation.passes * federation.rounds_per_pass(len(sites))
        config = round_config(recipe, federation, rounds, grey_scale, seed)
        settings = describe_settings(config, federation, descriptions)
        if (found := load_round(folder, settings)) is not None:
            arrays, strategy.velocity, finished, history = found
        for number in range(finished + 1, rounds + 1):
            messages = strategy.configure_train(number, arrays, config, grid)
            arrays, losses = strategy.aggregate_train(number, in_order(grid, messages, timeout))
            history += site_rows(number, federation.rounds_per_pass(len(sites)), strategy)
            save_round(folder, arrays, strategy.velocity, settings, number, history)
            if on_round:
                on_round(number, float(losses["loss"]))
    finally:
        grid.close()
    model = build_model(recipe, seed)
    model.load_state_dict(arrays.to_torch_state_dict())
    return model, grey_scale, history


def round_config(recipe: Recipe, federation: Federation, rounds: int, grey_scale: GreyScale, seed: int) -> ConfigRecord:
    """What goes to every site in every round, as one flat Flower record; the batch size is that of sites."""
    at_sites = replace(recipe, batch_size=federation.site_batch_size)
    plan = {
        "seed": seed, "rounds": rounds, "local_epochs": federation.local_epochs,
        "site_optimizer": federation.site_optimizer,
        "grey_mean": grey_scale.mean, "grey_deviation": grey_scale.deviation,
    }  # fmt: skip
    values = {f"recipe/{key}": value for key, value in at_sites.settings().items()}
    return ConfigRecord(values | {f"plan/{key}": value for key, value in plan.items()})


def site_rows(number: int, rounds_per_pass: int, strategy: StreamingAverage) -> list[dict[str, float | str]]:
    """One row of the round log per site that took part; passes count from 1 too."""
    return [
        {
            "round": number, "pass": (number - 1) // rounds_per_pass + 1, "site": site,
            "images": int(metrics["images"]), "loss": float(metrics["loss"]),
            "validation_images": int(metrics["validation_images"]),
            "validation_loss": float(metrics["validation_loss"]) if metrics["validation_images"] else None,
        }
        for site, metrics in strategy.site_metrics.items()
    ]  # fmt: skip


def describe_settings(config: ConfigRecord, federation: Federation, descriptions: dict[int, SiteDescription]) -> str:
    """A fingerprint of everything that the weights depend on; a state with another one is not continued."""
    rows = [asdict(description) for description in descriptions.values()]
    return hash_text(json.dumps([sorted(config.items()), asdict(federation), rows]))


def save_round(
    folder: Path, arrays: ArrayRecord, velocity: dict[str, np.ndarray], settings: str, number: int, history: list
) -> None:
    """Write the state after a round: global weights, server momentum and the round log, in one file."""
    tensors = {f"model/{name}": torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()}
    tensors |= {f"velocity/{name}": torch.from_numpy(value) for name, value in velocity.items()}
    save_state(folder / STATE, tensors, {"settings": settings, "round": number, "history": history})


def load_round(folder: Path, settings: str) -> tuple[ArrayRecord, dict[str, np.ndarray], int, list] | None:
    """Global weights, server momentum, last finished round and round log; None when there is nothing to continue.

    A state that was written under other settings, or over other images, is left alone and training begins anew.
    """
    if not (folder / STATE).exists():
        return None
    tensors, facts = load_state(folder / STATE)
    if facts["settings"] != settings:
        return None
    model = {name[6:]: Array(tensor.numpy()) for name, tensor in tensors.items() if name.startswith("model/")}
    velocity = {name[9:]: tensor.numpy() for name, tensor in tensors.items() if name.startswith("velocity/")}
    return ArrayRecord(model), velocity, facts["round"], facts["history"]
