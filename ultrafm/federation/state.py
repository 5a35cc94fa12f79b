"""The coordinator's state after a round, so that a run that ends at any moment goes on with the same bits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord

from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.incidents import Incident
from ultrafm.federation.log import Row
from ultrafm.federation.strategy import FederatedRounds
from ultrafm.pretraining.checkpoint import load_checkpoint, part_of, save_checkpoint


def save_round(
    folder: Path, arrays: ArrayRecord, strategy: FederatedRounds, facts: dict[str, Any], ends_pass: bool
) -> None:
    """Write the global weights, what the strategy must remember, and `facts` with the log.

    It survives the end of the process after every round, and a power cut after the last round of a pass.
    """
    values = {f"model/{name}": value.copy() for name, value in from_record(arrays).items()}
    for kind, memory in strategy.state.items():
        values |= {f"server/{kind}/{name}": value for name, value in memory.items()}
    tensors = {name: torch.from_numpy(value) for name, value in values.items()}
    facts = facts | {"taken": strategy.taken, "incidents": [asdict(one) for one in strategy.incidents]}
    save_checkpoint(folder, facts["round"], tensors, facts, lasting=ends_pass)


def load_round(folder: Path, settings: str, strategy: FederatedRounds) -> tuple[ArrayRecord, int, list[Row]] | None:
    """Global weights, last finished round and log, with `strategy` as it was then; None without a state to continue.

    A state that was written under other settings, or over other images, is left alone and training begins anew.
    """
    if (found := load_checkpoint(folder, settings)) is None:
        return None
    tensors, facts = found
    for key, tensor in part_of(tensors, "server").items():
        kind, name = key.split("/", 1)
        strategy.state.setdefault(kind, {})[name] = tensor.numpy()
    strategy.taken = facts["taken"]
    strategy.incidents[:0] = [Incident(**one) for one in facts["incidents"]]
    model = {name: tensor.numpy() for name, tensor in part_of(tensors, "model").items()}
    return to_record(model), facts["round"], facts["history"]
