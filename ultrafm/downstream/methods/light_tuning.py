"""Light tuning: low-rank adapters beside the attention of a frozen encoder (LoRA; Hu et al. 2021, arXiv 2106.09685).

The adapters are peft's, on timm's `qkv` and `proj` layers. They are merged into the weights before anything is
predicted, so that what comes out is an ordinary encoder.
"""

from __future__ import annotations

import torch
from peft import LoraConfig, LoraModel
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.methods import training
from ultrafm.downstream.methods.finetune import Tuned, head_from, train_further
from ultrafm.downstream.methods.probe import Probe
from ultrafm.downstream.tasks import TaskData, Turn

RANK, SCALE = 4, 8
LEARNING_RATE = 3e-3  # few weights, the second factor of which starts at zero: ten times that of fine-tuning
TARGETS = r"blocks\.\d+\.attn\.(qkv|proj)"


def tune_lightly(
    encoder: VisionTransformer,
    start: Probe,
    data: TaskData,
    turn: Turn,
    epochs: int,
    precision: str,
    generator: torch.Generator,
) -> Tuned:
    """As `fine_tune`, but only adapters and head learn; the encoder that comes back has the adapters merged in."""
    adapted = with_adapters(encoder, generator)
    tuned = Tuned(adapted.model, head_from(start), start.exclusive, start.ordered)
    learning = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = training.plain_optimizer([*learning, *tuned.head.parameters()], LEARNING_RATE)
    train_further(tuned, optimizer, data, turn, epochs, precision, generator)
    return Tuned(adapted.merge_and_unload().eval(), tuned.head, tuned.exclusive, tuned.ordered)


def with_adapters(encoder: VisionTransformer, generator: torch.Generator) -> LoraModel:
    """A copy of the encoder, frozen, with adapters that learn; at first it computes what the encoder does."""
    config = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=TARGETS)
    with training.seeded(generator):
        return LoraModel(training.trainable_copy(encoder), config, "default")
