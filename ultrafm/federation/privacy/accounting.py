"""What training spends: epsilon at a delta, from noise, sampling rate and steps; and the noise for a wanted epsilon.

The accountant is that of opacus (privacy loss random variables, Gopi et al. 2021, arXiv 2106.02848); it gives an upper
bound that lies about 0.01 above the exact value. Its cheaper one (Rényi, Mironov 2017, arXiv 1702.07476) is used only
to see early that a budget is far from spent: it is an upper bound too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ultrafm.errors import UltraFMError

ACCOUNTANT = "opacus {version}, privacy loss random variables"
ERROR = 0.01  # of the accountant's epsilon, always upwards: it cannot tell that less than this was spent
LOOSE = 50.0  # epsilon by the cheaper accountant from which on that is told: the better one would take minutes
MOST_NOISE = 1e4  # as a multiple of the clip; a wanted epsilon that takes more is refused


@dataclass(frozen=True)
class Spending:
    """`steps` releases of a sum with Gaussian noise; each unit (patient, site) is in a step with probability `rate`.

    noise: deviation of the noise as a multiple of the farthest that one unit moves the sum.
    """

    noise: float
    rate: float
    steps: int

    def __post_init__(self) -> None:
        if not (0 < self.noise < math.inf and 0 < self.rate <= 1 and self.steps >= 0):
            expected = "noise above 0, a rate above 0 and at most 1, and no negative number of steps"
            raise UltraFMError("privacy, spending", f"{self}", expected)


def together(spent: Iterable[Spending]) -> tuple[Spending, ...]:
    """The same spending with steps of equal noise and rate counted in one, in a fixed order."""
    steps: dict[tuple[float, float], int] = {}
    for one in spent:
        steps[one.noise, one.rate] = steps.get((one.noise, one.rate), 0) + one.steps
    return tuple(Spending(*kind, count) for kind, count in sorted(steps.items()) if count)


def epsilon_of(spent: Iterable[Spending], delta: float) -> float:
    """Epsilon at `delta` of all that was spent, an upper bound; 0 when nothing was. From LOOSE on it is a loose one.

    Raises UltraFMError when `delta` is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise UltraFMError("privacy, delta", f"{delta:g}", "a number above 0 and below 1")
    history = together(spent)
    loose = _epsilon(history, delta, "rdp")
    return loose if loose > LOOSE else _epsilon(history, delta, "prv")


def is_affordable(spent: Iterable[Spending], epsilon: float, delta: float) -> bool:
    """Does all that was spent stay within `epsilon` at `delta`?

    What the accountant cannot bound is not affordable.
    """
    history = together(spent)
    early = _epsilon(history, delta, "rdp") <= epsilon
    return early or not history or (epsilon > ERROR and epsilon_of(history, delta) <= epsilon)


@lru_cache(maxsize=4096)
def _epsilon(history: tuple[Spending, ...], delta: float, kind: str) -> float:
    if not history:
        return 0.0
    from opacus.accountants import create_accountant  # importing it takes seconds, and few need it

    accountant = create_accountant(kind)
    accountant.history = [(one.noise, one.rate, one.steps) for one in history]
    with warnings.catch_warnings():  # at rate 1 it takes the logarithm of 0, and is right; RDP tells of its orders
        warnings.simplefilter("ignore")
        found = float(accountant.get_epsilon(delta=delta))
    return found if math.isfinite(found) else math.inf


def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise, to a thousandth, with which so many steps stay within `epsilon` at `delta`.

    Raises UltraFMError when no noise up to MOST_NOISE is enough.
    """
    low, high = 0.0, 1.0
    while not is_affordable([Spending(high, rate, steps)], epsilon, delta):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            expected = f"an epsilon that can be had; the accountant's own error is {ERROR:g}"
            raise UltraFMError("privacy, epsilon", f"{epsilon:g} over {steps} steps", expected, "ask for more")
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        if is_affordable([Spending(middle, rate, steps)], epsilon, delta):
            high = middle
        else:
            low = middle
    return high


def accountant_name() -> str:
    """The accountant with its version, to be written down beside every epsilon."""
    from importlib.metadata import version

    return ACCOUNTANT.format(version=version("opacus"))


def least_units(units: int, delta: float, where: str, what: Sequence[str]) -> None:
    """Raises UltraFMError when `delta` is not below 1 / `units`: one unit could be laid open as a whole.

    `what`: one unit and several of them, in words, such as ("patient", "patients").
    """
    if delta * units >= 1:
        mend = f"choose a delta below {1 / max(units, 1):.2g}"
        raise UltraFMError(where, f"delta {delta:g} with {units} {what[units != 1]}", "less than one over these", mend)
