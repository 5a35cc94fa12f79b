"""Segmentation with a decoder that sees several depths at once (DPT; Ranftl et al. 2021, arXiv 2103.13413).

The decoder is that of `segmentation_models_pytorch`, made small; the encoder inside it is ours, frozen or trained too.
"""

from __future__ import annotations

import numpy as np
import torch
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead
from segmentation_models_pytorch.encoders.timm_vit import sample_block_indices_uniformly
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.drawing import Drawn, draw
from ultrafm.downstream.methods.features import as_input, as_pictures
from ultrafm.downstream.methods.patch_head import resized_to
from ultrafm.downstream.methods.segmentation import train_network
from ultrafm.downstream.tasks import TaskData, Turn
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.precision import computing_in

LEVELS = 4  # depths that the decoder sees, fewer if the encoder has fewer blocks
CHANNELS, FUSED = (24, 32, 48, 64), 32
LEARNING_RATE = 2e-3
MORE_EPOCHS = 3  # the decoder starts at random, so it is given so many times the epochs of fine-tuning
BATCH = 64


class DenseNetwork(nn.Module):
    """An encoder with a DPT decoder for so many `structures`: pictures (B, 1, S, S) -> logits (B, C, S, S).

    Put together here, because `smp.DPT` builds its own encoder and cannot be told how many blocks it has. New weights
    are drawn from torch's global generator. Raises UltraFMError for patches that the decoder, which works by factors of
    two, cannot scale.
    """

    def __init__(self, encoder: VisionTransformer, structures: int) -> None:
        super().__init__()
        levels = min(LEVELS, len(encoder.blocks))
        _check_scales(encoder, levels)
        self.encoder = training.trainable_copy(encoder)
        self.blocks = sample_block_indices_uniformly(levels, len(encoder.blocks))
        self.decoder = DPTDecoder(
            encoder_out_channels=[encoder.embed_dim] * levels,
            encoder_output_strides=[encoder.patch_embed.patch_size[0]] * levels,
            intermediate_channels=CHANNELS[:levels],
            fusion_channels=FUSED,
        )
        self.head = DPTSegmentationHead(FUSED, structures)
        initialize_decoder(self.decoder)
        initialize_head(self.head)

    def levels(self, pictures: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Of each depth the patch tokens (B, D, T, T) and those before them (B, prefix, D)."""
        found = self.encoder.forward_intermediates(
            as_input(self.encoder, pictures), indices=self.blocks, return_prefix_tokens=True, intermediates_only=True
        )
        return [patches for patches, _ in found], [prefix for _, prefix in found]

    def logits(self, pictures: torch.Tensor, precision: str) -> torch.Tensor:
        """See segmentation.Network."""
        with computing_in(precision):
            logits = self.head(self.decoder(*self.levels(pictures)))
        return resized_to(logits.float(), pictures.shape[-1])

    @torch.inference_mode()
    def shares(self, images: np.ndarray) -> np.ndarray:
        """See segmentation.Network."""
        self.eval()
        parts = as_pictures(images).split(BATCH)
        return torch.cat([self.logits(part, "fp32").sigmoid() for part in parts]).numpy()


def _check_scales(encoder: VisionTransformer, levels: int) -> None:
    patch, grid = encoder.patch_embed.patch_size[0], encoder.patch_embed.grid_size[0]
    coarsest = 2 ** (levels + 1)
    if patch & (patch - 1) or patch < 4 or grid * patch % coarsest:
        found = f"an encoder with {grid} x {grid} patches of {patch} pixels"
        expected = f"patches of 4, 8, 16, ... pixels, and pictures of a multiple of {coarsest} pixels"
        raise UltraFMError("DPT decoder", found, expected, "use the linear head with this encoder")


def draw_densely(
    encoder: VisionTransformer,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
    frozen: bool,
) -> Drawn:
    """Outlines of the images of `turn.predict` by a DPT decoder, with the encoder `frozen` or trained along.

    The decoder is given MORE_EPOCHS times the `epochs`; epoch and thresholds are chosen as in `train_network`.
    """
    with training.seeded(generator):  # smp's first weights and its dropout
        network = DenseNetwork(encoder, len(data.answers))
        new = nn.ModuleList([network.decoder, network.head])
        if frozen:
            network.encoder.requires_grad_(False)
            optimizer = training.plain_optimizer(list(new.parameters()), LEARNING_RATE)
        else:
            optimizer = training.make_optimizer(network.encoder, new, LEARNING_RATE)
        train_network(network, optimizer, data, turn, MORE_EPOCHS * epochs, precision, generator)
    return draw(lambda rows: network.shares(data.images[rows]), data, turn)
