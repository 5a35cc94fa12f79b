"""What a plan says of privacy, and which combinations make no sense."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from ultrafm.errors import UltraFMError, one_of

PRIVACIES = ("none", "patients", "sites")
WITHHELD = 0.0  # stands in messages for a loss, or sums of grey values, that do not leave a protected site
UNITS = {"patients": ("patient", "patients"), "sites": ("site", "sites")}

NEEDED = {  # fields that must be above 0 where there is privacy, and how to mend them
    "noise": "with privacy a plan has noise, such as 1.0, in multiples of clip; without noise nobody is protected",
    "clip": "with privacy a plan has clip, such as 1.0: the length to which gradients, or updates, are cut",
    "public_deviation": "leave it out, or tell the deviation of the grey scale from 0 to 1",
}


@dataclass(frozen=True, kw_only=True)
class Protection:
    """Differential privacy, as the fields of a plan; with privacy "none" the others mean nothing.

    privacy: "patients" (noise at each site: what leaves it hardly depends on any one patient), or "sites" (noise at the
    coordinator, who sees what sites send: the model hardly depends on any one site).
    noise: its deviation, as a multiple of `clip`, the most that one patient moves a site's sum of gradients in a step,
    or one site the sum of updates in a round. delta: at which epsilon is told. epsilon: the most that a site may spend
    in this run (0: no limit but the sites' own).
    patient_images: at most so many images of a patient in a step. secure_noise: from the operating system; False: from
    the seed, so that a run repeats, for simulated images only.
    public_mean, public_deviation: the grey scale of pictures, 0 to 1, chosen without looking at them; those told here
    are about the simulated sites'.
    """

    privacy: str = "none"
    noise: float = 0.0
    clip: float = 0.0
    delta: float = 0.0
    epsilon: float = 0.0
    patient_images: int = 2
    secure_noise: bool = True
    public_mean: float = 0.29
    public_deviation: float = 0.15

    @property
    def is_private(self) -> bool:
        """Is there any protection?"""
        return self.privacy != "none"

    @property
    def is_at_sites(self) -> bool:
        """Do sites themselves add the noise?"""
        return self.privacy == "patients"

    def privacy_settings(self) -> dict[str, Any]:
        """The fields of this class by name; none without protection, so that nothing is told then."""
        values = {one.name: getattr(self, one.name) for one in fields(Protection)}
        return values if self.is_private else {}


def without_unused(settings: Protection) -> dict[str, Any]:
    """All fields of a plan by name, but for those of privacy where there is none."""
    unused = () if settings.is_private else [one.name for one in fields(Protection)]
    return {name: value for name, value in asdict(settings).items() if name not in unused}


def require_sensible(plan: Any) -> None:
    """Raises UltraFMError for fields of a federation's plan that contradict its privacy."""
    one_of("federation, privacy", plan.privacy, PRIVACIES)
    told = {"noise": plan.noise, "clip": plan.clip, "delta": plan.delta, "epsilon": plan.epsilon}
    if not plan.is_private:
        if given := [name for name, value in told.items() if value]:
            mend = "say privacy: patients or privacy: sites, or leave it out"
            found = f"{told[given[0]]:g} without privacy"
            raise UltraFMError(f"federation, {given[0]}", found, "nothing", mend)
        return
    for name, mend in NEEDED.items():
        if not 0 < getattr(plan, name) < math.inf:
            raise UltraFMError(f"federation, {name}", f"{getattr(plan, name):g}", "a finite number above 0", mend)
    if not 0 < plan.delta < 1:
        mend = "with privacy a plan has delta, such as 1e-4; smaller than one over the patients of every site"
        found, wanted = f"{plan.delta:g}", "above 0 and below one over the patients, or sites"
        raise UltraFMError("federation, delta", found, wanted, mend)
    if not (0 <= plan.epsilon < math.inf and 0 <= plan.public_mean <= 1 and plan.patient_images >= 1):
        found = f"epsilon {plan.epsilon:g}, public_mean {plan.public_mean:g}, patient_images {plan.patient_images}"
        raise UltraFMError("federation, privacy", found, "epsilon from 0, a mean from 0 to 1, an image a patient")
    require_compatible(plan)


def require_compatible(plan: Any) -> None:
    """Raises UltraFMError for ways of working together whose answers the noise would not cover."""
    if plan.weighting == "organs":
        mend = "weight by images, root or equal"
        raise UltraFMError("federation, weighting", "organs with privacy", "no counts of organs", mend)
    if plan.privacy == "patients" and plan.adaptive != "server":
        found, mend = f"{plan.adaptive!r} with privacy of patients", "plain noisy steps at the sites: adaptive: server"
        raise UltraFMError("federation, adaptive", found, "'server'", mend)
    if plan.privacy == "sites":
        for name, wanted in (("aggregation", "mean"), ("weighting", "equal")):
            if (found := getattr(plan, name)) != wanted:
                told = f"{found!r} with privacy of sites"
                raise UltraFMError(f"federation, {name}", told, f"{wanted!r}, by which a site's part has a limit")
