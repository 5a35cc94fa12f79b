"""Look before believing: what the model was shown, and what it made of it, in grey values again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.masking import choose_wanted, policy_named
from ultrafm.pretraining.model import ABSENT, MaskedAutoencoder, patch_statistics, patchify, take, unpatchify
from ultrafm.pretraining.scans import Scans, as_batch
from ultrafm.pretraining.views import patches_of


@dataclass(frozen=True)
class Reconstruction:
    """Pictures (N, S, S), grey values 0 to 1: the original, what was visible, and visible plus predicted patches."""

    original: np.ndarray
    visible: np.ndarray
    completed: np.ndarray


@torch.inference_mode()
def reconstruct(
    model: MaskedAutoencoder,
    scans: Scans,
    grey_scale: GreyScale,
    mask_ratio: float,
    generator: torch.Generator,
    masking: str = "uniform",
) -> Reconstruction:
    """Hide patches of pictures by a masking policy and let the model predict them.

    The model predicts a patch's texture in units of the patch's own mean and deviation, so these two numbers of every
    hidden patch are taken from the original; the figure's caption has to say so. Patches outside the scan sector stay
    as they are.
    """
    model.eval()
    batch, patch = as_batch(scans, np.arange(len(scans))), model.patch_size
    pictures, normalised = batch.pictures, grey_scale.apply(batch.pictures)
    patches = patches_of(pictures, batch.inside, batch.frames, patch)
    keep, mask = policy_named(masking)(patches, mask_ratio, generator)
    wanted, scored = choose_wanted(mask, patches.content, 1.0, generator)
    target = patchify(normalised, patch)
    mean, deviation = patch_statistics(take(target, wanted))
    predicted = model(normalised, keep, wanted, batch.acquisition).float() * deviation + mean
    filled = torch.where(scored[:, :, None], predicted, take(target, wanted))
    places = torch.where(wanted == ABSENT, target.shape[1], wanted)  # what is absent goes into a row that is cut off
    completed = functional.pad(target, (0, 0, 0, 1))
    completed = completed.scatter(1, places[:, :, None].expand(-1, -1, target.shape[-1]), filled)[:, :-1]
    back = unpatchify(completed, patch) * grey_scale.deviation + grey_scale.mean
    visible = unpatchify(patchify(pictures, patch).masked_fill((mask & patches.content)[:, :, None], 0.5), patch)
    return Reconstruction(pictures[:, 0].numpy(), visible[:, 0].numpy(), back[:, 0].clamp(0, 1).numpy())
