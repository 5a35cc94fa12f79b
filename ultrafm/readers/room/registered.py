"""A registered study as loaded: protocol, cases, the AI's scores, and the hash that stands with every reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text
from ultrafm.manifests.document import read_document
from ultrafm.manifests.problems import validate
from ultrafm.readers.claims import parse_claim
from ultrafm.readers.room.pictures import Case, Found, find_cases, read_numbers, truths
from ultrafm.readers.room.protocol import Protocol

Answers = dict[tuple[str, str], float]
TRUTH = "truth of cases"  # where its hash stands in what is registered


@dataclass(frozen=True)
class Study:
    """cases, training: by name, in the order of registration. scores: (case, disease) -> 0..1 of the AI.

    feedback: (training case, disease) -> truth. The truth of the cases is not kept here: see `study_truth`.
    registered: everything that counts, as canonical JSON; hash: SHA-256 of it.
    """

    path: Path
    protocol: Protocol
    cases: dict[str, Case]
    training: dict[str, Case]
    scores: Answers = field(repr=False)
    feedback: dict[tuple[str, str], int] = field(repr=False)
    registered: str = field(repr=False)
    hash: str

    @property
    def images(self) -> str:
        """ "real" only if every case is."""
        return "simulated" if any(case.simulated for case in self.cases.values()) else "real"


def read_protocol(path: Path) -> Protocol:
    """The protocol in STUDY.yaml. Raises UltraFMError, the first of its problems with its line."""
    protocol, problems = validate(read_document(path), Protocol)
    if protocol is None:
        raise problems[0]
    for text in protocol.analysis.claims:
        parse_claim(text)
    return protocol


def load_study(path: Path) -> Study:
    """STUDY.yaml and all that it names. Raises UltraFMError for anything that is missing or does not fit."""
    path = Path(path)
    protocol, base = read_protocol(path), path.parent
    found, training = _found(protocol, base)
    truth, feedback = truths(protocol, found, base), truths(protocol, training, base)
    scores = _scores(protocol, found, base)
    registered = _canonical(protocol, [*found, *training], truth | feedback, scores)
    return Study(
        path, protocol, _by_name(found), _by_name(training), scores, feedback, registered, hash_text(registered)
    )  # fmt: skip


def study_truth(study: Study) -> dict[tuple[str, str], int]:
    """(case, disease) -> 0 or 1. Read when the ratings are exported, so that no page can show it before.

    Raises UltraFMError when it is not what was registered.
    """
    base = study.path.parent
    found, training = _found(study.protocol, base)
    truth = truths(study.protocol, found, base)
    now = _hash_answers(truth | truths(study.protocol, training, base))
    if now != json.loads(study.registered)[TRUTH]:
        raise UltraFMError(str(study.path), "another truth than when it was loaded", "the truth that was registered")
    return truth


def _found(protocol: Protocol, base: Path) -> tuple[list[Found], list[Found]]:
    """Cases and training cases. Raises UltraFMError without a case, and for one that is both."""
    curated = base / protocol.curated
    found = find_cases(curated, protocol.cases, "cases", base)
    if not found:
        raise UltraFMError("STUDY.yaml, cases", "no case", "images, clips or a task that has some")
    training = find_cases(curated, protocol.training, "training", base)
    both = {one.case.patient for one in found} & {one.case.patient for one in training}
    if both:
        at_fault = next(one.case.name for one in training if one.case.patient in both)
        raise UltraFMError(
            "STUDY.yaml, training", f"{at_fault!r}, whose patient is a case of the study too", "other patients",
            "train on patients who are not in the study",
        )  # fmt: skip
    return found, training


def _by_name(found: list[Found]) -> dict[str, Case]:
    return {one.case.name: one.case for one in found}


def _scores(protocol: Protocol, found: list[Found], base: Path) -> Answers:
    """The AI's score of every case and disease that is asked; empty without an AI."""
    if protocol.ai is None:
        return {}
    path = base / protocol.ai.scores
    rows, kept = read_numbers(path, "score"), {}
    for one in found:
        for disease in protocol.diseases_of(one.case.organ):
            key = (one.case.name, disease.name)
            if key not in rows:
                raise UltraFMError(str(path), f"no score of case {key[0]!r} for {key[1]!r}", "one row")
            if not 0 <= rows[key] <= 1:
                raise UltraFMError(f"{path}, case {key[0]!r}", f"the score {rows[key]:g}", "a number from 0 to 1")
            kept[key] = rows[key]
    return kept


def _canonical(protocol: Protocol, found: list[Found], truth: dict[tuple[str, str], int], scores: Answers) -> str:
    """What is registered: all fields and what lies behind them (pictures, patients, truth, scores), not where."""
    fields: dict[str, Any] = plain_protocol(protocol)
    fields["pictures and patients"] = {one.case.name: one.case.content for one in found}
    fields[TRUTH], fields["scores of the AI"] = _hash_answers(truth), _hash_answers(scores)
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _hash_answers(answers: Mapping[tuple[str, str], float]) -> str:
    """SHA-256 over (case, disease) -> number, whatever their order."""
    return hash_text(json.dumps(sorted((*key, value) for key, value in answers.items())))


def plain_protocol(protocol: Protocol) -> dict[str, Any]:
    """The fields of a protocol without the places of files."""
    fields = protocol.model_dump(mode="json", exclude={"curated": True, "ai": {"scores"}, "truth": {"file"}})
    for part in ("cases", "training"):
        if fields[part]["task"]:
            fields[part]["task"].pop("manifests")
    return fields


def changed_fields(before: str, after: str) -> list[str]:
    """Names of the top-level fields in which two registered texts differ."""
    first, second = json.loads(before), json.loads(after)
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
