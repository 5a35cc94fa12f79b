"""A fitted head as two files, head.json (facts) and head.safetensors (numbers), which fit one encoder and no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import expit, softmax

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_file, hash_text, read_json, replacing, write_bytes, write_json

FACTS, NUMBERS = "head.json", "head.safetensors"
SCHEMA_VERSION = 1
RESEARCH = "Research use only: this is no medical device, and nobody has tested it for patients."
SIMULATED = "Its head was trained on simulated images: what it says of real ones means nothing."


@dataclass(frozen=True)
class Facts:
    """What head.json says of a head.

    kind: "diagnosis" (a score for each of `answers`) or "segmentation" (an outline of each). exclusive: exactly one
    answer is right, so scores are a softmax over answers and add up to 1. thresholds: answer -> score (share, for an
    outline) from which it is called, chosen on validation images and never on those of a test. temperatures: answer ->
    what its logit is divided by for `calibrated`; 1 where none was fitted. chosen_on: what both were chosen on.
    encoder: `encoder_hash`. images: "real" or "simulated". patients, pictures: how many the head was fitted on.
    licences: an entry for each site, as `curation.sheets.licences` tells.
    """

    task: str
    kind: str
    method: str
    organ: str
    answers: tuple[str, ...]
    exclusive: bool
    thresholds: dict[str, float]
    temperatures: dict[str, float]
    chosen_on: str
    encoder: str
    image_size: int
    images: str
    pictures: int
    patients: int
    sites: tuple[str, ...]
    licences: tuple[dict[str, Any], ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Head:
    """Facts and numbers. numbers: for diagnosis mean and deviation (F,), weights (A, F) and intercept (A,); for
    segmentation what `PatchHead.state_dict` holds."""

    facts: Facts
    numbers: dict[str, np.ndarray]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) logits of the answers."""
        scaled = (features - self.numbers["mean"]) / self.numbers["deviation"]
        return scaled @ self.numbers["weights"].T + self.numbers["intercept"]

    def scores(self, features: np.ndarray, calibrated: bool = False) -> np.ndarray:
        """(N, F) features -> (N, A) scores 0 to 1: each answer by itself or, where they exclude each other, together.

        The same as in a table of predictions. calibrated: after division by the temperatures.
        """
        logits = self.logits(features)
        if calibrated:
            logits = logits / np.array([self.facts.temperatures[name] for name in self.facts.answers])
        return softmax(logits, axis=1) if self.facts.exclusive else expit(logits)

    def raw_weights(self, answer: int) -> tuple[np.ndarray, float]:
        """(F,) weights of the raw features and the bias of one answer's logit; standardisation is folded in."""
        weights = self.numbers["weights"][answer] / self.numbers["deviation"]
        return weights, float(self.numbers["intercept"][answer] - self.numbers["mean"] @ weights)

    @property
    def warnings(self) -> list[str]:
        """What must be said wherever an answer of this head is shown."""
        return [RESEARCH] + [SIMULATED] * (self.facts.images == "simulated")


def encoder_hash(folder: Path) -> str:
    """SHA-256 over an encoder's weights, sizes and grey normalisation; what else is told of it does not count.

    Raises UltraFMError when the folder holds no encoder.
    """
    folder = Path(folder)
    try:
        config = read_json(folder / "config.json")
        scale = config["pretrained_cfg"]
        network = [config["architecture"], config["model_args"], scale["mean"], scale["std"]]
        return hash_text(json.dumps(network, sort_keys=True) + hash_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = "name an encoder of a study, or what `ultrafm weights import` wrote"
        found = f"no encoder ({type(error).__name__})"
        raise UltraFMError(str(folder), found, "config.json with model.safetensors", mend) from error


def head_folder(encoder: Path, task: str) -> Path:
    """Where the head of a task lies beside its encoder."""
    return Path(encoder) / "heads" / task


def save_head(folder: Path, head: Head) -> None:
    """Write a head, whole or not at all."""
    numbers = {name: np.ascontiguousarray(values) for name, values in head.numbers.items()}
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / FACTS, asdict(head.facts))
        write_bytes(temporary / NUMBERS, save(numbers))


def load_head(folder: Path, encoder: str) -> Head:
    """The head in a folder, which must belong to the encoder with this hash.

    Raises UltraFMError when there is none, it is damaged, or it was fitted on another encoder.
    """
    folder = Path(folder)
    mend = "fit it again with `ultrafm evaluate WEIGHTS --task TASK`"
    if not (folder / FACTS).is_file() or not (folder / NUMBERS).is_file():
        raise UltraFMError(str(folder), f"no {FACTS} with {NUMBERS}", "a fitted head", mend)
    try:
        facts = read_facts(read_json(folder / FACTS))
        head = Head(facts, load((folder / NUMBERS).read_bytes()))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UltraFMError(str(folder), f"a head that cannot be read ({error})", "a fitted head", mend) from error
    if facts.encoder != encoder:
        found = f"a head of the encoder {facts.encoder[:12]}…"
        raise UltraFMError(str(folder), found, f"one that was fitted on this encoder, {encoder[:12]}…", mend)
    return head


def read_facts(told: Mapping[str, Any]) -> Facts:
    """The facts of head.json. Raises ValueError for a field that is missing or unknown."""
    names = {field.name for field in fields(Facts)}
    if set(told) != names:
        raise ValueError(f"missing or unknown fields {', '.join(sorted(set(told) ^ names))}")
    if told["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema version {told['schema_version']!r}, expected {SCHEMA_VERSION}")
    lists = {name: tuple(told[name]) for name in ("answers", "sites", "licences")}
    if set(told["thresholds"]) != set(lists["answers"]) or set(told["temperatures"]) != set(lists["answers"]):
        raise ValueError("thresholds or temperatures of other answers")
    return Facts(**{**told, **lists})
