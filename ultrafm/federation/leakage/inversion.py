"""Pictures from a gradient: search for pictures whose gradient is the one that was seen.

Gradient matching by squared distance and a quasi-Newton search is of Zhu et al. 2019 (arXiv 1906.08935), by the angle
with total variation of Geiping et al. 2020 (arXiv 2003.14053). `match_patches` makes three things of the masked
autoencoder its own: only visible patches enter the encoder; they lie in a space that the gradient tells
(`closed_form.patch_span`); and hidden patches act through the errors at the output alone, in which the gradient is
linear. Of a hidden patch, texture leaks, but not its mean and contrast, which the loss does not see.

The attacker is assumed to know the model, the grey scale and the masks: the worst case, since the coordinator hands out
the seed that masks are drawn from.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ultrafm.errors import UltraFMError, one_of
from ultrafm.federation.leakage.assembly import Masks, assemble
from ultrafm.federation.leakage.closed_form import patch_span, prediction_errors
from ultrafm.federation.leakage.updates import Gradients, trained_weights
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.masking import ABSENT
from ultrafm.pretraining.model import (
    MaskedAutoencoder,
    patchify,
    reconstruction_errors,
    take,
    unpatchify,
)

DISTANCES = ("squared", "cosine")


@dataclass(frozen=True)
class Recovered:
    """What an attack found: pictures (B, 1, S, S) with grey values 0 to 1, and how far their gradient is from the seen.

    `visible` (B, K, P * P) are the normalised patches that entered the encoder; `distance` is 0 for a perfect match.
    """

    pictures: torch.Tensor
    visible: torch.Tensor
    distance: float


def match_patches(
    model: MaskedAutoencoder, seen: Gradients, masks: Masks, grey_scale: GreyScale, steps: int,
    generator: torch.Generator,
) -> Recovered:  # fmt: skip
    """Search for visible patches and output errors whose gradient is `seen`; then read off the hidden textures.

    `steps` of L-BFGS from a random start. The length of `seen` does not matter to what is found of visible patches.
    Raises UltraFMError for pictures that keep unequal numbers of patches.
    """
    model, weights, target = prepare(model, seen, masks)
    basis = patch_span(seen, masks.keep.numel())
    visible = 0.3 * torch.randn(*masks.keep.shape, len(basis), generator=generator)
    errors = torch.randn(*masks.wanted.shape, basis.shape[1], generator=generator)
    unknown = [visible.requires_grad_(), errors.requires_grad_()]
    unit = 2 / basis.shape[1] / masks.scored.sum().clamp(min=1) * masks.scored[:, :, None]  # the loss's slope

    def gradients() -> list[torch.Tensor]:
        predicted = predict(model, visible @ basis, masks)
        return torch.autograd.grad((predicted * errors * unit).sum(), weights, create_graph=True)

    # Clipping hides the gradient's true length; errors that start at a fitting size make the search blind to it.
    unit = unit * (total_length(target) / total_length(gradients())).detach()

    search = torch.optim.LBFGS(
        unknown, max_iter=steps, max_eval=steps + steps // 4, history_size=50, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def evaluate() -> torch.Tensor:
        found = squared(gradients(), target)
        for one, slope in zip(unknown, torch.autograd.grad(found, unknown)):
            one.grad = slope
        return found.detach()

    search.step(evaluate)
    patches = (visible @ basis).detach()
    mismatch = float(squared(gradients(), target).detach())
    textures = hidden_textures(model, patches, seen, masks, mismatch)
    return Recovered(assemble(patches, textures, masks, grey_scale), patches, mismatch)


def match_pictures(
    model: MaskedAutoencoder, seen: Gradients, masks: Masks, grey_scale: GreyScale, steps: int,
    generator: torch.Generator, distance: str = "cosine", smoothness: float = 0.01, rate: float = 0.05,
) -> Recovered:  # fmt: skip
    """The general attack, which knows nothing of autoencoders: `steps` of Adam on whole pictures.

    distance: of DISTANCES. smoothness: weight of the total variation per pixel.
    """
    one_of("distance of gradients", distance, DISTANCES)
    model, weights, target = prepare(model, seen, masks)
    side = round(model.decoder_positions[0, 1:].shape[0] ** 0.5) * model.patch_size
    pictures = grey_scale.mean + 0.1 * torch.randn(len(masks.keep), 1, side, side, generator=generator)
    pictures.requires_grad_()
    search = torch.optim.Adam([pictures], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(search, max(steps, 1))
    measure = {"squared": squared, "cosine": cosine}[distance]
    apart = torch.ones(())
    for _ in range(steps):
        normalised = grey_scale.apply(pictures)
        errors = reconstruction_errors(
            model(normalised, masks.keep, masks.wanted), normalised, masks.wanted, model.patch_size
        )
        loss = (errors * masks.scored).sum() / masks.scored.sum().clamp(min=1)
        apart = measure(torch.autograd.grad(loss, weights, create_graph=True), target)
        (pictures.grad,) = torch.autograd.grad(apart + smoothness * total_variation(pictures), pictures)
        search.step()
        schedule.step()
        with torch.no_grad():
            pictures.clamp_(0, 1)
    found = pictures.detach()
    return Recovered(
        found, take(patchify(grey_scale.apply(found), model.patch_size), masks.keep), float(apart.detach())
    )


def prepare(
    model: MaskedAutoencoder, seen: Gradients, masks: Masks
) -> tuple[MaskedAutoencoder, list[torch.Tensor], list[torch.Tensor]]:
    """A copy of the model that can be differentiated twice, its weights that were seen, and what was seen of each."""
    if (masks.keep == ABSENT).any() or (masks.wanted == ABSENT).any():
        found = "pictures that keep unequal numbers of patches"
        raise UltraFMError("inversion of an update", found, "equal numbers", "mask uniformly")
    if masks.keep.shape[1] + masks.wanted.shape[1] != model.decoder_positions.shape[1] - 1:
        found = "hidden patches that are not decoded"
        raise UltraFMError("inversion of an update", found, "all of them", "train with decoded_share 1")
    model = copy.deepcopy(model).eval()
    for block in (*model.encoder.blocks, *model.decoder):
        block.attn.fused_attn = False  # fused attention has no second derivative
    named = {name: one for name, one in trained_weights(model).items() if name in seen and seen[name].any()}
    if not named:
        raise UltraFMError("inversion of an update", "an update without any change", "one that changes weights")
    return model, list(named.values()), [seen[name] for name in named]


def predict(model: MaskedAutoencoder, visible: torch.Tensor, masks: Masks) -> torch.Tensor:
    """The model's predictions from normalised visible patches (B, K, P * P)."""
    canvas = visible.new_zeros(len(visible), model.decoder_positions.shape[1] - 1, visible.shape[-1])
    places = masks.keep[:, :, None].expand_as(visible)
    return model(unpatchify(canvas.scatter(1, places, visible), model.patch_size), masks.keep, masks.wanted)


