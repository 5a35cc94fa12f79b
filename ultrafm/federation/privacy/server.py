"""Noise at the coordinator, with the site as unit: the model hardly depends on whether any one site took part.

Each site's update is shortened to at most `clip`, all count the same, the sum is divided by the number of sites that
were asked (not of those that answered) and gets Gaussian noise (McMahan et al. 2018, arXiv 1710.06963). The
coordinator itself sees every update: sites must trust it. What it does not see it cannot shorten, so a plan with secure
aggregation and privacy of sites is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.errors import UltraFMError
from ultrafm.federation.compression import Update
from ultrafm.federation.incidents import Fault
from ultrafm.federation.privacy.accounting import Spending, epsilon_of, is_affordable, least_units
from ultrafm.federation.privacy.draws import Draws
from ultrafm.federation.privacy.protection import UNITS, Protection
from ultrafm.federation.schedule import Schedule

MEND = "look at the site's loss and lower its learning rate"


@dataclass(frozen=True)
class ScaledUpdate:
    """An update made shorter, read a part at a time as `Update` is."""

    update: Update
    factor: float

    @property
    def old(self) -> np.ndarray:
        """The weights that the site was sent."""
        return self.update.old

    def part(self, part: slice, kind: type[np.floating] = np.float64) -> np.ndarray:
        """The change of these weights."""
        return self.update.part(part, kind) * kind(self.factor)


def clip_update(update: Update, length: float, clip: float) -> ScaledUpdate:
    """The update, whose Euclidean length is told, at most `clip` long; one of length zero stays as it is.

    Raises Fault for one that is not finite: no factor makes it short, and noise would not hide it.
    """
    if not math.isfinite(length):
        raise Fault("not finite", "a change that is not a finite number", "finite numbers", MEND)
    return ScaledUpdate(update, min(1.0, clip / length) if length > 0 else 1.0)


def protect_mean(mean: np.ndarray, counted: int, asked: int, protection: Protection, draws: Draws) -> np.ndarray:
    """From the mean of `counted` clipped updates, the sum over the `asked` sites with noise: what the model gets."""
    noise = draws.normal(len(mean)).numpy() * (protection.noise * protection.clip)
    return (mean * counted + noise) / max(asked, 1)


def site_spending(protection: Protection, schedule: Schedule, rounds: int | None = None) -> Spending:
    """What a site has spent after `rounds` rounds (None: all): every round that asks it, without amplification.

    Sites are dealt into the rounds of a turn without replacement, in an order that the seed tells: no site is in a
    round by a chance that nobody knows, so its rate is 1. Of the sites, the one that was asked most often is told.
    """
    last = schedule.rounds if rounds is None else rounds
    return Spending(protection.noise, 1.0, -(-last // schedule.rounds_per_turn))


def require_site_budget(protection: Protection, schedule: Schedule) -> None:
    """Raises UltraFMError, before training, when all rounds together would exceed the plan's epsilon."""
    least_units(schedule.sites, protection.delta, "federation, delta", UNITS["sites"])
    spending = site_spending(protection, schedule)
    if protection.epsilon and not is_affordable([spending], protection.epsilon, protection.delta):
        found = f"epsilon {epsilon_of([spending], protection.delta):.2f} of a site over {spending.steps} rounds"
        expected = f"at most {protection.epsilon:g} at delta {protection.delta:g}, as the plan says"
        raise UltraFMError("federation, privacy budget", found, expected, "add noise, or take fewer rounds")
