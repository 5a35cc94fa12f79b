"""The shared weights of a model as one vector, which is what travels between sites and coordinator.

A hundred small arrays cost a message more than a million numbers do. Names and shapes are those of the model that both
sides build from the recipe; `layout` tells them, and goes with every message, so that two versions cannot be mixed up.
Weights whose names match a pattern in `local` stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import nn

from ultrafm.errors import UltraFMError, nearest

WEIGHTS = "weights"  # the name of the vector in records and in state files


def split_weights(
    model: nn.Module, local: Sequence[str] = ()
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """The parameters that travel and those that match a pattern of `local` ("decoder.*"), by name, in model order.

    Raises UltraFMError when a pattern matches nothing, or all are local; ValueError when the model has buffers.
    """
    if extra := [name for name, _buffer in model.named_buffers()]:
        raise ValueError(f"{extra[0]} is no parameter: it would not travel")
    named = dict(model.named_parameters())
    for pattern in local:
        if not any(fnmatchcase(name, pattern) for name in named):
            hint = nearest(pattern, named)
            raise UltraFMError("federation, local_weights", f"{pattern!r}, which no weight matches", f"a weight{hint}")
    kept = {name: one for name, one in named.items() if any(fnmatchcase(name, pattern) for pattern in local)}
    if len(kept) == len(named):
        raise UltraFMError("federation, local_weights", "all weights", "some that are shared")
    return {name: one for name, one in named.items() if name not in kept}, kept


def layout(model: nn.Module, local: Sequence[str] = ()) -> dict[str, list[str]]:
    """Names and shapes of the shared parameters in the order of the vector."""
    shared, _kept = split_weights(model, local)
    return {"names": list(shared), "shapes": ["x".join(map(str, one.shape)) for one in shared.values()]}


def to_vector(model: nn.Module, local: Sequence[str] = ()) -> np.ndarray:
    """All shared weights of `model`, float32, in memory of their own."""
    shared, _kept = split_weights(model, local)
    return torch.cat([weight.detach().reshape(-1) for weight in shared.values()]).cpu().numpy()


def as_views(model: nn.Module, local: Sequence[str] = ()) -> torch.Tensor:
    """Move the shared weights of `model` into one vector, on their device, and give that.

    What is written into it, the model computes with.
    """
    vector = torch.from_numpy(to_vector(model, local)).to(next(model.parameters()).device)
    weights = list(split_weights(model, local)[0].values())
    for weight, part in zip(weights, vector.split([weight.numel() for weight in weights])):
        weight.data = part.view_as(weight)
    return vector


def load_vector(into: torch.Tensor, vector: np.ndarray) -> None:
    """Overwrite the weights behind `into`. Raises ValueError when `vector` is not as long as they are."""
    if vector.shape != tuple(into.shape):
        raise ValueError(f"weights of shape {vector.shape}: expected {len(into)} numbers")
    into.copy_(torch.tensor(vector))
