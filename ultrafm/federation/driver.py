"""The coordinator's loop: meet the sites, then round after round train, join, save. One driver for every grid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.checks import plain
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.courier import Courier
from ultrafm.federation.grid import LocalGrid, PoolGrid
from ultrafm.federation.incidents import DROPPED, Incident
from ultrafm.federation.licences import read_licence
from ultrafm.federation.log import Row, add_bytes, add_round, add_validation, without_losses
from ultrafm.federation.plan import FAULT_FIELDS, SECURE_FIELDS, Federation, SiteDescription
from ultrafm.federation.privacy.protection import without_unused
from ultrafm.federation.secure.keys import prepare_keys
from ultrafm.federation.secure.rounds import secure_round
from ultrafm.federation.state import load_round, save_round
from ultrafm.federation.strategy import FederatedRounds
from ultrafm.federation.vector import WEIGHTS, as_views, layout, load_vector, to_vector
from ultrafm.files import hash_text
from ultrafm.pretraining.checkpoint import newest_facts
from ultrafm.pretraining.grey import GreyScale, grey_scale_of
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe, build_model


@dataclass(frozen=True)
class Pretrained:
    """What a federation leaves: the model, the grey normalisation that its sites agreed on, and the log of it.

    Weights that stay at the sites are in `model` as they began. `history`: see `log.py`. `sites`: as they told.
    """

    model: MaskedAutoencoder
    grey_scale: GreyScale
    history: list[Row]
    incidents: list[Incident]
    sites: list[SiteDescription]


def open_grid(curated: Path, sites: list[str], folder: Path, workers: int, secure: bool = False) -> LocalGrid:
    """A grid over the stores of `sites` below `curated`; state that a site keeps goes to `folder`/<site>.

    Where sums are to be `secure`, each site has a key there, and all know the public ones.
    """
    nodes = [{"site": site, "curated": str(curated), "folder": str(folder / site)} for site in sites]
    if secure:
        keys = prepare_keys(folder, sites)
        nodes = [node | keys[node["site"]] for node in nodes]
    return LocalGrid(REFERENCE, nodes) if workers <= 1 else PoolGrid(REFERENCE, nodes, workers)


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
) -> Pretrained:
    """`drive` over the stores of `sites` below `curated` on this machine; `workers` processes change the speed only."""
    grid = open_grid(curated, sites, folder / "sites", workers, federation.secure_aggregation)
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
    begin_anew: bool = True,
    licences: bool = False,
) -> Pretrained:
    """Pre-train one model over the `sites` that answer through `grid`, wherever these are.

    A reply is waited for `timeout` seconds. Sites are asked for `licences` only if wanted. Resumes from the checkpoints
    in `folder`, which hold the log too. Where these are of other settings or other images, training begins anew, or
    UltraFMError is raised.
    """
    model = build_model(recipe, seed)
    local = federation.local_patterns
    courier = Courier(grid, {}, timeout)
    nodes = meet_sites(courier, sites, folder, federation, licences)
    grey_scale = common_grey_scale(nodes, federation)
    strategy = FederatedRounds(nodes, recipe, federation, seed, folder, courier.incidents)
    config = round_config(recipe, federation, strategy.schedule.rounds, grey_scale, layout(model, local), seed)
    settings = describe_settings(config, federation, nodes)
    config["plan/run"] = hash_text(settings)[:12]
    arrays, finished, history = to_record({WEIGHTS: to_vector(model, local)}), 0, []
    strategy.require_possible()
    if (found := load_round(folder, settings, strategy, begin_anew)) is not None:
        arrays, finished, history = found
    elif not federation.is_private:
        history = validate(courier, strategy, 0, arrays, config, history)
    for number in range(finished + 1, strategy.schedule.rounds + 1):
        if federation.secure_aggregation:
            arrays, losses = secure_round(courier, strategy, number, arrays, config, folder)
        else:
            messages = strategy.configure_train(number, arrays, config, grid)
            arrays, losses = strategy.aggregate_train(number, courier.ask(messages, number))
        number_of_pass = strategy.schedule.place(number)[0]
        history = add_round(history, number_of_pass, strategy.site_metrics)
        history = add_bytes(history, number_of_pass, courier.take_traffic())
        if federation.is_private:
            history = without_losses(history)
        if (ends := strategy.schedule.ends_pass(number)) and not federation.is_private:
            history = validate(courier, strategy, number, arrays, config, history)
        facts = {"settings": settings, "round": number, "rounds": strategy.schedule.rounds, "history": history}
        facts["sites"] = [[node, asdict(one)] for node, one in nodes.items()]
        save_round(folder, arrays, strategy, facts, ends)
        if on_round:
            on_round(number, math.nan if federation.is_private else float(losses["loss"]))
    load_vector(as_views(model, local), from_record(arrays)[WEIGHTS])
    return Pretrained(model, grey_scale, history, courier.incidents, list(nodes.values()))


def meet_sites(
    courier: Courier, sites: list[str], folder: Path, federation: Federation, licences: bool = False
) -> dict[int, SiteDescription]:
    """Which node is which site: node id -> what it says of itself, in the order of `sites`; the courier learns names.

    A run that was interrupted, and drops faults, goes on without a site that is not there or fails: as it was known
    before. Raises UltraFMError for a site that no node is.
    """
    known = (newest_facts(folder) or {}).get("sites", []) if federation.on_fault == "drop" else []
    before = {
        fields["site"]: (int(node), SiteDescription(**fields)) for node, fields in known if fields["site"] in sites
    }
    courier.names.update({node: site for site, (node, _description) in before.items()})
    asked = described(federation, licences)
    found = before | describe_sites(courier, list(courier.grid.get_node_ids()), sites, asked)
    courier.names.update({node: site for site, (node, _description) in found.items()})
    if missing := [site for site in sites if site not in found]:
        mend = "start the site, or take it out of the plan"
        raise UltraFMError(f"site {missing[0]}", "no node of this name", "a node for every site", mend)
    return dict(found[site] for site in sites)


def describe_sites(
    courier: Courier, nodes: Sequence[int], sites: list[str], asked: Mapping[str, bool | str]
) -> dict[str, tuple[int, SiteDescription]]:
    """Ask every node which site it is and how much it holds: site -> node id and description.

    Raises UltraFMError for a site that is not expected, that two nodes claim to be, or that holds no training image.
    """
    messages = [Message(RecordDict({"config": ConfigRecord(dict(asked))}), node, "query.describe") for node in nodes]
    found: dict[str, tuple[int, SiteDescription]] = {}
    for node, reply in zip(nodes, courier.ask(messages, 0)):
        if reply.has_error() and node in courier.names:  # known from before the run was interrupted
            courier.incidents.append(Incident(0, courier.names[node], "error", reply.error.reason, DROPPED))
            continue
        description = read_description(node, reply)
        site = one_of(f"node {node}, site", description.site, sites)
        if site in found:
            mend = "give every node the name of its own site"
            raise UltraFMError(f"site {site}", "two nodes of this name", "one node a site", mend)
        found[site] = (node, description)
    return found


def described(federation: Federation, licences: bool) -> dict[str, bool | str]:
    """What sites are asked to tell of themselves."""
    asked: dict[str, bool | str] = {"organs": federation.weighting == "organs", "licences": licences}
    return asked | ({"privacy": federation.privacy} if federation.is_private else {})


def read_description(node: int, reply: Message) -> SiteDescription:
    """What a node says of itself. Raises UltraFMError when it says nothing, or has no training image."""
    if reply.has_error():
        raise UltraFMError(
            f"node {node}", plain(reply.error.reason), "a description of the site", "mend the site, run again"
        )
    missing = {"metrics", "names"} - set(reply.content)
    if missing or "site" not in reply.content["names"]:
        raise UltraFMError(f"node {node}", "a description without name or numbers", "both", "install the same version")
    metrics, site = reply.content["metrics"], str(reply.content["names"]["site"])
    images, grey, squares = (metrics.get(name) for name in ("images", "grey", "squares"))
    if images == 0:
        raise UltraFMError(f"site {site}", "no training image", "at least one", "leave the site out")
    organs = dict(reply.content["organs"]) if "organs" in reply.content else {}
    numbers = (images, grey, squares, *organs.values())
    if not all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in numbers) or not (
        isinstance(images, int) and squares <= grey <= images and sum(organs.values()) in (0, images)
    ):
        found = f"{images} images, grey {grey}, squares {squares}, organs {organs}"
        expected = "counts of pictures, and sums of their mean grey values and squares, from 0 to 1 each"
        raise UltraFMError(f"site {site}", found, expected, "curate the site again, with the same version")
    licence = read_licence(site, reply.content["licence"]) if "licence" in reply.content else {}
    return SiteDescription(site, images, grey, squares, organs, licence)


def common_grey_scale(nodes: Mapping[int, SiteDescription], federation: Federation) -> GreyScale:
    """The grey normalisation of all sites together; with privacy the plan's, as sites then tell nothing of it."""
    if federation.is_private:
        return GreyScale(federation.public_mean, federation.public_deviation)
    return grey_scale_of([(one.images, one.grey, one.squares) for one in nodes.values()])


