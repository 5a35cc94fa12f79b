"""One gradient for each patient, and their clipped sum: what noise is added to.

A patient's loss is the mean of the losses of the patient's images in the step, and an image's loss the mean over its
scored patches. So whoever has many images moves the model no farther than whoever has one. Gradients are computed in
fp32, many patients at once (vmap over grad; Rochette et al. 2019, arXiv 1912.06015, is the idea).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from ultrafm.federation.privacy.views import PatientView
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import Acquisition, MaskedAutoencoder, mean_where, reconstruction_errors

Gradients = dict[str, torch.Tensor]
ROUNDING = 1e-4  # a clipped gradient is this share shorter than the clip, more than sums in float32 of a few round


class PatientLoss(nn.Module):
    """The loss of one patient's images. It calls the model past what compiles it."""

    def __init__(self, model: MaskedAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, view: Mapping[str, torch.Tensor], absent: bool) -> torch.Tensor:
        """Tensors of (images, ...); `absent`: do `keep` or `wanted` name places that are none?"""
        made = Acquisition(view["scan_mode"], view["pixel_mm"])
        predicted = self.model.forward(view["shown"], view["keep"], view["wanted"], made, absent)
        errors = reconstruction_errors(predicted, view["clean"], view["wanted"], self.model.patch_size)
        losses, counted = mean_where(errors, view["scored"], dim=(1,)), view["counted"]
        return (losses * counted).sum() / counted.sum().clamp(min=1)


def patient_gradients(model: MaskedAutoencoder, view: PatientView, grey: GreyScale) -> Gradients:
    """The gradient of every patient's loss by each weight that is trained: name -> (patients, ...), fp32.

    Attention is left unfused: vmap has no rule for fused attention and would go patient by patient.
    """
    for block in (*model.encoder.blocks, *model.decoder):
        block.attn.fused_attn = False
    loss = PatientLoss(model)
    weights = {name: one.detach() for name, one in loss.named_parameters() if one.requires_grad}
    fixed = {name: one.detach() for name, one in loss.named_parameters() if not one.requires_grad}

    def of_patient(trained: Gradients, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(loss, {**trained, **fixed}, (tensors, view.absent))

    tensors = view.tensors | {name: grey.apply(view.tensors[name]) for name in ("shown", "clean")}
    found = vmap(grad(of_patient), in_dims=(None, 0))(weights, tensors)
    return {name.removeprefix("model."): one for name, one in found.items()}


def gradient_lengths(gradients: Gradients) -> torch.Tensor:
    """(patients,) Euclidean length of each patient's gradient over all weights."""
    lengths = [torch.linalg.vector_norm(one.flatten(1), dim=1).double() for one in gradients.values()]
    return torch.linalg.vector_norm(torch.stack(lengths), dim=0)


def clipped_sum(gradients: Gradients, clip: float) -> Gradients:
    """The sum of the patients' gradients, each shortened to at most `clip`; name -> weight's shape, float64.

    A gradient of length zero stays zero. One that is not finite counts as zero: saying so would tell of the patient.
    """
    lengths = gradient_lengths(gradients)
    sound = torch.isfinite(lengths)
    factors = (clip * (1 - ROUNDING) / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp(max=1)[sound]
    if not sound.all():
        gradients = {name: one[sound] for name, one in gradients.items()}
    return {name: torch.tensordot(factors.to(one.dtype), one, dims=1).double() for name, one in gradients.items()}
