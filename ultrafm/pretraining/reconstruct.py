"""Look before believing: what the model was shown, and what it made of it, in grey values again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ultrafm.pretraining import masking
from ultrafm.pretraining.loop import GreyScale, as_batch, with_content
from ultrafm.pretraining.model import MaskedAutoencoder, patch_statistics, patchify, unpatchify


@dataclass(frozen=True)
class Reconstruction:
    """Pictures (N, S, S), grey values 0 to 1: the original, what was visible, and visible plus predicted patches."""

    original: np.ndarray
    visible: np.ndarray
    completed: np.ndarray


@torch.inference_mode()
def reconstruct(
    model: MaskedAutoencoder,
    images: np.ndarray,
    sectors: np.ndarray,
    grey_scale: GreyScale,
    mask_ratio: float,
    generator: torch.Generator,
) -> Reconstruction:
    """Hide patches of (N, S, S) uint8 images and let the model predict them.

    The model predicts a patch's texture in units of the patch's own mean and deviation, so these two numbers of every
    hidden patch are taken from the original; the figure's caption has to say so. Patches outside the scan sector stay
    as they are.
    """
    model.eval()
    pictures, inside = as_batch(images, sectors, np.arange(len(images)))
    normalised = grey_scale.apply(pictures)
    content = with_content(inside, model.patch_size)
    keep, hidden = masking.uniform(len(images), content.shape[1], mask_ratio, generator)
    target = patchify(normalised, model.patch_size)
    mean, deviation = patch_statistics(target)
    predicted = model(normalised, keep).float() * deviation + mean
    unseen = (hidden & content)[:, :, None]
    completed = unpatchify(torch.where(unseen, predicted, target), model.patch_size)
    visible = unpatchify(patchify(pictures, model.patch_size).masked_fill(unseen, 0.5), model.patch_size)
    back = completed * grey_scale.deviation + grey_scale.mean
    return Reconstruction(pictures[:, 0].numpy(), visible[:, 0].numpy(), back[:, 0].clamp(0, 1).numpy())
