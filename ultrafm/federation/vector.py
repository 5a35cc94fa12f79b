"""All weights of a model as one vector, which is what travels between sites and coordinator.

A hundred small arrays cost a message more than a million numbers do. Names and shapes are those of the model that both
sides build from the recipe; `layout` tells them, and goes with every message, so that two versions cannot be mixed up.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

WEIGHTS = "weights"  # the name of the vector in records and in state files


def layout(model: nn.Module) -> dict[str, list[str]]:
    """Names and shapes of the parameters in the order of the vector. Raises ValueError when there are buffers too."""
    if extra := [name for name, _buffer in model.named_buffers()]:
        raise ValueError(f"{extra[0]} is no parameter: it would not travel")
    names, parameters = zip(*model.named_parameters())
    return {"names": list(names), "shapes": ["x".join(map(str, one.shape)) for one in parameters]}


def to_vector(model: nn.Module) -> np.ndarray:
    """All weights of `model`, float32, in memory of their own."""
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]).numpy()


def load_vector(model: nn.Module, vector: np.ndarray) -> None:
    """Overwrite all weights of `model`. Raises ValueError when `vector` is not as long as they are."""
    weights = list(model.parameters())
    sizes = [math.prod(weight.shape) for weight in weights]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"weights of shape {vector.shape}: expected {sum(sizes)} numbers")
    with torch.no_grad():
        parts = torch.from_numpy(np.array(vector)).split(sizes)  # copied: torch wants memory that it may write to
        for weight, part in zip(weights, parts):
            weight.copy_(part.view_as(weight))
