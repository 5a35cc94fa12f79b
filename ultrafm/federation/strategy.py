"""How site updates become the next global model, as a Flower Strategy.

Replies are folded one at a time, in fixed site order, into one float64 accumulator: memory does not grow with the
number of sites, and the sum does not depend on who answers first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ultrafm.errors import UltraFMError
from ultrafm.seeds import spawn

Arrays = dict[str, np.ndarray]


def choose_sites(nodes: Sequence[int], per_round: int, seed: int, number: int) -> list[int]:
    """The nodes that take part in round `number` (from 1), `per_round` of them or fewer; 0 means all.

    Sites are dealt anew into groups for every pass over all of them, so that after each pass all have taken part
    equally often. Fewer sites a round mean more rounds for the same work (McMahan et al. 2017, client fraction).
    """
    if not 0 < per_round < len(nodes):
        return list(nodes)
    groups = -(-len(nodes) // per_round)
    finished_passes, place = divmod(number - 1, groups)
    order = spawn(seed, "participation", round=finished_passes).permutation(len(nodes))
    return [nodes[index] for index in sorted(order[place::groups])]


def last_round_of(node: int, nodes: Sequence[int], per_round: int, seed: int, number: int) -> int:
    """The last round before `number` in which the node took part; 0 if it has not yet."""
    earlier = range(number - 1, 0, -1)
    return next((one for one in earlier if node in choose_sites(nodes, per_round, seed, one)), 0)


def apply_average(old: Arrays, average: Arrays) -> Arrays:
    """Federated averaging: the weighted mean of the sites' weights is the next model (McMahan et al. 2017)."""
    return {name: average[name].astype(old[name].dtype) for name in old}


def apply_momentum(old: Arrays, average: Arrays, velocity: Arrays, momentum: float) -> tuple[Arrays, Arrays]:
    """Server momentum (Hsu et al. 2019, FedAvgM): the mean update is accumulated before it is added."""
    new, speeds = {}, {}
    for name in old:
        update = average[name] - old[name].astype(np.float64)
        speeds[name] = momentum * velocity.get(name, 0.0) + update
        new[name] = (old[name] + speeds[name]).astype(old[name].dtype)
    return new, speeds


class StreamingAverage(Strategy):
    """Weighted averaging with optional server momentum.

    `sites` maps node ids to site names in the order in which replies are summed. `velocity` is the server's state: it
    is saved with the model after every round.
    """

    def __init__(
        self,
        sites: dict[int, str],
        weighting: str = "images",
        momentum: float = 0.0,
        sites_per_round: int = 0,
        seed: int = 0,
    ) -> None:
        if weighting not in ("images", "equal"):
            raise UltraFMError("weighting", repr(weighting), "'images' or 'equal'")
        if not 0 <= momentum < 1:
            raise UltraFMError("server_momentum", repr(momentum), "a number from 0 to below 1")
        self.sites, self.weighting, self.momentum = sites, weighting, momentum
        self.sites_per_round, self.seed = sites_per_round, seed
        self.chosen: list[int] = []
        self.velocity: Arrays = {}
        self.site_metrics: dict[str, MetricRecord] = {}
        self._old: Arrays = {}

    def summary(self) -> None:
        """Nothing is logged; the report shows the settings."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message per chosen site with the global weights; `config` keys are 'recipe/..' and 'plan/..'."""
        self._old = {name: array.numpy() for name, array in arrays.items()}
        nodes = list(self.sites)
        self.chosen = choose_sites(nodes, self.sites_per_round, self.seed, server_round)
        recipe = {key[7:]: value for key, value in config.items() if key.startswith("recipe/")}
        plan = {key[5:]: value for key, value in config.items() if key.startswith("plan/")} | {"round": server_round}
        messages = []
        for node in self.chosen:
            last = last_round_of(node, nodes, self.sites_per_round, self.seed, server_round)
            records = {"arrays": arrays, "recipe": ConfigRecord(dict(recipe))}
            records["plan"] = ConfigRecord(plan | {"last_round": last})
            messages.append(Message(RecordDict(records), node, "train", group_id=str(server_round)))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The next global model and the mean losses; a site that fails ends the run with an error that names it."""
        total: Arrays = {}
        weights = 0.0
        self.site_metrics = {}
        for node, reply in zip(self.chosen, replies, strict=True):
            site = self.sites[node]
            if reply.has_error():
                raise UltraFMError(
                    f"round {server_round}, site {site}", reply.error.reason, "trained weights",
                    "mend the site and run the same command again; it continues from the last finished round",
                )  # fmt: skip
            metrics = reply.content["metrics"]
            weight = float(metrics["images"]) if self.weighting == "images" else 1.0
            self._add(total, site, server_round, reply.content["arrays"], weight)
            weights += weight
            self.site_metrics[site] = metrics
        average = {name: value / weights for name, value in total.items()}
        if self.momentum:
            new, self.velocity = apply_momentum(self._old, average, self.velocity, self.momentum)
        else:
            new = apply_average(self._old, average)
        return ArrayRecord({name: Array(value) for name, value in new.items()}), mean_losses(self.site_metrics)

    def _add(self, total: Arrays, site: str, server_round: int, arrays: ArrayRecord, weight: float) -> None:
        """Add one site's weights to the accumulator, after checking that they are weights of this model."""
        if set(arrays) != set(self._old):
            raise UltraFMError(f"round {server_round}, site {site}", "other weights", "the names of the global model")
        for name, array in arrays.items():
            value = array.numpy().astype(np.float64)
            if value.shape != self._old[name].shape or not np.isfinite(value).all():
                raise UltraFMError(
                    f"round {server_round}, site {site}, weight {name}",
                    f"shape {value.shape} or a value that is not finite",
                    f"finite numbers of shape {self._old[name].shape}",
                    "look at the site's loss and lower its learning rate",
                )  # fmt: skip
            total[name] = total[name] + weight * value if name in total else weight * value

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nobody is asked: sites report the validation loss of the weights they receive when they train."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing was asked, so there is nothing to gather."""
        return None


def mean_losses(site_metrics: dict[str, MetricRecord]) -> MetricRecord:
    """Losses of the round over all images: `loss` by training images, `validation_loss` by validation images."""
    rows = list(site_metrics.values())
    result: dict[str, float] = {}
    for loss, count in (("loss", "images"), ("validation_loss", "validation_images")):
        images = sum(row[count] for row in rows)
        result[loss] = sum(row[loss] * row[count] for row in rows) / images if images else 0.0
    return MetricRecord(result)
