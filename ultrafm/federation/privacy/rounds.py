"""A round at a site within its budget: refused before training, paid for before it leaves, and paid for once.

The finished answer is kept on the site's disk, then the ledger is written, then the answer is sent. Asked the same
again (after a crash, or when a message was lost) the site sends the kept answer, which costs nothing: it is the same
noise. If it was killed before the answer was kept, nothing has left, and it trains anew with other noise. A question
that differs, or whose answer is no longer kept, is a new round and is paid for.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.accounting import least_units
from ultrafm.federation.privacy.ledger import (
    Budget,
    Entry,
    charge,
    ledger_path,
    read_ledger,
    require_affordable,
    site_budget,
)
from ultrafm.federation.privacy.protection import UNITS, Protection
from ultrafm.pretraining.checkpoint import checksum
from ultrafm.pretraining.weights import load_state, save_state

ANSWER = "answer.safetensors"
Arrays = dict[str, np.ndarray]


def question_of(plan: str, weights: np.ndarray) -> str:
    """What a site is asked in a round: a fingerprint of the plan, noise included, and of the weights sent to it."""
    return hashlib.sha256(f"{plan} ".encode() + np.ascontiguousarray(weights).data).hexdigest()[:32]


def budgets_of(curated: str, site: str, protection: Protection, run: str) -> list[Budget]:
    """The budgets that a round must keep: the plan's, over its own run, and the site's, over all runs."""
    plan = [Budget(protection.epsilon, protection.delta, "the plan", run)] if protection.epsilon else []
    own = site_budget(curated, site)
    return plan + ([own] if own else [])


def answer_within_budget(
    curated: str,
    site: str,
    folder: Path,
    protection: Protection,
    asked: Entry,
    patients: int,
    train: Callable[[], Arrays],
) -> Arrays:
    """What `train` gives, or what it gave for the same question; in the ledger when this returns.

    `asked.answer` is the question; with secure noise every answer gets a name of its own. Raises UltraFMError before
    training when the round would exceed a budget, or `delta` is too large for so many patients.
    """
    budgets = budgets_of(curated, site, protection, asked.run)
    for delta in (protection.delta, *(one.delta for one in budgets)):
        least_units(patients, delta, f"site {site}, privacy, delta", UNITS["patients"])
    if not asked.steps:  # the site sits this round out
        return train()
    path = ledger_path(curated, site)
    if (kept := kept_answer(folder, asked.answer)) is not None:
        name, arrays = kept
        entry = replace(asked, answer=name)
    else:
        entry = replace(asked, answer=asked.answer + (f" {uuid.uuid4().hex}" if asked.secure else ""))
        require_affordable(site, read_ledger(path), entry, budgets)
        arrays = train()
        keep_answer(folder, asked.answer, entry.answer, arrays)
    charge(path, site, entry, budgets)
    return arrays


def keep_answer(folder: Path, question: str, name: str, arrays: Arrays) -> None:
    """Keep what is about to be sent, in place of what was sent before."""
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}
    save_state(folder / ANSWER, tensors, {"question": question, "name": name, "checksum": checksum(tensors)})


def kept_answer(folder: Path, question: str) -> tuple[str, Arrays] | None:
    """Name and arrays of the kept answer to this question; None when there is none, or it is damaged."""
    try:
        tensors, facts = load_state(folder / ANSWER)
    except (FileNotFoundError, UltraFMError):
        return None
    if facts["question"] != question or facts["checksum"] != checksum(tensors):
        return None
    return facts["name"], {name: one.numpy() for name, one in tensors.items()}
