"""How the mean update of the sites changes the global model: added as it is, or adaptively.

Pure functions `(old, update, state, rate, number) -> (new, state)`: `old` and `new` are the global weights, `update` is
what sites sent less `old`, joined, `state` what the server remembers (empty before the first round),
`rate` the server's learning rate and `number` the round, from 1. (Reddi et al. 2021, Adaptive Federated Optimization,
arXiv 2003.00295, algorithms 1 and 2.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]
State = dict[str, Arrays]
ServerOptimizer = Callable[[Arrays, Arrays, State, float, int], tuple[Arrays, State]]

MEMORY = 0.9  # how much of the mean update is remembered from round to round
SQUARE_MEMORY = 0.95  # the same for its square; with MEMORY as AdamW for masked autoencoders (He et al. 2022)
SMALLEST = 1e-8  # keeps the division sound where a weight has never been updated


def average(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """Federated averaging (McMahan et al. 2017) at rate 1: the sites' weighted mean is the next model."""
    return {name: (old[name] + rate * update[name]).astype(old[name].dtype) for name in old}, {}


def momentum(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """Goes on in the direction of earlier rounds (FedAvgM; Hsu et al. 2019, arXiv 1909.06335)."""
    before, velocity, new = state.get("velocity", {}), {}, {}
    for name, weight in old.items():
        change = update[name].astype(np.float32, copy=False)
        velocity[name] = np.float32(MEMORY) * before.get(name, np.float32(0)) + change
        new[name] = (weight + np.float32(rate) * velocity[name]).astype(weight.dtype, copy=False)
    return new, {"velocity": velocity}


def adam(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """Every weight has a step of its own size (FedAdam): the mean update over the root of its mean square.

    With bias correction as in Adam, so the size of the sites' own steps cancels out. What is remembered is in float32.
    """

    def remember(square: np.ndarray, change: np.ndarray) -> np.ndarray:
        return np.float32(SQUARE_MEMORY) * square + np.float32(1 - SQUARE_MEMORY) * change**2

    return _adapt(old, update, state, rate, number, remember, 1 / (1 - SQUARE_MEMORY**number))


def yogi(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """As Adam, but the mean square moves by at most the new square, so it forgets slowly (FedYogi).

    It starts at zero as Adam's does here, and is corrected for that alike.
    """

    def remember(square: np.ndarray, change: np.ndarray) -> np.ndarray:
        return square - np.float32(1 - SQUARE_MEMORY) * change**2 * np.sign(square - change**2)

    return _adapt(old, update, state, rate, number, remember, 1 / (1 - SQUARE_MEMORY**number))


def adagrad(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """As Adam, but squares are summed and never forgotten, so that steps get smaller (FedAdagrad)."""
    return _adapt(old, update, state, rate, number, lambda square, change: square + change**2, 1.0)


def _adapt(
    old: Arrays,
    update: Arrays,
    state: State,
    rate: float,
    number: int,
    remember: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scale: float,
) -> tuple[Arrays, State]:
    """One adaptive step; `remember` gives the new square from the old one and the change, `scale` corrects its bias."""
    mean, square, new = {}, {}, {}
    first, second = state.get("mean", {}), state.get("square", {})
    step = np.float32(rate / (1 - MEMORY**number))
    for name, weight in old.items():
        change = update[name].astype(np.float32, copy=False)
        mean[name] = np.float32(MEMORY) * first.get(name, np.float32(0)) + np.float32(1 - MEMORY) * change
        square[name] = remember(second.get(name, np.zeros_like(change)), change)
        root = np.sqrt(square[name] * np.float32(scale)) + np.float32(SMALLEST)
        new[name] = (weight + step * mean[name] / root).astype(weight.dtype, copy=False)
    return new, {"mean": mean, "square": square}


OPTIMIZERS: dict[str, ServerOptimizer] = {
    "average": average, "momentum": momentum, "adam": adam, "yogi": yogi, "adagrad": adagrad,
}  # fmt: skip
ADAPTIVE = ("adam", "yogi", "adagrad")  # those whose rate is a step's size for each weight, as AdamW's
