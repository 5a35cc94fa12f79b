"""Where the room listens, and how readers reach it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ultrafm.errors import UltraFMError

PORT = 8350


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
