"""The protocol's hash over the life of a study: registered before the first reading, kept, or deviated from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.readers.room.protocol import TRAINING
from ultrafm.readers.room.registered import Study, changed_fields, plain_protocol, read_protocol
from ultrafm.readers.room.store import Store

SHORT = 12  # letters of a hash that people compare


@dataclass(frozen=True)
class Deviation:
    """A protocol that was accepted in place of the registered one, and why; at: seconds since 1970."""

    at: float
    hash: str
    reason: str


def register(store: Store, study: Study, reason: str | None = None) -> str | None:
    """Register the study, or find it registered; the reason of the deviation when it deviates, else None.

    Before the first reading a changed protocol takes the place of the earlier one. After it, UltraFMError unless a
    `reason` is given or was given for the same protocol.
    """
    with store.transaction():
        first = registered(store)
        if first is not None and first[0] == study.hash:
            return None
        if first is None or not has_readings(store):
            store.add("protocols", hash=study.hash, text=study.registered, reason=None)
            return None
        accepted = next((one.reason for one in deviations(store) if one.hash == study.hash), None)
        if accepted is None and not (reason or "").strip():
            raise _changed(study, first)
        if accepted is None:
            store.add("protocols", hash=study.hash, text=study.registered, reason=str(reason).strip())
            store.add("events", who="office", kind="deviation", detail=str(reason).strip()[:500])
        return accepted or str(reason).strip()


def _changed(study: Study, first: tuple[str, str]) -> UltraFMError:
    fields = ", ".join(changed_fields(first[1], study.registered))
    found = f"another protocol ({study.hash[:SHORT]}) than the registered one ({first[0][:SHORT]}); changed: {fields}"
    mend = "put back what was registered, or start with --accept-deviation REASON, which marks all later readings"
    return UltraFMError(str(study.path), found, "the protocol under which the first reading was made", mend)


def registered(store: Store) -> tuple[str, str] | None:
    """Hash and text of the registered protocol: the last one before any deviation."""
    row = store.row("SELECT hash, text FROM protocols WHERE reason IS NULL ORDER BY id DESC LIMIT 1")
    return None if row is None else (row["hash"], row["text"])


def deviations(store: Store) -> list[Deviation]:
    """All that was accepted since, in order."""
    rows = store.rows("SELECT at, hash, reason FROM protocols WHERE reason IS NOT NULL ORDER BY id")
    return [Deviation(row["at"], row["hash"], row["reason"]) for row in rows]


def require_known(store: Store, study: Study) -> None:
    """UltraFMError unless the study is the registered one or a deviation that was accepted."""
    first = registered(store)
    if first is not None and study.hash not in (first[0], *(one.hash for one in deviations(store))):
        raise _changed(study, first)


def has_readings(store: Store) -> bool:
    """Was any case of the study read? Training does not count."""
    return store.row("SELECT 1 FROM readings WHERE part != ? LIMIT 1", TRAINING) is not None


class Watch:
    """Does STUDY.yaml still say what the running room was started with? It is read again only when it was touched."""

    def __init__(self, study: Study) -> None:
        self._path, self._wanted = study.path, plain_protocol(study.protocol)
        self._seen, self._same = _touched(study.path), True

    def unchanged(self) -> bool:
        """False from the moment that the file says something else, is gone or cannot be read, until it is put back."""
        touched = _touched(self._path)
        if touched != self._seen:
            self._seen, self._same = touched, self._reads_the_same()
        return self._same

    def _reads_the_same(self) -> bool:
        try:
            return plain_protocol(read_protocol(self._path)) == self._wanted
        except UltraFMError:
            return False


def _touched(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
