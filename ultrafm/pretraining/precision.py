"""Where and how exactly a model computes: the device, its precision, and what pays on it. Nothing here is hidden."""

from __future__ import annotations

import contextlib
import shutil
import warnings

import torch

from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.processor import processor_has_bf16

LEAST_BF16 = 1 << 16  # numbers in all patches of a step; below, on a processor, casting costs what bf16 saves
LEAST_COMPILED = 1 << 20


def pick_device() -> torch.device:
    """The graphics card when torch sees one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(wanted: str, device: torch.device | None = None, numbers: int = LEAST_BF16) -> str:
    """'fp32' or 'bf16'; 'auto' is bf16 where the device computes in it and a step gains by it.

    `numbers`: patches of a step times the encoder's width.
    """
    if wanted not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision {wanted!r}: expected 'auto', 'fp32' or 'bf16'")
    if wanted != "auto":
        return wanted
    if device is not None and device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if processor_has_bf16() and numbers >= LEAST_BF16 else "fp32"


def computing_in(precision: str, device: torch.device | None = None) -> contextlib.AbstractContextManager:
    """The context in which forward passes run in this precision; losses and weights stay in fp32."""
    kind = device.type if device is not None else "cpu"
    return torch.autocast(kind, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def choose_attention(model: MaskedAutoencoder, precision: str, device: torch.device) -> None:
    """Let the blocks use fused attention where it is faster.

    On a processor in bf16 it is not: its backward pass takes three times as long as plain matrix products.
    """
    fused = not (device.type == "cpu" and precision == "bf16")
    for block in (*model.encoder.blocks, *model.decoder):
        block.attn.fused_attn = fused


def can_compile(device: torch.device) -> bool:
    """Is there what torch.compile needs: a C++ compiler for a processor, a C compiler and Triton for a card?"""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return has_triton() and any(shutil.which(name) for name in ("gcc", "clang", "cc"))
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def compile_model(
    model: MaskedAutoencoder, wanted: str, device: torch.device, numbers: int, equal_numbers: bool
) -> bool:
    """Compile the model in place, once, where it pays; says whether it is compiled.

    'auto' compiles on a graphics card, and on a processor from `numbers` (patches of a step times width) on at which a
    step takes about a second: compiling takes a minute and saves a tenth. Policies that keep unequal numbers of patches
    are not compiled. Where there is no compiler, a warning says so; where compiling fails, torch says so and goes on.
    """
    if wanted == "off" or (wanted == "auto" and device.type != "cuda" and numbers < LEAST_COMPILED):
        return False
    if not equal_numbers or not can_compile(device):
        why = "pictures keep unequal numbers of patches" if not equal_numbers else f"no compiler for {device.type}"
        if wanted == "on" or equal_numbers:
            warnings.warn(f"not compiled: {why}; training goes on uncompiled", stacklevel=2)
        return False
    if model._compiled_call_impl is None:
        torch._dynamo.config.suppress_errors = True  # a compiler that is there but fails must not end training
        model.compile(dynamic=False)
    return True
