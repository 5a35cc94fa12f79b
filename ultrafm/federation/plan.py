"""How sites work together: everything about a federation that is chosen before it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.aggregation import AGGREGATIONS
from ultrafm.federation.compression import COMPRESSIONS
from ultrafm.federation.privacy.protection import Protection, require_sensible
from ultrafm.federation.schedule import Schedule
from ultrafm.federation.server_optimizer import ADAPTIVE, OPTIMIZERS, ServerOptimizer
from ultrafm.pretraining.loop import LearningRate
from ultrafm.pretraining.recipe import Recipe

FAULT_FIELDS = ("on_fault", "least_sites")  # of Federation: what is done when something goes wrong
SECURE_FIELDS = ("secure_aggregation", "secure_threshold")  # how sums are made secure
WEIGHTINGS = ("images", "root", "equal", "organs")
ONLY_SUMS = {  # what secure aggregation leaves to choose, and why
    "aggregation": (("mean",), "no rule can compare updates that are not seen"),
    "guarded": ((False,), "no update can be measured that is not seen; each site checks its own"),
    "compression": (("none",), "masked numbers do not compress"),
    "privacy": (("none", "patients"), "the coordinator cannot shorten an update that it does not see"),
    "weighting": (("images", "root", "equal"), "a coordinator that tells weights could leave one site alone in a sum"),
}


@dataclass(frozen=True)
class Federation(Protection):
    """How sites work together; see `schedule.py` for `passes`, `shares`, `sites_per_round`, `local_epochs`.

    adaptive: where the adaptive optimizer is: AdamW at the sites, its moments "kept" or "reset" between rounds; or at
    the "server", with plain gradient steps of size `site_step` at the sites. Its rate is the recipe's, wherever it is.
    server_optimizer: one of `server_optimizer.OPTIMIZERS`; "usual" is "adam" with adaptive "server", else "average".
    server_rate: of "average" and "momentum", which take this share of the sites' joined update.
    proximal: strength of the pull of a site's weights towards those it was sent (FedProx); 0 for none.
    weighting: what a site counts for: its "images" in the round, the "root" of that, "equal"; or "organs", by which all
    organs count the same, whatever site they were scanned at (sites then tell how many images they have of each).
    aggregation, suspected: see `aggregation.py`. compression: of what sites send; see `compression.py`.
    local_weights: patterns of names of weights ("decoder.*") that each site keeps for itself, by spaces.
    on_fault: "stop" at an answer that cannot be used, or "drop" it and go on while `least_sites` sites remain.
    guarded: are answers refused that training cannot have produced (see `checks.py`)? For experiments it can be off.
    secure_aggregation: does the coordinator see sums only (`secure/README.md`)? secure_threshold: how many of a round's
    sites must remain for that; 0 is more than two thirds, below 1 a share of them, else a number.
    privacy and what goes with it: see `privacy.protection.Protection`.
    """

    passes: int
    shares: int = 1
    sites_per_round: int = 0
    site_batch_size: int = 8
    adaptive: str = "server"
    site_step: float = 0.1
    server_optimizer: str = "usual"
    server_rate: float = 1.0
    local_epochs: int = 1
    proximal: float = 0.0
    weighting: str = "images"
    aggregation: str = "mean"
    suspected: int = 1
    compression: str = "none"
    local_weights: str = ""
    on_fault: str = "stop"
    least_sites: int = 1
    guarded: bool = True
    secure_aggregation: bool = False
    secure_threshold: float = 0.0

    def __post_init__(self) -> None:
        one_of("adaptive", self.adaptive, ("server", "kept", "reset"))
        one_of("server_optimizer", self.server_optimizer, ("usual", *OPTIMIZERS))
        one_of("weighting", self.weighting, WEIGHTINGS)
        one_of("aggregation", self.aggregation, AGGREGATIONS)
        one_of("compression", self.compression, COMPRESSIONS)
        one_of("on_fault", self.on_fault, ("stop", "drop"))
        for name, least in (("site_batch_size", 1), ("suspected", 1), ("least_sites", 1), ("proximal", 0)):
            if not least <= getattr(self, name) < math.inf:
                raise UltraFMError(f"federation, {name}", f"{getattr(self, name)}", f"a finite number from {least} on")
        for name in ("site_step", "server_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UltraFMError(f"federation, {name}", f"{getattr(self, name):g}", "a finite number above 0")
        require_sensible(self)
        require_sums(self)

    def schedule(self, sites: int, seed: int) -> Schedule:
        """Who trains what, when, with so many sites."""
        return Schedule(sites, self.passes, self.shares, self.sites_per_round, self.local_epochs, seed)

    @property
    def local_patterns(self) -> tuple[str, ...]:
        """The patterns of `local_weights`, one by one."""
        return tuple(self.local_weights.split())

    def secure_settings(self, seed: int) -> dict[str, int | float | str]:
        """What sites are told of how sums are made secure; nothing where they are not."""
        if not self.secure_aggregation:
            return {}
        settings = {"threshold": float(self.secure_threshold), "sites_per_round": self.sites_per_round}
        return {**settings, "weighting": self.weighting, "seed": seed}

    def server_side(self, recipe: Recipe, rounds: int) -> tuple[ServerOptimizer, Callable[[int], float]]:
        """The server's optimizer and its learning rate in each round, from 1 on."""
        usual = "adam" if self.adaptive == "server" else "average"
        name = usual if self.server_optimizer == "usual" else self.server_optimizer
        if name not in ADAPTIVE:
            return OPTIMIZERS[name], lambda number: self.server_rate
        rate = LearningRate(recipe.peak_rate, recipe.warmup)
        return OPTIMIZERS[name], lambda number: rate.at((number - 0.5) / rounds)


def require_sums(federation: Federation) -> None:
    """Raises UltraFMError for what cannot be done with sums alone, where the coordinator sees nothing else."""
    if not federation.secure_aggregation:
        if federation.secure_threshold:
            found = f"{federation.secure_threshold:g} without secure_aggregation"
            raise UltraFMError("federation, secure_threshold", found, "0, or secure_aggregation: true")
        return
    for name, (only, why) in ONLY_SUMS.items():
        if (chosen := getattr(federation, name)) not in only:
            found = f"{chosen!r} with secure_aggregation"
            raise UltraFMError(f"federation, {name}", found, f"{' or '.join(map(repr, only))}: {why}")


@dataclass(frozen=True)
class SiteDescription:
    """What a site says of itself before the first round; `organs` only where weighting asks for it.

    `images` are its training images; with privacy of patients, its training patients. `licence`: see
    `licences.site_licence`; only in a deployment, and no weight depends on it.
    """

    site: str
    images: int
    grey: float
    squares: float
    organs: Mapping[str, int] = field(default_factory=dict)
    licence: Mapping[str, Any] = field(default_factory=dict)


def site_weights(descriptions: list[SiteDescription], weighting: str) -> list[float]:
    """What an image of each site counts for, apart from "root" and "equal", which look at the round.

    With "organs", the images of one organ count 1 together, over all sites.
    """
    if weighting != "organs":
        return [1.0] * len(descriptions)
    totals: dict[str, int] = {}
    for one in descriptions:
        for organ, count in one.organs.items():
            totals[organ] = totals.get(organ, 0) + count
    return [
        sum(count / totals[organ] for organ, count in one.organs.items()) / max(one.images, 1) for one in descriptions
    ]
