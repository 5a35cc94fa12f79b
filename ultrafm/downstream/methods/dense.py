"""Segmentation with a decoder that sees several depths at once (DPT; Ranftl et al. 2021, arXiv 2103.13413).

The decoder is that of `segmentation_models_pytorch`, made small; the encoder inside it is ours, frozen or trained too.
"""

from __future__ import annotations

import numpy as np
import segmentation_models_pytorch as smp
import torch
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
from ultrafm.pretraining.weights import encoder_settings

LEVELS = 4  # depths that the decoder sees, fewer if the encoder has fewer blocks
CHANNELS, FUSED = (24, 32, 48, 64), 32
LEARNING_RATE = 2e-3
MORE_EPOCHS = 3  # the decoder starts at random, so it is given so many times the epochs of fine-tuning
BATCH = 64


class DenseNetwork(nn.Module):
    """An encoder with a DPT decoder: pictures (B, 1, S, S) -> logits (B, C, S, S)."""

    def __init__(self, network: smp.DPT) -> None:
        super().__init__()
        self.network = network

    @property
    def encoder(self) -> VisionTransformer:
        """The encoder inside."""
        return self.network.encoder.model

    def logits(self, pictures: torch.Tensor, precision: str) -> torch.Tensor:
        """See segmentation.Network."""
        with computing_in(precision):
            logits = self.network(as_input(self.encoder, pictures))
        return resized_to(logits.float(), pictures.shape[-1])

    @torch.inference_mode()
    def shares(self, images: np.ndarray) -> np.ndarray:
        """See segmentation.Network."""
        self.eval()
        pictures = as_pictures(images).split(BATCH)
        return torch.cat([self.logits(part, "fp32").sigmoid() for part in pictures]).numpy()


def with_decoder(encoder: VisionTransformer, structures: int) -> DenseNetwork:
    """A copy of the encoder, with a new decoder for so many structures drawn from torch's global generator.

    Raises UltraFMError for patches that the decoder cannot scale, which works by factors of two.
    """
    patch, levels = encoder.patch_embed.patch_size[0], min(LEVELS, len(encoder.blocks))
    grid = encoder.patch_embed.grid_size[0]
    if patch & (patch - 1) or patch < 4 or grid * patch % 2 ** (levels + 1):
        found = f"an encoder with {grid} x {grid} patches of {patch} pixels"
        expected = f"patches of 4, 8, 16 or 32 pixels, and pictures of a multiple of {2 ** (levels + 1)}"
        raise UltraFMError("DPT decoder", found, expected, "use the linear head with this encoder")
    settings = encoder_settings(encoder) | {"num_classes": 0}
    settings.pop("in_chans")  # smp gives it by itself
    network = smp.DPT(
        "tu-vit_tiny_patch16_224", encoder_depth=levels, encoder_weights=None, decoder_fusion_channels=FUSED,
        decoder_intermediate_channels=CHANNELS[:levels], classes=structures,
        in_channels=encoder.patch_embed.proj.weight.shape[1], **settings,
    )  # fmt: skip
    network.encoder.model = training.trainable_copy(encoder)
    return DenseNetwork(network)


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
        network = with_decoder(encoder, len(data.answers))
        new = nn.ModuleList([network.network.decoder, network.network.segmentation_head])
        if frozen:
            network.encoder.requires_grad_(False)
            optimizer = training.plain_optimizer(list(new.parameters()), LEARNING_RATE)
        else:
            optimizer = training.make_optimizer(network.encoder, new, LEARNING_RATE)
        train_network(network, optimizer, data, turn, MORE_EPOCHS * epochs, precision, generator)
    return draw(lambda rows: network.shares(data.images[rows]), data, turn)
