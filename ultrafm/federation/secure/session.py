"""One attempt at one secure round: who takes part, how many must remain, and the bytes that everything is bound to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.schedule import Schedule

PROTOCOL = "ultrafm secure aggregation 1"
LEAST_SITES = 3
MEND = "look at both machines; the same command begins the round anew, with fresh keys"


@dataclass(frozen=True)
class Session:
    """Attempt `attempt` (a random word of the coordinator) at round `round` of run `run`.

    `sites` are those that the round's schedule names, in the order of the plan; `threshold` of them must remain.
    """

    run: str
    round: int
    attempt: str
    sites: tuple[str, ...]
    threshold: int

    def bind(self, purpose: str, *words: str) -> bytes:
        """What a key, a ciphertext or a signature is bound to: this session, a purpose, and further words."""
        told = [PROTOCOL, self.run, self.round, self.attempt, self.sites, self.threshold, purpose, *words]
        return json.dumps(told).encode()

    def number(self, site: str) -> int:
        """The number of a site's shares, from 1 on."""
        return self.sites.index(one_of("secure aggregation, site", site, self.sites)) + 1

    def in_order(self, sites: Iterable[str]) -> list[str]:
        """The sites in the order of the plan. Raises UltraFMError for one that is not of this round, or comes twice."""
        named = list(sites)
        if len(set(named)) != len(named):
            raise UltraFMError("secure aggregation", f"the sites {named}", "each site once", MEND)
        return sorted(named, key=self.number)

    def require_enough(self, sites: Iterable[str], what: str) -> None:
        """Raises UltraFMError when these are fewer than the threshold."""
        if (found := len(list(sites))) < self.threshold:
            told = f"{what} of {found} of {len(self.sites)} sites"
            raise UltraFMError(f"secure aggregation, round {self.round}", told, f"at least {self.threshold}", MEND)


def threshold_of(wanted: float, sites: int) -> int:
    """How many of a round's `sites` must remain until its end; fewer can recover nothing.

    `wanted`: 0 for more than two thirds, below 1 a share of the sites (rounded up), else a number of sites. Raises
    UltraFMError for fewer than three sites, for a threshold of half of them or fewer (two groups of sites could then
    each give one of a site's two secrets), for one below three, and for more than there are.
    """
    where = "federation, secure_threshold"
    if sites < LEAST_SITES:
        told = "of a sum of two, each site reads the other's update by taking off its own; a sum of one is no secret"
        raise UltraFMError("federation, secure_aggregation", f"{sites} sites in a round", f"at least 3: {told}")
    if not (math.isfinite(wanted) and wanted >= 0) or (wanted >= 1 and wanted % 1):
        raise UltraFMError(where, f"{wanted:g}", "0, a share of the sites below 1, or a whole number of sites")
    threshold = 2 * sites // 3 + 1 if wanted == 0 else math.ceil(wanted * sites) if wanted < 1 else int(wanted)
    least = max(sites // 2 + 1, LEAST_SITES)
    if not least <= threshold <= sites:
        raise UltraFMError(where, f"{threshold} of {sites} sites of a round", f"from {least} to {sites}")
    return threshold


def require_private(wanted: float, sites: int, training: int) -> None:
    """Raises UltraFMError when so few sites of a round train that, once others drop out, fewer than three are summed.

    `training` of the round's `sites` train; the others sit it out, and add zeros.
    """
    may_drop_out = sites - threshold_of(wanted, sites)
    if training - may_drop_out < LEAST_SITES:
        found = f"a round in which {training} of {sites} sites train, and {may_drop_out} may drop out"
        mend = "take fewer shares a pass, or a higher secure_threshold"
        raise UltraFMError("federation, secure_aggregation", found, "at least 3 that train and remain", mend)


def largest_round(schedule: Schedule) -> int:
    """How many sites a round has at most."""
    return -(-schedule.sites // schedule.rounds_per_turn)


def guarantee(wanted: float, schedule: Schedule) -> tuple[int, int]:
    """Of how many sites every sum is at least, and how many may work together with a coordinator that cheats.

    With `threshold` of n sites, these are fewer than 2 x threshold - n: two lists of survivors would need as many
    signatures twice. Raises UltraFMError as `threshold_of` does.
    """
    sizes = {schedule.sites // schedule.rounds_per_turn, largest_round(schedule)}
    thresholds = {sites: threshold_of(wanted, sites) for sites in sizes}
    return min(thresholds.values()), min(2 * least - sites for sites, least in thresholds.items()) - 1


def schedule_of(secure: Mapping[str, Any], sites: int) -> Schedule:
    """Who takes part in which round, of so many sites, by the record `secure` of a message."""
    return Schedule(sites, passes=1, sites_per_round=int(secure["sites_per_round"]), seed=int(secure["seed"]))
