"""Updates as whole numbers modulo 2^32 or 2^64, where masks cancel exactly and sums do not depend on their order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.errors import UltraFMError
from ultrafm.federation.checks import ADAM_STEP
from ultrafm.federation.compression import Update, parts
from ultrafm.pretraining.recipe import Recipe

LONG = 3  # numbers that follow the update: the site's weight, its images, its loss times its images
FINE = 1 << 24  # a site's numbers must have as many steps on either side of zero: the resolution of float32
EXACT = 1 << 52  # and at most so many, which float64 still holds exactly
GREATEST_LOSS = 100.0  # a loss above it is summed as this; it is for the log only
ROOT_STEPS = 1024  # a site's weight is a whole number: with weighting "root", of so many parts of one
SLACK = 1.01  # for what training in float32 adds to a change


@dataclass(frozen=True)
class Ring:
    """How much a whole number is worth, for `sites` sites whose weights are `weight` at most, of `images` at most.

    No number of an update is farther from zero than `reach`. Each site's numbers stay within `limit` of zero, so that
    the sum of all fits: sites x limit < 2^(bits - 1). The sum of weight x update is then exact but for rounding each
    site's part once: it is off by at most sites / 2 x weight x reach / limit. Raises UltraFMError for more images than
    there are whole numbers.
    """

    sites: int
    weight: int
    images: int
    reach: float

    def __post_init__(self) -> None:
        if (most := max(self.weight, self.images)) > self.limit:
            raise UltraFMError("secure aggregation", f"a weight of {most} in a round", f"at most {self.limit}")

    @property
    def kind(self) -> np.dtype:
        """The unsigned numbers that travel."""
        return kind_for(self.sites)

    @property
    def bits(self) -> int:
        """How many bits a number has."""
        return 8 * self.kind.itemsize

    @property
    def limit(self) -> int:
        """The farthest from zero that a site's number may be."""
        return min((2 ** (self.bits - 1) - 1) // self.sites, EXACT)

    @property
    def steps(self) -> float:
        """Whole steps in one of weight x update."""
        return self.limit / (self.weight * self.reach)

    @property
    def loss_steps(self) -> float:
        """Whole steps in one of images x loss."""
        return self.limit / (self.images * GREATEST_LOSS)

    @property
    def signed(self) -> np.dtype:
        """The same with a sign."""
        return np.dtype(f"int{self.bits}")


def kind_for(sites: int) -> np.dtype:
    """32 bits while that leaves every site's numbers `FINE` steps, which is up to 127 sites; else 64."""
    return np.dtype(np.uint32 if (2**31 - 1) // sites >= FINE else np.uint64)


@dataclass(frozen=True)
class Sum:
    """What a secure round gives: the mean update (float64), and the sums of weights, images and loss x images."""

    mean: np.ndarray
    weight: int
    images: int
    loss: float


def encode(ring: Ring, update: Update, weight: int, images: int, loss: float) -> np.ndarray:
    """weight x update, and the three numbers after it, as whole numbers of the ring.

    Raises UltraFMError for what is not finite, and for a change beyond the ring's reach: training cannot have produced
    it, and to cut it off in silence would change the sum.
    """
    if not (0 <= weight <= ring.weight and 0 <= images <= ring.images):
        found = f"{images} images, a weight of {weight}"
        raise UltraFMError("secure aggregation", found, f"at most {ring.images} and {ring.weight}, as the round has")
    if not (math.isfinite(loss) and loss >= 0):
        raise UltraFMError("secure aggregation", f"a loss of {loss}", "a finite one", "look at the site's pictures")
    length = len(update.old)
    numbers = np.empty(length + LONG, ring.signed)
    for part in parts(length):
        change = update.part(part)
        if not (farthest := float(np.abs(change).max(initial=0.0))) <= ring.reach:
            refuse(farthest, ring.reach)
        np.multiply(change, weight * ring.steps, out=change)
        numbers[part] = np.clip(np.rint(change, out=change), -ring.limit, ring.limit, out=change)
    numbers[length:] = weight, images, min(round(min(loss, GREATEST_LOSS) * images * ring.loss_steps), ring.limit)
    return numbers.view(ring.kind)


def refuse(farthest: float, reach: float) -> None:
    """Raises UltraFMError for an update that is not finite or goes too far; how far is not told, for errors travel."""
    if not math.isfinite(farthest):
        found, expected = "an update that is not finite", "finite numbers"
    else:
        found, expected = "a change of one weight that is too large", f"at most {reach:.3g}, as far as its steps lead"
    raise UltraFMError("secure aggregation", found, expected, "look at the site's loss, and lower the learning rate")


def decode(ring: Ring, total: np.ndarray) -> Sum:
    """What the sites' unmasked sum stands for. A sum without weight has a mean of zeros."""
    numbers, length = total.view(ring.signed), len(total) - LONG
    weight, images, loss = (int(one) for one in numbers[length:])
    mean = numbers[:length].astype(np.float64)
    mean /= ring.steps * (weight or 1)
    return Sum(mean, weight, images, loss / ring.loss_steps / images if images else 0.0)


def whole_weight(weighting: str, images: int) -> int:
    """What a site counts for, as a whole number: its images, their root in parts of `ROOT_STEPS`, or 1."""
    if weighting == "equal":
        return int(images > 0)
    return round(ROOT_STEPS * math.sqrt(images)) if weighting == "root" else images


def ring_of(sites: int, weighting: str, images: int, reach: float) -> Ring:
    """The ring of rounds of at most `sites` sites, of which none trains on more than `images` images in this one."""
    return Ring(sites, max(whole_weight(weighting, images), 1), max(images, 1), reach)


def reach_of(recipe: Recipe, adaptive: str, site_step: float, steps: int, old: np.ndarray, noisy: float = 0.0) -> float:
    """How far one weight can move in so many steps at a site from the weights `old`, whatever the pictures.

    `recipe` has the sites' batch size; the rest as in `Federation`. As in `checks.longest_update`, for one weight
    instead of all; with what rounding to float32 may add. `noisy`: with privacy of patients, how far the noisy
    gradients of all steps together lead at most (`checks.longest_noisy_steps`).
    """
    farthest, steps = float(np.abs(old).max(initial=0.0)), max(steps, 1)
    if noisy:
        moved = site_step * noisy / steps
    elif adaptive == "server":
        moved = site_step * recipe.clip
    else:
        step = ADAM_STEP * recipe.peak_rate
        moved = step + recipe.peak_rate * recipe.weight_decay * (farthest + steps * step)
    return SLACK * steps * (moved + farthest * 2.0**-23)
