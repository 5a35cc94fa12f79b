"""Readers come and go by command: links for them, and leaving the study."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.room.access import make_links, reader_name
from ultrafm.readers.room.place import Place
from ultrafm.readers.room.protocol import OFFICE, TRAINING, Protocol
from ultrafm.readers.room.readings import note, withdrawn
from ultrafm.readers.room.registered import read_protocol
from ultrafm.readers.room.store import Store, store_of

Tell = Callable[[str], None]


def link_lines(secrets: dict[str, str], place: Place) -> list[str]:
    """New links, one a line, and that they are told only once."""
    if not secrets:
        return ["Links         as given before; `ultrafm readers links` makes new ones"]
    lines = [f"{who.removeprefix(reader_name('')):<13} {place.link}/enter/{secret}" for who, secret in secrets.items()]
    return [
        "Links, shown only now (the file keeps no secret). Give each reader her own, and nobody the office's:",
        *lines,
    ]


def renew_links(path: Path, store: Path | None, place: Place, codes: Iterable[str], tell: Tell) -> None:
    """New links for these readers ("office" for the administrator); the earlier ones end. The room may be running."""
    protocol = read_protocol(path)
    whom = [_known(protocol, code, "--anew") for code in codes]
    kept = _started(path, store)
    try:
        for line in link_lines(make_links(kept, whom, whom), place):
            tell(line)
    finally:
        kept.close()


def withdraw(path: Path, store: Path | None, code: str) -> int:
    """A reader takes her consent back: her link ends, her readings are exported no more. How many those are.

    That is final. The room may be running. Raises UltraFMError for a code that the study does not have.
    """
    who = _known(read_protocol(path), code, "--reader")
    if who == OFFICE:
        raise UltraFMError("--reader", repr(code), "a reader")
    kept = _started(path, store)
    try:
        if code not in withdrawn(kept):
            note(kept, who, "withdrawn")
        return int(kept.rows("SELECT count(*) FROM readings WHERE reader = ? AND part != ?", code, TRAINING)[0][0])
    finally:
        kept.close()


def _started(path: Path, store: Path | None) -> Store:
    """The file of a room that was started before. Raises UltraFMError."""
    where = store_of(path, store)
    if not where.is_file():
        raise UltraFMError(str(where), "no such file", "the file of a room that was started", "start the room first")
    return Store(where)


def _known(protocol: Protocol, code: str, option: str) -> str:
    """How a reader or the office stands in the store. UltraFMError for a code that the study does not have."""
    if code == OFFICE:
        return OFFICE
    codes = [one.code for one in protocol.readers]
    if code not in codes:
        raise UltraFMError(option, repr(code) + nearest(code, codes), f"one of {', '.join(codes)}, or {OFFICE}")
    return reader_name(code)
