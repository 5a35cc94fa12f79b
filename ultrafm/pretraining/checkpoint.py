"""Checkpoints of training: whole or not there at all, checked when read, the last two kept.

A checkpoint is one safetensors file with all tensors, and the facts (round, step, log) as JSON in its head.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text
from ultrafm.pretraining.weights import load_facts, load_state, save_state

LASTING, PASSING = "checkpoint", "passing"
KEPT = 2

Tensors = dict[str, torch.Tensor]


def save_checkpoint(
    folder: Path, number: int, tensors: Mapping[str, torch.Tensor], facts: dict[str, Any], lasting: bool = True
) -> Path:
    """Write checkpoint `number`, which grows as training goes on, and forget all but the last two.

    `facts` holds the run's fingerprint as "settings"; checkpoints of other settings are forgotten too. One that is not
    `lasting` survives the end of the process, but not a power cut: it may be gone before it
    reaches the disk, and training many short rounds does not wait for that. It is forgotten when the next one is
    written.
    """
    run = hash_text(facts["settings"])[:12]
    path = folder / f"{LASTING if lasting else PASSING}_{run}_{number:09d}.safetensors"
    save_state(path, dict(tensors), facts | {"checksum": checksum(tensors)}, durable=lasting)
    kept = sorted(folder.glob(f"{LASTING}_{run}_*.safetensors"))[-KEPT:]
    for old in set(newest_first(folder)) - {path, *kept}:
        old.unlink()
    return path


def load_checkpoint(folder: Path, settings: str | None = None) -> tuple[Tensors, dict[str, Any]] | None:
    """Tensors and facts of the newest sound checkpoint; None when there is nothing to continue.

    With `settings`, only checkpoints with this fingerprint count. A damaged one is passed over with a warning, for the
    one before it.
    """
    for path in newest_first(folder):
        try:
            facts = load_facts(path)
            if settings is None or facts["settings"] == settings:
                tensors, _facts = load_state(path)
                if checksum(tensors) != facts.pop("checksum"):
                    raise UltraFMError(str(path), "contents that do not match their checksum", "a sound checkpoint")
                return tensors, facts
        except UltraFMError as damage:
            warnings.warn(f"{damage} Training goes on from the checkpoint before it.", stacklevel=2)
    return None


def newest_facts(folder: Path) -> dict[str, Any] | None:
    """What the newest readable checkpoint tells of itself, its tensors unread; None without any."""
    for path in newest_first(folder):
        try:
            return load_facts(path)
        except (UltraFMError, FileNotFoundError):  # it may be forgotten while we look
            continue
    return None


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a folder by falling number."""
    found = [path for kind in (LASTING, PASSING) for path in folder.glob(f"{kind}_*.safetensors")]
    return sorted(found, key=lambda path: path.stem.split("_")[2], reverse=True)


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """XXH3-128 over names, shapes and bytes: against damage, not against malice."""
    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def part_of(tensors: Mapping[str, torch.Tensor], room: str) -> Tensors:
    """The tensors of a checkpoint whose names begin with `room`/, without that beginning."""
    return {name.removeprefix(f"{room}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{room}/")}