def round_config(
    recipe: Recipe, federation: Federation, rounds: int, grey_scale: GreyScale, weights: dict[str, list[str]], seed: int
) -> ConfigRecord:
    """What goes to every site in every round, as one flat Flower record; the batch size is that of sites."""
    at_sites = replace(recipe, batch_size=federation.site_batch_size)
    plan = {
        "seed": seed, "rounds": rounds, "shares": federation.shares,
        "local_epochs": federation.local_epochs, "adaptive": federation.adaptive,
        "site_step": federation.site_step, "proximal": federation.proximal,
        "compression": federation.compression, "local_weights": federation.local_weights,
        "grey_mean": grey_scale.mean, "grey_deviation": grey_scale.deviation, **federation.privacy_settings(),
    }  # fmt: skip
    values = {f"recipe/{key}": value for key, value in at_sites.settings().items()}
    values |= {f"layout/{key}": value for key, value in weights.items()}
    values |= {f"secure/{key}": value for key, value in federation.secure_settings(seed).items()}
    return ConfigRecord(values | {f"plan/{key}": value for key, value in plan.items()})


def validate(
    courier: Courier,
    strategy: FederatedRounds,
    number: int,
    arrays: ArrayRecord,
    config: ConfigRecord,
    history: list[Row],
) -> list[Row]:
    """Ask every site for the validation loss of the weights after round `number`; the log with the answers."""
    messages = strategy.configure_evaluate(number, arrays, config, courier.grid)
    strategy.aggregate_evaluate(number, courier.ask(messages, number))
    number_of_pass = strategy.schedule.place(number)[0] if number else 0
    history = add_validation(history, number_of_pass, strategy.site_validation)
    return add_bytes(history, number_of_pass, courier.take_traffic())


def describe_settings(config: ConfigRecord, federation: Federation, nodes: Mapping[int, SiteDescription]) -> str:
    """A fingerprint of everything that the weights depend on; a state with another one is not continued.

    What is done at faults does not count, so that it can be changed when a run has stopped at one; nor do licences.
    """
    rows = [{name: value for name, value in asdict(one).items() if name != "licence"} for one in nodes.values()]
    left_out = (*FAULT_FIELDS, *(() if federation.secure_aggregation else SECURE_FIELDS))
    chosen = {name: value for name, value in without_unused(federation).items() if name not in left_out}
    return hash_text(json.dumps([sorted(config.items()), chosen, rows]))
