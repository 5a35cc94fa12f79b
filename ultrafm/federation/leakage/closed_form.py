"""What linear layers' gradients tell without any search.

The gradient of a linear layer's weight is the sum over its inputs x of g x^T, that of its bias the sum of g. From it
follow: the input itself when there is one (Phong et al. 2018, IEEE TIFS 13:1333); all visible patches of one picture
when positions are learned, since a position's gradient is its token's g (Lu et al. 2022, APRIL, arXiv 2112.14087);
and always the space that the inputs span (Petrov et al. 2024, DAGER, arXiv 2405.15586), which is less than all pixels
as long as fewer patches are visible than a patch has pixels.
"""

from __future__ import annotations

import torch

from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.updates import Gradients
from ultrafm.pretraining.model import MaskedAutoencoder

KERNEL, KERNEL_BIAS = "encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"
POSITIONS, PIXELS = "encoder.pos_embed", "to_pixels.weight"


def average_patch(gradients: Gradients) -> torch.Tensor:
    """The (P * P,) visible patch, in normalised grey values, if there was one; of several, a weighted mean.

    Each row of the weight's gradient over the bias's is such a mean; they are joined by least squares.
    """
    weight, bias = gradients[KERNEL].flatten(1).double(), gradients[KERNEL_BIAS].double()
    return (bias @ weight / bias.square().sum().clamp(min=1e-300)).float()


def patch_span(gradients: Gradients, patches: int) -> torch.Tensor:
    """An orthonormal basis, (R, P * P), of what `patches` visible patches span; R is at most `patches` or P * P."""
    weight = gradients[KERNEL].flatten(1).double()
    rows = torch.linalg.svd(weight, full_matrices=False).Vh
    return rows[:patches].float()


def patches_from_positions(model: MaskedAutoencoder, gradients: Gradients) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (K,) and normalised pixels (K, P * P) of all visible patches of one picture, without its masks.

    With several pictures the patches at a place are mixed. Raises UltraFMError where positions are fixed: then no
    token's gradient is told, and this attack has nothing to work with.
    """
    if POSITIONS not in gradients:
        raise UltraFMError("patches from positions", "fixed positions", "a model with positions 'learned'")
    tokens = gradients[POSITIONS][0, model.encoder.num_prefix_tokens :].double()  # (T, D): gradient of each token
    sizes = tokens.norm(dim=1)
    places = (sizes > 1e-6 * sizes.max()).nonzero()[:, 0]
    weight = gradients[KERNEL].flatten(1).double()  # (D, P * P) = tokens^T patches
    return places, (torch.linalg.pinv(tokens[places].T, rtol=1e-10) @ weight).float()


def prediction_errors(hidden: torch.Tensor, gradients: Gradients, mismatch: float = 0.0) -> torch.Tensor:
    """The gradient of the loss at each prediction, (W, P * P), given the (W, N) inputs of the last layer.

    Exact while no more patches are predicted than the decoder is wide; else the smallest that fits. Directions whose
    share is below `mismatch` are left out: there, what was seen is no longer told from error.
    """
    weight = gradients[PIXELS].double()  # (P * P, N) = errors^T hidden
    return (torch.linalg.pinv(hidden.double().T, rtol=max(mismatch, 1e-7)) @ weight.T).float()
