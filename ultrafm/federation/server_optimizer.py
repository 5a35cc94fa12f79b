"""How the mean update of the sites changes the global model: added as it is, or adaptively.

Pure functions `(old, update, state, rate, number) -> (new, state)`: `old` and `new` are the global weights, `update` is
the weighted mean of what sites sent less `old`, `state` what the server remembers (empty before the first round),
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


def adam(old: Arrays, update: Arrays, state: State, rate: float, number: int) -> tuple[Arrays, State]:
    """Every weight has a step of its own size (FedAdam): the mean update over the root of its mean square.

    With bias correction as in Adam, so the size of the sites' own steps cancels out. What is remembered is in float32.
    """
    mean, square, new = {}, {}, {}
    first, second = state.get("mean", {}), state.get("square", {})
    step, scale = np.float32(rate / (1 - MEMORY**number)), np.float32(1 / (1 - SQUARE_MEMORY**number))
    for name, weight in old.items():
        change = update[name].astype(np.float32, copy=False)
        mean[name] = np.float32(MEMORY) * first.get(name, np.float32(0)) + np.float32(1 - MEMORY) * change
        square[name] = (
            np.float32(SQUARE_MEMORY) * second.get(name, np.float32(0)) + np.float32(1 - SQUARE_MEMORY) * change**2
        )
        root = np.sqrt(square[name] * scale) + np.float32(SMALLEST)
        new[name] = (weight + step * mean[name] / root).astype(weight.dtype, copy=False)
    return new, {"mean": mean, "square": square}