def squared(found: list[torch.Tensor], target: list[torch.Tensor]) -> torch.Tensor:
    """Squared distance of each weight's gradient over its length squared, mean over weights: none drowns another."""
    apart = [(one - aim).square().sum() / aim.square().sum() for one, aim in zip(found, target)]
    return torch.stack(apart).mean()


def cosine(found: list[torch.Tensor], target: list[torch.Tensor]) -> torch.Tensor:
    """One minus the cosine of the angle between all gradients together."""
    product = sum((one * aim).sum() for one, aim in zip(found, target))
    return 1 - product / (total_length(found) * total_length(target)).clamp(min=1e-12)


def total_length(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The Euclidean length of all gradients together, with its derivative."""
    return torch.stack([one.square().sum() for one in gradients]).sum().sqrt()


def total_variation(pictures: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels."""
    return pictures.diff(dim=-1).abs().mean() + pictures.diff(dim=-2).abs().mean()


@torch.no_grad()
def hidden_textures(
    model: MaskedAutoencoder, visible: torch.Tensor, seen: Gradients, masks: Masks, mismatch: float
) -> torch.Tensor:
    """Hidden patches (B, W, P * P) in units of their own mean and deviation, from the last layer's gradient.

    With more hidden patches than the decoder is wide, they are told only in part, and the less, the greater the
    `mismatch` of gradients is. Patches that were not scored are what the model predicts.
    """
    inputs = []
    hook = model.to_pixels.register_forward_pre_hook(lambda _layer, given: inputs.append(given[0]))
    predicted = predict(model, visible, masks)
    hook.remove()
    scored = masks.scored
    slope = prediction_errors(inputs[0][scored], seen, mismatch)
    textures = predicted.clone()
    textures[scored] -= slope * scored.sum() * predicted.shape[-1] / 2
    return textures.clamp(-4, 4)
