"""All weights of a model as one vector, which is what travels between sites and coordinator.

A hundred small arrays cost a message more than a million numbers do. Names and shapes are those of the model that both
sides build from the recipe; `layout` tells them, and goes with every message, so that two versions cannot be mixed up.
"""

from __future__ import annotations

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
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]).cpu().numpy()


def as_views(model: nn.Module) -> torch.Tensor:
    """Move the weights of `model` into one vector, on their device, and give that.

    What is written into it, the model computes with.
    """
    vector = torch.from_numpy(to_vector(model)).to(next(model.parameters()).device)
    weights = list(model.parameters())
    for weight, part in zip(weights, vector.split([weight.numel() for weight in weights])):
        weight.data = part.view_as(weight)
    return vector


def load_vector(into: torch.Tensor, vector: np.ndarray) -> None:
    """Overwrite the weights behind `into`. Raises ValueError when `vector` is not as long as they are."""
    if vector.shape != tuple(into.shape):
        raise ValueError(f"weights of shape {vector.shape}: expected {len(into)} numbers")
    into.copy_(torch.tensor(vector))
