"""Pages and readings in the store: showing a case, taking its answer exactly once, what a reader has done."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from ultrafm.files import hash_text
from ultrafm.readers.room.access import Session, reader_name
from ultrafm.readers.room.protocol import UNAIDED
from ultrafm.readers.room.store import Store
from ultrafm.readers.room.timing import ALIVE, ASLEEP, PAUSED, RESUMED, SHOWN, SUBMITTED, Moment, seconds_read

SIGNS = (PAUSED, RESUMED, ALIVE, ASLEEP)


class Outcome(StrEnum):
    """What became of a submission. KEPT and AGAIN (the very same, sent twice) are well; the others change nothing."""

    KEPT = "kept"
    AGAIN = "again"
    CHANGED = "changed"  # sent before with another answer
    OLDER = "older"  # the case was opened again since, in another tab or window, or shown under another protocol
    STRANGE = "strange"  # no page of this reader


@dataclass(frozen=True)
class Region:
    """A box on a picture, in its pixels: 0 <= left < right <= width, 0 <= top < bottom <= height; frame from 0."""

    left: int
    top: int
    right: int
    bottom: int
    frame: int


@dataclass(frozen=True)
class Answer:
    """What a reader says of a case. ratings: disease -> 0..100. diagnosis: a disease or "healthy"."""

    ratings: Mapping[str, int]
    diagnosis: str
    region: Region | None

    @property
    def content(self) -> str:
        """SHA-256 of the answer, to tell a submission that is repeated from one that is changed."""
        return hash_text(json.dumps(asdict(self), sort_keys=True, default=dict))


@dataclass(frozen=True)
class Page:
    """A case as shown once to a reader."""

    number: int
    token: str
    code: str
    part: str
    item: str


def show(store: Store, session: Session, code: str, part: str, item: str, protocol: str) -> Page:
    """Open a case for a reader under a protocol (its hash).

    From now on only this page's answer is taken, and only its pictures are served.
    """
    token = secrets.token_urlsafe(24)
    row = {"reader": code, "part": part, "item": item, "session": session.number, "protocol": protocol}
    number = store.add("pages", token=token, **row)
    return Page(number, token, code, part, item)


def find_page(store: Store, code: str, token: str) -> Page | None:
    """A reader's own page; None for a token that is nobody's or another reader's."""
    row = store.row("SELECT id, part, item FROM pages WHERE token = ? AND reader = ?", token, code)
    return None if row is None else Page(row["id"], token, code, row["part"], row["item"])


def is_newest(store: Store, page: Page) -> bool:
    """Is this the page that the reader opened last?"""
    row = store.row("SELECT max(id) AS id FROM pages WHERE reader = ?", page.code)
    return row is not None and row["id"] == page.number


def is_answered(store: Store, page: Page) -> bool:
    """Was this very page's answer kept?"""
    return store.row("SELECT 1 FROM readings WHERE page = ?", page.number) is not None


def note(store: Store, who: str, kind: str, page: Page | None = None, detail: str = "") -> None:
    """Add an event: a sign of a page, an incident, consent."""
    store.add("events", who=who, kind=kind, page=None if page is None else page.number, detail=detail[:500])


def submit(
    store: Store, session: Session, code: str, token: str, answer: Answer, protocol: str, deviation: str | None
) -> Outcome:
    """Take an answer: one transaction, once for each reader, part and case. Nothing is ever overwritten."""
    with store.transaction():
        page = find_page(store, code, token)
        outcome = _outcome(store, page, answer, protocol)
        if page is None or outcome is not Outcome.KEPT:
            if outcome is not Outcome.AGAIN:
                note(store, reader_name(code), "refused", page, outcome)
            return outcome
        seconds = seconds_read(_views(store, page))
        region = None if answer.region is None else json.dumps(asdict(answer.region))
        reading = store.add(
            "readings", page=page.number, reader=code, part=page.part, item=page.item, diagnosis=answer.diagnosis,
            region=region, seconds=seconds, session=session.number, protocol=protocol, deviation=deviation,
            content=answer.content,
        )  # fmt: skip
        for disease, rating in answer.ratings.items():
            store.add("ratings", reading=reading, disease=disease, rating=rating)
    return Outcome.KEPT


def _outcome(store: Store, page: Page | None, answer: Answer, protocol: str) -> Outcome:
    """What is to become of a submission."""
    if page is None:
        return Outcome.STRANGE
    before = store.row("SELECT content FROM readings WHERE page = ?", page.number)
    if before is not None:
        return Outcome.AGAIN if before["content"] == answer.content else Outcome.CHANGED
    shown = store.row("SELECT protocol FROM pages WHERE id = ?", page.number)
    same = shown is not None and shown["protocol"] == protocol  # she answers what was shown, such as the AI's score
    return Outcome.KEPT if same and is_newest(store, page) else Outcome.OLDER


def _views(store: Store, page: Page) -> list[list[Moment]]:
    """All pages on which this reader saw this case, the last one submitted now."""
    views = []
    query = "SELECT id, at FROM pages WHERE reader = ? AND part = ? AND item = ? ORDER BY id"
    for row in store.rows(query, page.code, page.part, page.item):
        signs = store.rows("SELECT kind, at FROM events WHERE page = ? ORDER BY id", row["id"])
        view = [(SHOWN, row["at"]), *((sign["kind"], sign["at"]) for sign in signs if sign["kind"] in SIGNS)]
        views.append(view if row["id"] != page.number else [*view, (SUBMITTED, store.now())])
    return views


def done_by(store: Store, code: str) -> set[tuple[str, str]]:
    """(part, case) that a reader has answered."""
    return {(row["part"], row["item"]) for row in store.rows("SELECT part, item FROM readings WHERE reader = ?", code)}


def unaided_end(store: Store, code: str) -> float | None:
    """When the reader's last unaided reading was kept."""
    query = "SELECT max(at) AS at FROM readings WHERE reader = ? AND part = ?"
    row = store.row(query, code, UNAIDED)
    return None if row is None else row["at"]


def has_consented(store: Store, code: str) -> bool:
    """Did the reader consent?"""
    return store.row("SELECT 1 FROM events WHERE who = ? AND kind = 'consent'", reader_name(code)) is not None


def withdrawn(store: Store) -> set[str]:
    """Codes of the readers who took their consent back. That is final; their readings stay in the file alone."""
    rows = store.rows("SELECT DISTINCT who FROM events WHERE kind = 'withdrawn'")
    return {row["who"].removeprefix(reader_name("")) for row in rows}


def last_training(store: Store, code: str) -> tuple[Page, dict[str, int]] | None:
    """The page and ratings of the training case that the reader answered last, while no other case was opened."""
    row = store.row(
        "SELECT readings.id, pages.id AS page, pages.token, pages.item FROM readings JOIN pages ON pages.id = page "
        "WHERE readings.reader = ? AND readings.part = 'training' ORDER BY readings.id DESC LIMIT 1",
        code,
    )
    if row is None:
        return None
    page = Page(row["page"], row["token"], code, "training", row["item"])
    ratings = store.rows("SELECT disease, rating FROM ratings WHERE reading = ?", row["id"])
    return (page, {one["disease"]: one["rating"] for one in ratings}) if is_newest(store, page) else None
