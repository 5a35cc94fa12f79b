"""What a site remembers from round to round, in its own folder: moments, weights of its own, what rounding lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.checkpoint import Tensors, checksum
from ultrafm.pretraining.weights import load_state, save_state

MEND = "delete the step's folder to begin again, or choose adaptive 'reset' without local weights and compression"


def memory_path(folder: Path, run: str, number: int) -> Path:
    """Where a site keeps what it remembers after round `number` of a run."""
    return folder / f"memory_{run}_{number:06d}.safetensors"


def remember(folder: Path, run: str, number: int, tensors: Tensors, kept_rounds: Sequence[int]) -> None:
    """Write what the site remembers after round `number`, then forget all but it and `kept_rounds` of this run.

    From those a repeated round would start. What an interrupted write left behind is removed too.
    """
    save_state(memory_path(folder, run, number), tensors, {"round": number, "checksum": checksum(tensors)})
    kept = {memory_path(folder, run, one) for one in (*kept_rounds, number)}
    for path in {*folder.glob("memory_*.safetensors"), *folder.glob(".memory_*.tmp")} - kept:
        path.unlink()


def recall(folder: Path, run: str, number: int, site: str) -> dict[str, torch.Tensor]:
    """What the site remembers after round `number` of a run. Raises UltraFMError when it is lost or damaged."""
    path = memory_path(folder, run, number)
    if not path.exists():
        raise UltraFMError(f"site {site}, {path.name}", "no such file", f"the site's state after round {number}", MEND)
    tensors, facts = load_state(path)
    if facts.get("checksum") != checksum(tensors):
        raise UltraFMError(
            f"site {site}, {path.name}", "contents that do not match their checksum", "a sound file", MEND
        )
    return tensors
