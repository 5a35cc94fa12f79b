"""Look before believing: which pixels a policy hides, and what an encoder's patch tokens tell apart.

Letters: N pictures, S side in pixels, P patch side in pixels, G = S / P patches in a row, T = G * G patches.
"""

from __future__ import annotations

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional

from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.masking import policy_named
from ultrafm.pretraining.model import unpatchify
from ultrafm.pretraining.scans import Scans, as_batch
from ultrafm.pretraining.views import patches_of, with_content

ENDS = (0.02, 0.98)  # shares of the patches below which a colour is 0 and above which it is 1
FLAT = 1e-6  # a component smaller than this share of the tokens' norm is rounding


def hidden_by(scans: Scans, policy_name: str, ratio: float, patch: int, generator: torch.Generator) -> np.ndarray:
    """Which pixels a masking policy hides: (N, S, S) bool.

    `policy_name` as in `masking.POLICIES`; `ratio` is the share of the patches to hide, above 0 and below 1; `patch`
    is P. The policy "sector" takes no part of what is outside the scan: False here, and not shown to the encoder.
    """
    batch = as_batch(scans, np.arange(len(scans)))
    patches = patches_of(batch.pictures, batch.inside, batch.frames, patch)
    _keep, mask = policy_named(policy_name)(patches, ratio, generator)
    return unpatchify(mask[:, :, None].expand(-1, -1, patch * patch), patch)[:, 0].numpy()


@torch.inference_mode()
def patch_colours(encoder: VisionTransformer, scans: Scans, grey_scale: GreyScale) -> np.ndarray:
    """Patches that mean the same to the encoder in the same colour: (N, G, G, 3) float32, 0 to 1.

    The first three principal components of all pictures' patch tokens, after the last block and its norm, as red, green
    and blue (as Oquab et al. 2024, DINOv2, figure 1, show them). Only patches of which half lies in the scan sector
    count; others are black. Colours of two encoders are not to be compared, since each has components of its own.
    """
    batch, patch = as_batch(scans, np.arange(len(scans))), encoder.patch_embed.patch_size[0]
    content = with_content(batch.inside, patch)
    tokens = encoder.eval().forward_features(grey_scale.apply(batch.pictures))[:, encoder.num_prefix_tokens :]
    colours = torch.zeros(*content.shape, 3)
    if content.any():
        colours[content] = spread_evenly(principal_components(tokens[content].double(), 3)).float()
    return colours.unflatten(1, encoder.patch_embed.grid_size).numpy()


def principal_components(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """The first principal components of M tokens: (M, D) -> (M, count), zeros for those that are not there.

    A component points where its largest loading is positive, so that the same tokens give the same signs.
    """
    centred = tokens - tokens.mean(dim=0)
    _left, sizes, loadings = torch.linalg.svd(centred, full_matrices=False)
    loadings = loadings[:count][sizes[:count] > FLAT * tokens.norm()]
    largest = loadings.gather(1, loadings.abs().argmax(dim=1, keepdim=True))
    found = centred @ (loadings * largest.sign()).T
    return functional.pad(found, (0, count - found.shape[1]))


def spread_evenly(values: torch.Tensor) -> torch.Tensor:
    """Columns of (M, C) with their 2nd and 98th percentile at 0 and 1, cut off beyond; 0.5 where all is alike."""
    low, high = values.quantile(torch.tensor(ENDS, dtype=values.dtype), dim=0)
    return torch.where(high > low, (values - low) / (high - low), 0.5).clamp(0, 1)


@torch.inference_mode()
def class_attention(encoder: VisionTransformer, scans: Scans, grey_scale: GreyScale) -> np.ndarray:
    """How much the class token attends to each patch in the last block: (N, G, G) float32, above 0 to 1.

    The mean over heads, divided by that of the picture's most attended patch: 1 everywhere is attending to nothing in
    particular. Patches outside the scan sector are not left out: an encoder may well look at them, and that is to be
    seen. Downstream, features are read from this token or from the patches.
    """
    pictures = grey_scale.apply(as_batch(scans, np.arange(len(scans))).pictures)
    attended = attention_weights(encoder, pictures).mean(dim=1)[:, encoder.num_prefix_tokens :]
    return (attended / attended.amax(dim=1, keepdim=True)).unflatten(1, encoder.patch_embed.grid_size).numpy()


@torch.inference_mode()
def attention_weights(encoder: VisionTransformer, pictures: torch.Tensor) -> torch.Tensor:
    """Attention of the class token in the last block to all tokens: (N, heads, prefix + T), each sum 1.

    `pictures` (N, 1, S, S) are normalised. timm keeps no attention where it is computed by a fused kernel, so queries
    and keys are computed once more from what goes into the block's attention (Vaswani et al. 2017, section 3.2).
    """
    attention, entered = encoder.eval().blocks[-1].attn, []
    hook = attention.register_forward_pre_hook(lambda _module, arguments: entered.append(arguments[0]))
    try:
        encoder.forward_features(pictures)
    finally:
        hook.remove()
    tokens = attention.qkv(entered[0]).unflatten(2, (3, attention.num_heads, -1))
    queries, keys, _values = tokens.permute(2, 0, 3, 1, 4)
    scores = attention.q_norm(queries[:, :, :1]) @ attention.k_norm(keys).transpose(-2, -1) * attention.scale
    return scores.softmax(dim=-1)[:, :, 0]
