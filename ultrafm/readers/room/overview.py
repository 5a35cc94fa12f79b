"""How a study stands, for the office: who read how much, and what was refused. No truth and no rating."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from ultrafm.readers.room.access import reader_name
from ultrafm.readers.room.readings import has_consented, unaided_end, withdrawn
from ultrafm.readers.room.registered import Study
from ultrafm.readers.room.schedule import parts_of, washout_ends
from ultrafm.readers.room.store import Store

SHOWN_INCIDENTS = 200
WORDS = {
    "older": "answer from an older tab refused",
    "changed": "changed answer to a submitted case refused",
    "strange": "answer with a token that is not the reader's refused",
    "protocol": "answer refused: STUDY.yaml was changed",
    "link": "unknown link",
    "code": "wrong identity code",
}


@dataclass(frozen=True)
class Standing:
    """How far one reader is. parts: part -> (read, of). consent: yes, not yet or withdrawn.

    seconds: median per case of the study, None before one.
    """

    code: str
    level: str
    consent: str
    parts: dict[str, tuple[int, int]]
    seconds: float | None
    last: str
    aided_from: str


@dataclass(frozen=True)
class Incident:
    """Something that was refused, or a deviation."""

    when: str
    who: str
    what: str


def standings(store: Store, study: Study) -> list[Standing]:
    """Every reader of the protocol, in its order."""
    return [_standing(store, study, reader.code, reader.level) for reader in study.protocol.readers]


def _standing(store: Store, study: Study, code: str, level: str) -> Standing:
    sizes = {part: len(study.training if part == "training" else study.cases) for part in parts_of(study)}
    rows = store.rows("SELECT part, seconds, at FROM readings WHERE reader = ?", code)
    read = {part: sum(row["part"] == part for row in rows) for part in sizes}
    times = [row["seconds"] for row in rows if row["part"] != "training"]
    finished = read.get("unaided") == len(study.cases)
    aided_from = washout_ends(study, unaided_end(store, code)) if finished else None
    return Standing(
        code, level, _consent(store, code), {part: (read[part], sizes[part]) for part in sizes},
        statistics.median(times) if times else None, local_time(max((row["at"] for row in rows), default=None)),
        local_time(aided_from),
    )  # fmt: skip


def _consent(store: Store, code: str) -> str:
    if code in withdrawn(store):
        return "withdrawn"
    return "yes" if has_consented(store, code) else "not yet"


def incidents(store: Store) -> list[Incident]:
    """The newest refusals and deviations, newest first."""
    query = "SELECT at, who, kind, detail FROM events WHERE kind IN ('refused', 'deviation') ORDER BY id DESC LIMIT ?"
    prefix = reader_name("")
    return [
        Incident(local_time(row["at"]), row["who"].removeprefix(prefix), _words(row["kind"], row["detail"]))
        for row in store.rows(query, SHOWN_INCIDENTS)
    ]


def _words(kind: str, detail: str) -> str:
    return f"deviation from the protocol accepted: {detail}" if kind == "deviation" else WORDS.get(detail, detail)


def local_time(at: float | None) -> str:
    """Day and time where the server stands; empty for None."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
