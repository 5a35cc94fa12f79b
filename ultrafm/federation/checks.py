"""Is a site's answer one that can be used? What training cannot have produced is not averaged."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
from flwr.app import Message, MetricRecord

from ultrafm.federation.arrays import from_record
from ultrafm.federation.compression import Update, expected_arrays, parts
from ultrafm.federation.courier import NO_REPLY
from ultrafm.federation.incidents import Fault
from ultrafm.federation.plan import Federation
from ultrafm.pretraining.recipe import Recipe

ADAM_STEP = 1.2  # no weight moves farther in a step of AdamW than this times the rate, see `longest_update`
SLACK = {"none": 1.01, "bf16": 1.02, "int8": 1.5}  # for sums in float32, and for what rounding adds to an update


VERSION = "install the same version at site and coordinator"


def read_metrics(reply: Message, number: int) -> MetricRecord:
    """What a site reports of round `number`. Raises Fault for an error, another round, or what is no number."""
    require_answer(reply)
    metrics = reply.content["metrics"] if "metrics" in reply.content else MetricRecord()
    for name in ("round", "images", "loss"):
        if not isinstance(metrics.get(name), int | float):
            raise Fault("unreadable", f"{name}: {metrics.get(name)!r}", "a number", VERSION)
    if metrics["images"] < 0 or metrics["images"] % 1:
        raise Fault("unreadable", f"{metrics['images']} images", "a whole number of images", VERSION)
    if metrics["round"] != number:
        raise Fault("stale round", f"an answer to round {metrics['round']}", f"one to round {number}")
    if not math.isfinite(metrics["loss"]):
        raise Fault("not finite", f"a loss of {metrics['loss']}", "a finite loss", "look at the site's pictures")
    return metrics


def require_answer(reply: Message) -> None:
    """Raises Fault for an error in place of an answer."""
    if reply.has_error():
        kind = "no reply" if reply.error.code == NO_REPLY else "error"
        mend = "mend the site and run the same command again; it continues from the last finished round"
        raise Fault(kind, plain(reply.error.reason), "an answer", mend)


def plain(reason: str) -> str:
    """The reason of an error reply without the Python around it: Flower writes "<class '...'>:<'message'>"."""
    told = re.fullmatch(r"<class '[^']*'>:<['\"](.*)['\"]>", reason, re.DOTALL)
    return told.group(1) if told else reason


def read_update(reply: Message, old: np.ndarray, compression: str) -> Update:
    """The update that a reply carries. Raises Fault when it is not of this model, or not packed as was asked."""
    return Update(old, read_arrays(reply, expected_arrays(len(old), compression)))


def read_arrays(reply: Message, expected: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """The arrays of a reply. Raises Fault when they are not of the `expected` names, types and shapes."""
    try:
        arrays = from_record(reply.content["arrays"])
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("unreadable", f"weights that cannot be read ({error})", told(expected), VERSION) from None
    found = {name: (str(one.dtype), one.shape) for name, one in arrays.items()}
    if found != expected:
        raise Fault("other weights", told(found), told(expected), VERSION)
    return arrays


def told(arrays: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    """Arrays in words: "weights (float32, 1000)"."""
    return " and ".join(f"{name} ({kind}, {' x '.join(map(str, shape))})" for name, (kind, shape) in arrays.items())


def length_of(update: Update) -> float:
    """Euclidean length of an update; NaN or infinite when one of its numbers is."""
    total = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for part in parts(len(update.old)):
            numbers = update.part(part, np.float32)
            total += float(np.einsum("i,i->", numbers, numbers, dtype=np.float64, casting="same_kind"))
    return math.sqrt(total) if total >= 0 else math.nan


def require_sound(update: Update, longest: float) -> None:
    """Raises Fault when an update is not finite or longer than `longest`, which is as far as training can move."""
    length = length_of(update)
    if not math.isfinite(length):
        found = "a change that is not a finite number"
        raise Fault("not finite", found, "finite numbers", "look at the site's loss and lower its learning rate")
    if length > longest:
        found = f"a change of length {length:.3g}"
        raise Fault("too long", found, f"at most {longest:.3g}, which is as far as its steps can lead")


def longest_update(recipe: Recipe, federation: Federation, steps: int, old: np.ndarray, patients: int = 0) -> float:
    """How far so many steps at a site can move weights, whatever the pictures: nothing honest is longer.

    `patients` of the site count with privacy of patients only, whose noise is longer with a probability of 1e-21.

    Plain steps: each has the length `site_step` times that of a gradient which is clipped to `recipe.clip`. AdamW: each
    moves a weight by at most rate x (1 - b1) / sqrt((1 - b2)(1 - b1^2 / b2)), which is 1.17 times the rate for b1 0.9
    and b2 0.95 (from the inequality of Cauchy and Schwarz), and by its decay.
    """
    slack, rate = SLACK[federation.compression], replace(recipe, batch_size=federation.site_batch_size).peak_rate
    if federation.is_at_sites:
        return slack * federation.site_step * longest_noisy_steps(federation, steps, len(old), patients)
    if federation.adaptive == "server":
        return slack * steps * federation.site_step * recipe.clip
    numbers = math.sqrt(len(old))
    start, step = float(np.linalg.norm(old)), ADAM_STEP * rate * numbers
    decay = rate * recipe.weight_decay * (start + steps * step)
    return slack * steps * (step + decay)


def longest_noisy_steps(federation: Federation, steps: int, numbers: int, patients: int) -> float:
    """How long the noisy gradients of so many steps are together, but for a probability of 1e-21.

    At most `clip` from every patient who is sampled; their number has a tail as Bernstein's inequality says. The noise
    of all steps together is one Gaussian, whose length exceeds sqrt(numbers) + t deviations with probability below
    exp(-t^2 / 2) (Laurent and Massart 2000, lemma 1).
    """
    tail, expected = 10.0, patients / max(-(-patients // federation.site_batch_size), 1)
    mean = steps * expected
    sampled = min(mean + tail**2 / 3 + tail * math.sqrt(2 * mean + tail**2 / 9), steps * patients)
    noise = federation.noise * math.sqrt(steps) * (math.sqrt(numbers) + tail)
    return federation.clip * (sampled + noise) / max(expected, 1)
