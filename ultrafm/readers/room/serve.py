"""Starting the room: which study, which file, which address; links for those who have none yet."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.readers.room.access import make_links, reader_name
from ultrafm.readers.room.place import Place, check_place, is_loopback, listening
from ultrafm.readers.room.protocol import OFFICE
from ultrafm.readers.room.registered import Study, load_study
from ultrafm.readers.room.registration import SHORT, Watch, register
from ultrafm.readers.room.roster import Tell, link_lines
from ultrafm.readers.room.store import Store, store_of


def serve_room(
    path: Path, store: Path | None, place: Place, tell: Tell, deviation: str | None = None, anew: bool = False
) -> None:
    """Serve a study until interrupted. anew: give everyone a new link.

    Raises UltraFMError, also for a port in use and for a file that another room serves; neither changes a link.
    """
    check_place(place)
    study, kept = load_study(path), Store(store_of(path, store))
    try:
        with only_room(kept.path), listening(place) as open_port:
            reason = register(kept, study, deviation)
            for line in opening_lines(study, kept, place, reason):
                tell(line)
            everyone = [OFFICE, *(reader_name(one.code) for one in study.protocol.readers)]
            for line in link_lines(make_links(kept, everyone, everyone if anew else ()), place):
                tell(line)
            _run(study, kept, place, reason, open_port)
    finally:
        kept.close()


def _run(study: Study, store: Store, place: Place, reason: str | None, open_port: socket.socket) -> None:
    """The web server, until it is interrupted."""
    import uvicorn

    from ultrafm.readers.room.app import Room, create_app

    room = Room(study, store, Watch(study), reason, place.secure)
    config = uvicorn.Config(
        create_app(room, place.hosts), log_level="error", access_log=False, lifespan="off", server_header=False,
        proxy_headers=place.secure, forwarded_allow_ips="127.0.0.1", timeout_graceful_shutdown=5,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[open_port])


@contextmanager
def only_room(store: Path) -> Iterator[None]:
    """Hold a room's file: two rooms on it could serve different protocols. Freed even by kill -9."""
    with store.with_name(f".{store.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            mend = "stop that one; readers, export and links need no second one"
            raise UltraFMError(f"--store {store}", "a file that another room serves", "one room", mend) from error
        yield


def opening_lines(study: Study, store: Store, place: Place, reason: str | None) -> list[str]:
    """What is told at the start."""
    counts = f"{len(study.cases)} cases ({study.images} pictures), {len(study.training)} training cases"
    lines = [
        f"Reading room  {study.protocol.title}",
        f"Study         {counts}, {len(study.protocol.readers)} readers; protocol {study.hash[:SHORT]}",
        f"Readings      {store.path}",
        f"Open at       {place.link} (stop with Ctrl-C; the same command goes on)",
    ]
    if reason is not None:
        lines.append(f"DEVIATION     readings are marked: {reason}")
    return lines + [f"WARNING       {text}" for text in _warnings(study, store, place)]


def _warnings(study: Study, store: Store, place: Place) -> list[str]:
    """What should not be so."""
    found = []
    if not is_loopback(place.host):
        found.append("other machines reach this port, and what travels is not encrypted")
    last = store.row("SELECT max(at) AS at FROM (SELECT at FROM protocols UNION ALL SELECT at FROM readings)")
    if last is not None and (last["at"] or 0) > store.now():
        found.append("this computer's clock is behind the last entry: times and the washout will be wrong")
    small = min(min(case.width, case.height) for case in study.cases.values())
    if small < 256:
        found.append(f"pictures of {small} pixels are small to read; curate with --image-size 512")
    return found
