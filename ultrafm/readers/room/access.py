"""Who may come in: one link with a secret per reader, sessions, and a limit on guessing.

A secret has 256 random bits, so SHA-256 without salt or stretching keeps it: there is nothing to guess from. A link
opens a page that asks for the identity code; only then the browser gets a cookie (HttpOnly, SameSite=Strict), so that
a link alone, as in a preview of a mail or in a history, shows no case, and no later address holds a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ultrafm.readers.room.store import Store

SESSION_HOURS = 12
WRONG_ANSWERS = 20
WINDOW = 600.0  # seconds


@dataclass(frozen=True)
class Session:
    """A browser that was let in. number: id of the row in the store."""

    number: int
    who: str


def hash_secret(secret: str) -> str:
    """SHA-256 of a secret, as hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def cookie_name(office: bool, secure: bool) -> str:
    """Of the office or of a reader: one browser may have both. Over https, no sibling site can plant it (__Host-)."""
    return ("__Host-" if secure else "") + ("office" if office else "reader")


def reader_name(code: str) -> str:
    """How a reader stands in the store; never the same as the office, whatever the code."""
    return f"reader:{code}"


def make_links(store: Store, wanted: Iterable[str], anew: Iterable[str] = ()) -> dict[str, str]:
    """Secrets for those who have no link yet, and for those in `anew`, whose earlier link and sessions end.

    Returns who -> secret, the only time that the secret is seen; the store holds its hash.
    """
    made = {}
    with store.transaction():
        have = {row["who"] for row in store.rows("SELECT DISTINCT who FROM links")}
        for who in wanted:
            if who not in have or who in anew:
                made[who] = secrets.token_urlsafe(32)
                store.add("links", who=who, hash=hash_secret(made[who]))
    return made


def _current_links(store: Store) -> list[Mapping[str, object]]:
    """The newest link of everyone."""
    return [dict(row) for row in store.rows("SELECT max(id) AS id, who, hash FROM links GROUP BY who")]


def who_holds(store: Store, secret: str) -> tuple[str, int] | None:
    """Whose link the secret is, and its number; None for no valid one. All hashes are compared, in constant time."""
    given, found = hash_secret(secret), None
    for link in _current_links(store):
        if hmac.compare_digest(given, str(link["hash"])):
            found = (str(link["who"]), int(str(link["id"])))
    return found


def open_session(store: Store, who: str, link: int) -> str:
    """Let a browser in; the token for its cookie. The store holds its hash."""
    token = secrets.token_urlsafe(32)
    store.add("sessions", who=who, hash=hash_secret(token), link=link)
    return token


def find_session(store: Store, token: str | None) -> Session | None:
    """The session of a cookie; None when there is none, it is old, or its link was replaced."""
    if not token:
        return None
    row = store.row(
        "SELECT id, at, who, link FROM sessions WHERE hash = ? "
        "AND link = (SELECT max(id) FROM links WHERE links.who = sessions.who)",
        hash_secret(token),
    )
    if row is None or store.now() - row["at"] > SESSION_HOURS * 3600:
        return None
    return Session(row["id"], row["who"])


class Knocks:
    """Wrong secrets and codes by address; after WRONG_ANSWERS in WINDOW seconds an address is not answered."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._turn = now, threading.Lock()
        self._times: dict[str, list[float]] = defaultdict(list)

    def wrong(self, address: str) -> None:
        """Remember a wrong answer."""
        with self._turn:
            self._times[address] = [*self._recent(address), self._now()]

    def locked(self, address: str) -> bool:
        """Has this address given too many wrong answers of late?"""
        with self._turn:
            return len(self._recent(address)) >= WRONG_ANSWERS

    def _recent(self, address: str) -> list[float]:
        return [at for at in self._times.get(address, ()) if self._now() - at < WINDOW]
