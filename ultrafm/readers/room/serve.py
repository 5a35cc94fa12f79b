"""Starting the room: which study, which file, which address; links for those who have none yet."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.room.access import OFFICE, make_links, reader_name
from ultrafm.readers.room.protocol import Protocol
from ultrafm.readers.room.registered import Study, load_study, read_protocol
from ultrafm.readers.room.registration import SHORT, Watch, register
from ultrafm.readers.room.store import Store

PORT = 8350
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where the room listens. address: how readers reach it, where that is another one, as behind a TLS proxy.

    exposed: did the user say that others than this machine may reach the port itself?
    """

    host: str = "127.0.0.1"
    port: int = PORT
    address: str | None = None
    exposed: bool = False

    @property
    def link(self) -> str:
        """How links begin."""
        return (self.address or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def secure(self) -> bool:
        """Do readers come over https?"""
        return self.link.startswith("https://")

    @property
    def hosts(self) -> list[str]:
        """Names under which browsers may ask."""
        return sorted({"127.0.0.1", "localhost", self.host, urlsplit(self.link).hostname or self.host})


def store_of(study: Path, store: Path | None) -> Path:
    """The room's file: the one named, else beside STUDY.yaml with the ending .sqlite."""
    return Path(store) if store else Path(study).with_suffix(".sqlite")


def check_place(place: Place) -> None:
    """UltraFMError for an address that others can reach, unless the user said so."""
    if not 0 < place.port < 65_536:
        raise UltraFMError("--port", str(place.port), "a number from 1 to 65535")
    if ":" in place.host:
        raise UltraFMError(f"--host {place.host}", "an IPv6 address", "an IPv4 address or a name, such as 127.0.0.1")
    if place.address is not None and not _is_origin(place.address):
        expected = "an address without a path, such as https://reading.hospital.example"
        raise UltraFMError("--address", repr(place.address), expected)
    if not is_loopback(place.host) and not place.exposed:
        expected = "an address of this machine alone, such as 127.0.0.1"
        mend = (
            "put the room behind a TLS proxy (docs/reading_room.md), or add --expose if pictures may travel unencrypted"
        )
        raise UltraFMError(f"--host {place.host}", "an address that other machines reach", expected, mend)
    if place.host == "0.0.0.0" and place.address is None:
        raise UltraFMError("--host 0.0.0.0", "no --address", "how readers reach the room, such as http://10.0.0.7:8350")


def _is_origin(address: str) -> bool:
    """Is it http or https, a name, perhaps a port, and nothing more? The room's own addresses begin at the root."""
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts[2:] in (("", "", ""), ("/", "", ""))


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """The port, opened before anything is told or changed."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((place.host, place.port))
        except OSError as error:
            found, mend = f"a port that cannot be opened ({error})", "stop what uses it, or choose another with --port"
            raise UltraFMError(f"--port {place.port}", found, "a free port", mend) from error
        yield opened


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
    if not is_loopback(place.host):
        lines.append("WARNING       other machines reach this port, and what travels is not encrypted")
    small = min(min(case.width, case.height) for case in study.cases.values())
    if small < 256:
        lines.append(f"WARNING       pictures of {small} pixels are small to read; curate with --image-size 512")
    return lines


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
    whom = [_known(protocol, code) for code in codes]
    where = store_of(path, store)
    if not where.is_file():
        raise UltraFMError(str(where), "no such file", "the file of a room that was started", "start the room first")
    kept = Store(where)
    try:
        for line in link_lines(make_links(kept, whom, whom), place):
            tell(line)
    finally:
        kept.close()


def _known(protocol: Protocol, code: str) -> str:
    """How a reader or the office stands in the store. UltraFMError for a code that the study does not have."""
    if code == OFFICE:
        return OFFICE
    codes = [one.code for one in protocol.readers]
    if code not in codes:
        raise UltraFMError("--anew", repr(code) + nearest(code, codes), f"one of {', '.join(codes)}, or {OFFICE}")
    return reader_name(code)
