"""How site updates become the next global model, as a Flower Strategy.

Replies are folded one at a time, in fixed site order, into one float64 accumulator: memory does not grow with the
number of sites, and the sum does not depend on who answers first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.schedule import Schedule
from ultrafm.federation.server_optimizer import Arrays, ServerOptimizer, State, average


class StreamingAverage(Strategy):
    """Weighted mean of the sites' updates, handed to a server optimizer.

    `sites` maps node ids to site names in the order in which replies are summed; `schedule` says which of them take
    part. `rate(number)` is the server's learning rate in a round. `state` is what the server remembers; it is saved
    with the model after every round.
    """

    def __init__(
        self,
        sites: dict[int, str],
        schedule: Schedule,
        weighting: str = "images",
        optimize: ServerOptimizer = average,
        rate: Callable[[int], float] = lambda number: 1.0,
    ) -> None:
        self.sites, self.schedule, self.rate = sites, schedule, rate
        self.weighting = one_of("weighting", weighting, ("images", "equal"))
        self.optimize = optimize
        self.state: State = {}
        self.site_metrics: dict[str, MetricRecord] = {}
        self.site_validation: dict[str, MetricRecord] = {}
        self._old: Arrays = {}

    def summary(self) -> None:
        """Nothing is logged; the report shows the settings."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message per site that takes part; `config` keys are 'recipe/..', 'layout/..', 'plan/..'."""
        self._old = from_record(arrays)
        number, share = self.schedule.place(server_round)
        nodes, messages = list(self.sites), []
        for site in self.schedule.sites_of(server_round):
            last = self.schedule.last_round_of(site, server_round)
            plan = {"round": server_round, "pass_number": number, "share": share, "last_round": last}
            plan["kept_rounds"] = self.schedule.rounds_to_keep(site, server_round)
            records = self._records(arrays, config, plan)
            messages.append(Message(records, nodes[site], "train", group_id=str(server_round)))
        return messages

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
        """The next global model and the mean losses; a site that fails ends the run with an error that names it."""
        total: Arrays = {}
        weights = 0.0
        self.site_metrics = {}
        names = list(self.sites.values())
        for number, reply in zip(self.schedule.sites_of(server_round), replies, strict=True):
            site = names[number]
            metrics = metrics_of(reply, f"round {server_round}, site {site}", "trained weights")
            weight = float(metrics["images"])
            if self.weighting == "equal":
                weight = float(weight > 0)
            self._add(total, site, server_round, reply.content["arrays"], weight)
            weights += weight
            self.site_metrics[site] = metrics
        update = {name: value / max(weights, 1.0) for name, value in total.items()}
        new, self.state = self.optimize(self._old, update, self.state, self.rate(server_round), server_round)
        return to_record(new), mean_loss(self.site_metrics)

    def _add(self, total: Arrays, site: str, server_round: int, arrays: ArrayRecord, weight: float) -> None:
        """Add one site's update to the accumulator, after checking that it is one of this model.

        Differences are summed, not weights: what no site changes then stays exactly what it was.
        """
        if set(arrays) != set(self._old):
            raise UltraFMError(f"round {server_round}, site {site}", "other weights", "the names of the global model")
        for name, value in from_record(arrays).items():
            old = self._old[name]
            if value.shape != old.shape or not np.isfinite(value).all():
                raise UltraFMError(
                    f"round {server_round}, site {site}, weight {name}",
                    f"shape {value.shape} or a value that is not finite",
                    f"finite numbers of shape {old.shape}",
                    "look at the site's loss and lower its learning rate",
                )  # fmt: skip
            if name not in total:
                total[name] = np.zeros(old.shape)
            for part in parts(len(old)):
                update = np.subtract(value[part], old[part], dtype=np.float64)
                update *= weight
                total[name][part] += update

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message per site: the loss of these very weights on its validation images."""
        records = [self._records(arrays, config, {"round": server_round}) for _node in self.sites]
        return [Message(one, node, "evaluate", group_id=str(server_round)) for one, node in zip(records, self.sites)]

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean loss over all validation images; `site_validation` holds that of each site."""
        self.site_validation = {
            site: metrics_of(reply, f"validation after round {server_round}, site {site}", "a loss")
            for site, reply in zip(self.sites.values(), replies, strict=True)
        }
        return mean_loss(self.site_validation)


def parts(length: int, size: int = 1 << 16) -> Iterator[slice]:
    """Cut a vector into parts that stay in the processor's cache while they are worked on."""
    return (slice(start, start + size) for start in range(0, length, size))


def metrics_of(reply: Message, where: str, expected: str) -> MetricRecord:
    """What a site reports; a site that failed ends the run with an error that names it."""
    if reply.has_error():
        mend = "mend the site and run the same command again; it continues from the last finished round"
        raise UltraFMError(where, reply.error.reason, expected, mend)
    return reply.content["metrics"]


def mean_loss(site_metrics: Mapping[str, MetricRecord]) -> MetricRecord:
    """The loss over all images of all sites."""
    images = sum(row["images"] for row in site_metrics.values())
    total = sum(row["loss"] * row["images"] for row in site_metrics.values())
    return MetricRecord({"loss": total / images if images else 0.0})
