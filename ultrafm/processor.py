"""What this machine's processor can do."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def processor_has_bf16() -> bool:
    """Does this processor multiply matrices in bf16?"""
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text() if facts.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def describe_device() -> str:
    """What models are trained on: "cpu", or the name of the graphics card that torch sees."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def describe_precision(wanted: str) -> str:
    """A precision as a run's facts tell it: 'auto' with what it comes to on this processor."""
    if wanted != "auto":
        return wanted
    return "auto: bf16 where a step gains by it, else fp32" if processor_has_bf16() else "auto: fp32 (no bf16 here)"
