"""A site's update as whoever receives it sees it: alone or in a sum, after one step or several, with noise or without.

Gradients are tensors by the weight's name. A plain step of size s changes weights by -s times the gradient, so an
update tells the gradient; several steps tell about their sum.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ultrafm.errors import UltraFMError
from ultrafm.federation.vector import split_weights
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder, reconstruction_errors
from ultrafm.pretraining.views import View

Gradients = dict[str, torch.Tensor]
STEP = 0.1  # size of a site's plain steps, as in `plan.Federation`


@dataclass(frozen=True)
class Case:
    """What an update is made of. Each of `sites` takes `steps` plain steps with `pictures` pictures each.

    clip, noise: every picture's gradient is cut to the length `clip`, and Gaussian noise of deviation `noise` x `clip`
    is added to each step's sum of them (Abadi et al. 2016, arXiv 1607.00133, algorithm 1); 0 for neither.
    """

    name: str
    pictures: int = 1
    steps: int = 1
    sites: int = 1
    noise: float = 0.0
    clip: float = 1.0

    @property
    def shown(self) -> int:
        """Pictures that have a part in the update."""
        return self.pictures * self.steps * self.sites


def read_case(text: str) -> Case:
    """A case in words: "one picture: pictures 1, noise 0.01". Raises UltraFMError for words that are not understood."""
    name, colon, changes = text.partition(":")
    case = Case(name.strip())
    for words in filter(None, (part.strip() for part in changes.split(","))):
        field, _, value = words.partition(" ")
        kinds = {"pictures": int, "steps": int, "sites": int, "noise": float, "clip": float}
        try:
            case = replace(case, **{field: kinds[field](value)})
        except (KeyError, ValueError) as error:
            raise UltraFMError("update", repr(words), f"one of {', '.join(kinds)} and a number") from error
    if not colon or min(case.pictures, case.steps, case.sites) < 1 or case.noise < 0 or not case.clip > 0:
        expected = "a name, a colon and numbers from 1 on, such as 'a batch: pictures 4'"
        raise UltraFMError("update", repr(text), expected)
    return case


def loss_gradients(model: MaskedAutoencoder, view: View, grey_scale: GreyScale) -> Gradients:
    """The gradient of the view's mean loss, the loss of training, with respect to every trained weight."""
    named = trained_weights(model)
    clean = grey_scale.apply(view.clean)
    predicted = model(grey_scale.apply(view.shown), view.keep, view.wanted, view.acquisition)
    errors = reconstruction_errors(predicted, clean, view.wanted, model.patch_size)
    loss = (errors * view.scored).sum() / view.scored.sum().clamp(min=1)
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(named, (one.detach() for one in found)))


def trained_weights(model: MaskedAutoencoder) -> dict[str, torch.nn.Parameter]:
    """The weights that training changes, by name."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad and one.numel()}


def gradients_of_update(
    model: MaskedAutoencoder, update: np.ndarray, step: float, local: Sequence[str] = ()
) -> Gradients:
    """What a vector of changes, as it travels, tells of the gradient: the change over minus the step, by weight.

    Weights that stay at the site have no gradient. Raises UltraFMError when the vector has another length.
    """
    shared = split_weights(model, local)[0]
    sizes = [one.numel() for one in shared.values()]
    if update.shape != (sum(sizes),):
        raise UltraFMError("update", f"an array of shape {update.shape}", f"{sum(sizes)} numbers, one for each weight")
    parts = torch.from_numpy(-update / step).split(sizes)
    names = set(trained_weights(model))
    return {name: part.view_as(one) for (name, one), part in zip(shared.items(), parts) if name in names}


def seen_gradients(
    model: MaskedAutoencoder, views: Sequence[View], grey_scale: GreyScale, case: Case, generator: torch.Generator
) -> Gradients:
    """What the coordinator sees of `case`: the mean gradient over its sites and steps.

    views: one for each site and step, the first site's first. Of several sites only the sum is seen, as secure
    aggregation leaves it. The differential privacy of a federation plugs in at `step_gradients`.
    """
    if len(views) != case.steps * case.sites:
        raise UltraFMError(f"update {case.name!r}", f"{len(views)} batches", f"{case.steps * case.sites}")
    total: Gradients = {}
    for start in range(0, len(views), case.steps):
        here = copy.deepcopy(model)
        for view in views[start : start + case.steps]:
            found = step_gradients(here, view, grey_scale, case, generator)
            total = {name: total.get(name, 0.0) + one / len(views) for name, one in found.items()}
            descend(here, found)
    return total


def step_gradients(
    model: MaskedAutoencoder, view: View, grey_scale: GreyScale, case: Case, generator: torch.Generator
) -> Gradients:
    """The gradient of one step: as it is, or of pictures that are clipped one by one, with noise."""
    if not case.noise:
        return loss_gradients(model, view, grey_scale)
    each = [loss_gradients(model, view.part(slice(row, row + 1)), grey_scale) for row in range(len(view.shown))]
    return noisy_mean(each, case.clip, case.noise, generator)


def noisy_mean(each: Sequence[Gradients], clip: float, noise: float, generator: torch.Generator) -> Gradients:
    """The mean of pictures' gradients, each cut to the length `clip`, with noise on their sum. A simulation.

    A real run's noise comes from a secure generator; this one is for measuring what noise does to an attack.
    """
    scales = [min(1.0, clip / max(length(one), 1e-12)) for one in each]
    made = {}
    for name, first in each[0].items():
        total = sum(one[name] * scale for one, scale in zip(each, scales))
        made[name] = (total + clip * noise * torch.randn(first.shape, generator=generator)) / len(each)
    return made


def length(gradients: Gradients) -> float:
    """The Euclidean length of all gradients together."""
    return float(torch.stack([one.pow(2).sum() for one in gradients.values()]).sum().sqrt())


@torch.no_grad()
def descend(model: MaskedAutoencoder, gradients: Gradients, step: float = STEP) -> None:
    """Take one plain step, in place."""
    for name, weight in model.named_parameters():
        if name in gradients:
            weight.sub_(gradients[name], alpha=step)
