"""The coordinator's state after a round, so that a run that ends at any moment goes on with the same bits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord

from ultrafm.errors import UltraFMError
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.incidents import Incident
from ultrafm.federation.log import Row
from ultrafm.federation.strategy import FederatedRounds
from ultrafm.pretraining.checkpoint import load_checkpoint, newest_facts, part_of, save_checkpoint


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


def load_round(
    folder: Path, settings: str, strategy: FederatedRounds, begin_anew: bool = True
) -> tuple[ArrayRecord, int, list[Row]] | None:
    """Global weights, last finished round and log, with `strategy` as it was then; None without a state to continue.

    A state that was written under other settings, or over other images, is not continued: training begins anew, and
    the first round that it finishes replaces that state; or, without `begin_anew`, UltraFMError is raised.
    """
    if (found := load_checkpoint(folder, settings)) is None:
        if not begin_anew and (other := newest_facts(folder)) is not None:
            told = f"the state of a run over other settings or other images, at round {other['round']}"
            mend = "undo the change of the plan or of a site's images, or move the folder away to begin anew"
            raise UltraFMError(str(folder), told, "the state of this run", mend)
        return None
    tensors, facts = found
    for key, tensor in part_of(tensors, "server").items():
        kind, name = key.split("/", 1)
        strategy.state.setdefault(kind, {})[name] = tensor.numpy()
    strategy.taken = facts["taken"]
    strategy.incidents[:0] = [Incident(**one) for one in facts["incidents"]]
    model = {name: tensor.numpy() for name, tensor in part_of(tensors, "model").items()}
    return to_record(model), facts["round"], facts["history"]
