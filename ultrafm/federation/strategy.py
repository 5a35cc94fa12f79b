"""How site updates become the next global model, as a Flower Strategy.

Replies are taken one at a time, in fixed site order: memory does not grow with the number of sites, and the result does
not depend on who answers first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ultrafm.errors import UltraFMError
from ultrafm.federation.aggregation import make_aggregation, require_majority
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.checks import length_of, longest_update, read_metrics, read_update, require_sound
from ultrafm.federation.compression import Update
from ultrafm.federation.incidents import DROPPED, Fault, Incident, RoundFailed
from ultrafm.federation.plan import Federation, SiteDescription, site_weights
from ultrafm.federation.privacy.accounting import least_units
from ultrafm.federation.privacy.draws import open_draws
from ultrafm.federation.privacy.protection import UNITS
from ultrafm.federation.privacy.server import clip_update, protect_mean, require_site_budget
from ultrafm.federation.schedule import share_of
from ultrafm.federation.secure.session import require_private
from ultrafm.federation.server_optimizer import State
from ultrafm.federation.vector import WEIGHTS
from ultrafm.pretraining.recipe import Recipe


class FederatedRounds(Strategy):
    """Joins the sites' updates and hands them to the server's optimizer, as `federation` says.

    `sites` maps node ids to what sites said of themselves, in the order in which replies are taken. What must survive
    the end of the process is in `state` (the server optimizer's) and `taken` (site -> its latest rounds that counted).
    `site_metrics` and `site_validation` are of the last round, `incidents` of all since the start.
    `folder` is where updates wait that cannot be streamed.
    """

    def __init__(
        self,
        sites: Mapping[int, SiteDescription],
        recipe: Recipe,
        federation: Federation,
        seed: int = 0,
        folder: Path | None = None,
        incidents: list[Incident] | None = None,
    ) -> None:
        self.nodes, self.sites = list(sites), list(sites.values())
        self.recipe, self.federation, self._folder, self._seed = recipe, federation, folder, seed
        self.schedule = federation.schedule(len(self.sites), seed)
        self.state: State = {}
        self.taken: dict[str, list[int]] = {one.site: [] for one in self.sites}
        self.incidents = incidents if incidents is not None else []
        self.site_metrics: dict[str, MetricRecord] = {}
        self.site_validation: dict[str, MetricRecord] = {}
        self._old = np.zeros(0, np.float32)
        self._weights = site_weights(self.sites, federation.weighting)
        self._optimize, self._rate = federation.server_side(recipe, self.schedule.rounds)

    def summary(self) -> None:
        """Nothing is logged; the report shows the settings."""

    def require_possible(self) -> None:
        """Raises UltraFMError, before training, when a round of the schedule has too few sites for what is asked."""
        plan = self.federation
        if plan.privacy == "sites":
            require_site_budget(plan, self.schedule)
        for one in self.sites if plan.is_at_sites else ():
            least_units(one.images, plan.delta, f"site {one.site}, federation, delta", UNITS["patients"])
        for number in range(1, self.schedule.rounds + 1):
            asked = self.schedule.sites_of(number)
            if len(asked) < plan.least_sites:
                found = f"{plan.least_sites} where round {number} asks {len(asked)} sites"
                raise UltraFMError("federation, least_sites", found, "at most the sites of a round")
            training = sum(self.expected_share(place, number)[1] > 0 for place in asked)
            if plan.aggregation in ("trimmed_mean", "krum"):
                require_majority(plan.aggregation, training, plan.suspected)
            if plan.secure_aggregation:
                require_private(plan.secure_threshold, len(asked), training)

    def node_of(self, site: str) -> int:
        """The node of a site."""
        return next(node for node, one in zip(self.nodes, self.sites) if one.site == site)

    def site_at(self, node: int) -> str:
        """The site of a node."""
        return self.sites[self.nodes.index(node)].site

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message per site that takes part; `config` keys are 'recipe/..', 'layout/..', 'plan/..'."""
        self._old = from_record(arrays)[WEIGHTS]
        number, share = self.schedule.place(server_round)
        messages = []
        for place in self.schedule.sites_of(server_round):
            site = self.sites[place].site
            plan = {"round": server_round, "pass_number": number, "share": share}
            plan |= {"last_round": self.last_taken(site), "kept_rounds": self.rounds_to_keep(site, server_round)}
            records = self._records(arrays, config, plan)
            messages.append(Message(records, self.nodes[place], "train", group_id=str(server_round)))
        return messages

    def last_taken(self, site: str, before: int | None = None) -> int:
        """The last round (before round `before`) in which this site's update counted; 0 if there is none yet."""
        return max((one for one in self.taken[site] if before is None or one < before), default=0)

    def rounds_to_keep(self, site: str, number: int) -> list[int]:
        """After which rounds the site's own memory may be asked for once round `number` is done."""
        ended = {self.last_taken(site, end + 1) for end in self.schedule.ends_before(number)}
        return sorted(ended | {self.last_taken(site)})

    def _records(self, arrays: ArrayRecord, config: ConfigRecord, plan: Mapping[str, Any]) -> RecordDict:
        """What a site is sent: weights, recipe, layout of the weights, and the plan of the run and of the round."""
        recipe = {key[7:]: value for key, value in config.items() if key.startswith("recipe/")}
        layout = {key[7:]: value for key, value in config.items() if key.startswith("layout/")}
        general = {key[5:]: value for key, value in config.items() if key.startswith("plan/")}
        records = {"recipe": recipe, "layout": layout, "plan": {**general, **plan}}
        return RecordDict({"arrays": arrays, **{name: ConfigRecord(record) for name, record in records.items()}})

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The next global model and the mean loss.

        Raises RoundFailed, which names the site, for an answer that cannot be used when the federation stops at faults,
        and when too few sites remain.
        """
        aggregation = make_aggregation(
            self.federation.aggregation, len(self._old), self.federation.suspected, self._folder
        )
        self.site_metrics = {}
        for place, reply in zip(self.schedule.sites_of(server_round), replies, strict=True):
            site = self.sites[place].site
            try:
                metrics, update = self._accept(server_round, place, reply)
                if self.federation.privacy == "sites":
                    update = clip_update(update, length_of(update), self.federation.clip)
            except Fault as fault:
                self.fault(server_round, site, fault)
                continue
            aggregation.add(update, self._weight(place, metrics["images"]))
            self.site_metrics[site] = metrics
        return self.conclude(server_round, aggregation.joined()), mean_loss(self.site_metrics)

    def conclude(self, server_round: int, joined: np.ndarray) -> ArrayRecord:
        """The next global model, by the joined update of the sites in `site_metrics`."""
        self.require_sites(server_round, len(self.site_metrics), self.federation.least_sites)
        for site in self.site_metrics:
            kept = self.rounds_to_keep(site, server_round)
            self.taken[site] = [one for one in self.taken[site] if one in kept] + [server_round]
        rate, update = self._rate(server_round), {WEIGHTS: self._with_noise(server_round, joined)}
        new, self.state = self._optimize({WEIGHTS: self._old}, update, self.state, rate, server_round)
        return to_record(new)

    def _with_noise(self, number: int, joined: np.ndarray) -> np.ndarray:
        """The joined update as it is, or with privacy of sites the noisy mean over those that were asked."""
        plan, asked = self.federation, self.schedule.sites_of(number)
        if plan.privacy != "sites":
            return joined
        counted = sum(metrics["images"] > 0 for metrics in self.site_metrics.values())
        draws = open_draws(plan.secure_noise, True, self._seed, "coordinator", number)  # sites refuse for themselves
        return protect_mean(joined, counted, len(asked), plan, draws)

    def _accept(self, number: int, place: int, reply: Message) -> tuple[MetricRecord, Update]:
        """What a site reports and its update. Raises Fault when they cannot be of this round of this site."""
        metrics = read_metrics(reply, number)
        update = read_update(reply, self._old, self.federation.compression)
        if self.federation.guarded:
            steps, images = self.expected_share(place, number)
            if metrics["images"] != images:
                raise Fault("image count", f"{metrics['images']} images", f"{images}, as the site's share has")
            units = self.sites[place].images
            require_sound(update, longest_update(self.recipe, self.federation, steps, self._old, units))
        return metrics, update

    def expected_share(self, place: int, number: int) -> tuple[int, int]:
        """How many steps and images a site's share of round `number` has."""
        images, size = self.sites[place].images, self.federation.site_batch_size
        _pass, share = self.schedule.place(number)
        steps = -(-images // size)
        part = share_of(steps, share, self.schedule.shares)
        trained = min(part.stop * size, images) - min(part.start * size, images)
        return (part.stop - part.start) * self.schedule.local_epochs, trained * self.schedule.local_epochs

    def _weight(self, place: int, images: float) -> float:
        """What a site's update of so many images counts for."""
        if self.federation.weighting == "equal":
            return float(images > 0)
        if self.federation.weighting == "root":
            return float(images) ** 0.5
        return float(images) * self._weights[place]

    def fault(self, number: int, site: str, fault: Fault) -> None:
        """Stop, or note what was dropped, as the federation says."""
        if self.federation.on_fault == "stop":
            raise RoundFailed(f"round {number}, site {site}", fault.found, fault.expected, fault.mend)
        self.incidents.append(Incident(number, site, fault.kind, fault.found, DROPPED))

    def require_sites(self, number: int, left: int, least: int) -> None:
        """Raises RoundFailed when fewer sites than wanted are left in a round."""
        if left < least:
            told = "; ".join(f"{one.site}: {one.found}" for one in self.incidents if one.round == number)
            found = f"usable answers of {left} sites ({told})"
            mend = "mend the sites and run the same command again; it continues from the last finished round"
            raise RoundFailed(f"round {number}", found, f"at least {least}", mend)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message per site: the loss of these very weights on its validation images."""
        messages = []
        for node, one in zip(self.nodes, self.sites):
            records = self._records(arrays, config, {"round": server_round, "last_round": self.last_taken(one.site)})
            messages.append(Message(records, node, "evaluate", group_id=str(server_round)))
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean loss over all validation images; `site_validation` holds that of each site."""
        self.site_validation = {}
        for one, reply in zip(self.sites, replies, strict=True):
            try:
                self.site_validation[one.site] = read_metrics(reply, server_round)
            except Fault as fault:
                self.fault(server_round, one.site, fault)
        return mean_loss(self.site_validation)


def mean_loss(site_metrics: Mapping[str, MetricRecord]) -> MetricRecord:
    """The loss over all images of all sites."""
    images = sum(row["images"] for row in site_metrics.values())
    total = sum(row["loss"] * row["images"] for row in site_metrics.values())
    return MetricRecord({"loss": total / images if images else 0.0})
