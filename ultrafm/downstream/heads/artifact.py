"""A fitted head as two files, head.json (facts) and head.safetensors (numbers), which fit one encoder and no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ultrafm.curation.sheets.licences import strictest
from ultrafm.downstream.methods.probe import Probe
from ultrafm.downstream.metrics.calibration import Recalibration
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_bytes, write_json

FACTS, NUMBERS = "head.json", "head.safetensors"
SCHEMA_VERSION = 1
CLASS_NUMBERS = ("mean", "deviation", "weights", "intercepts")
OUTLINE_NUMBERS = ("mean", "deviation", "filter", "linear.weight", "linear.bias")
RESEARCH = "Research use only: this is no medical device, and nobody has tested it for patients."
SIMULATED = "Its head was trained on simulated images: what it says of real ones means nothing."


@dataclass(frozen=True)
class Facts:
    """What head.json says of a head.

    kind: "segmentation" (an outline of each of `answers`) or a kind of classes (a score for each). exclusive: exactly
    one answer is right: scores add up to 1, the largest is called, and there are no thresholds. ordered: grades.
    thresholds: answer -> score (share, for an outline) from which it is called. recalibration: answer -> temperature
    and intercept of `metrics.fit_recalibration`, which turn a score into a probability at the prevalence of the images
    they were fitted on. Both come from `chosen_on`, never from images of a test.
    encoder: `methods.encoders.encoder_hash`. images: "real" or "simulated". pictures, patients: how many the head was
    fitted on. licences: an entry for each site, as `curation.sheets.licences` tells.
    """

    task: str
    kind: str
    method: str
    organs: tuple[str, ...]
    answers: tuple[str, ...]
    exclusive: bool
    ordered: bool
    thresholds: dict[str, float]
    recalibration: dict[str, tuple[float, float]]
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
    """Facts and numbers. numbers: for classes mean and deviation (F,), weights (A, F) and intercepts (A,), as those of
    `methods.probe.Probe`; for segmentation what `PatchHead.state_dict` holds."""

    facts: Facts
    numbers: dict[str, np.ndarray]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all facts and all numbers: another one for a head that was fitted anew and came out otherwise."""
        found = hashlib.sha256(json.dumps(asdict(self.facts), sort_keys=True).encode())
        found.update(self.stored_numbers)
        return found.hexdigest()

    @property
    def stored_numbers(self) -> bytes:
        """The numbers as head.safetensors holds them."""
        return save({name: np.ascontiguousarray(values) for name, values in self.numbers.items()})

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, A) scores 0 to 1, the same as in a table of predictions."""
        return self.probe.score(features)

    @property
    def probe(self) -> Probe:
        """The linear probe that it is."""
        facts = self.facts
        return Probe(**self.numbers, penalty=float("nan"), exclusive=facts.exclusive, ordered=facts.ordered)

    def calls(self, scores: np.ndarray) -> np.ndarray:
        """(N, A) scores -> (N, A) 0 or 1: what is called. Grades never skip one; of classes the most probable."""
        if self.facts.exclusive:
            return (np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]).astype(int)
        called = scores >= np.array([self.facts.thresholds[name] for name in self.facts.answers])
        return (np.minimum.accumulate(called, axis=1) if self.facts.ordered else called).astype(int)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(N, A) scores -> (N, A) probabilities, recalibrated answer by answer."""
        pairs = [self.facts.recalibration[name] for name in self.facts.answers]
        columns = [Recalibration(*pair, False)(scores[:, number]) for number, pair in enumerate(pairs)]
        return np.stack(columns, axis=1)

    def raw_weights(self, answer: int) -> tuple[np.ndarray, float]:
        """(F,) weights of the raw features and the bias of one answer's logit; standardisation is folded in."""
        weights = self.numbers["weights"][answer] / self.numbers["deviation"]
        return weights, float(self.numbers["intercepts"][answer] - self.numbers["mean"] @ weights)

    @property
    def warnings(self) -> list[str]:
        """What must be said wherever an answer of this head is shown."""
        organs = ", ".join(self.facts.organs)
        asked = f"It knows only images of: {organs}; any other image gets an answer too, and a wrong one."
        conditions = [one for entry in self.facts.licences for one in entry.get("conditions", [])]
        licence = f"Licences of the images it was fitted on: {strictest(conditions)['sentence']}"
        return [RESEARCH, asked, licence] + [SIMULATED] * (self.facts.images == "simulated")


def head_folder(encoder: Path, task: str) -> Path:
    """Where the head of a task lies beside its encoder."""
    return Path(encoder) / "heads" / task


def save_head(folder: Path, head: Head) -> None:
    """Write a head, whole or not at all."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / FACTS, asdict(head.facts))
        write_bytes(temporary / NUMBERS, head.stored_numbers)


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
        check_numbers_of(head)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UltraFMError(str(folder), f"a head that cannot be read ({error})", "a fitted head", mend) from error
    if facts.encoder != encoder:
        found = f"a head of the encoder {facts.encoder[:12]}…"
        raise UltraFMError(str(folder), found, f"one that was fitted on this encoder, {encoder[:12]}…", mend)
    return head


def check_numbers_of(head: Head) -> None:
    """Raises ValueError when the numbers are not those of a head with these facts, such as those of another task."""
    names = OUTLINE_NUMBERS if head.facts.kind == "segmentation" else CLASS_NUMBERS
    if set(head.numbers) != set(names):
        raise ValueError(f"numbers {', '.join(sorted(head.numbers))}, expected {', '.join(names)}")
    rows = len(head.numbers[names[-1]])
    if rows % len(head.facts.answers) or (names is CLASS_NUMBERS and rows != len(head.facts.answers)):
        raise ValueError(f"numbers of {rows} answers, expected {len(head.facts.answers)}")


def read_facts(told: Mapping[str, Any]) -> Facts:
    """The facts of head.json. Raises ValueError for a field that is missing or unknown."""
    names = {field.name for field in fields(Facts)}
    if set(told) != names:
        raise ValueError(f"missing or unknown fields {', '.join(sorted(set(told) ^ names))}")
    if told["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema version {told['schema_version']!r}, expected {SCHEMA_VERSION}")
    lists = {name: tuple(told[name]) for name in ("organs", "answers", "sites", "licences")}
    answers = set(lists["answers"])
    if set(told["thresholds"]) != (set() if told["exclusive"] else answers):
        raise ValueError("thresholds of other answers")
    if set(told["recalibration"]) != (set() if told["kind"] == "segmentation" else answers):
        raise ValueError("a recalibration of other answers")
    pairs = {name: tuple(pair) for name, pair in told["recalibration"].items()}
    return Facts(**{**told, **lists, "recalibration": pairs})
