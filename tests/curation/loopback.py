"""A server on the loopback that plays a publisher's: it counts requests, breaks off, moves and changes files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Loopback:
    """files: path -> content. breaks: path -> how many bytes are sent before the connection breaks, once each.

    moved: path -> where a redirect leads. types: path -> Content-Type. asked: (method, path, Range) of every request.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, list[int]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    resumes: bool = True
    tags: bool = True
    asked: list[tuple[str, str, str]] = field(default_factory=list)


def handler(state: Loopback) -> type[BaseHTTPRequestHandler]:
    """A request handler that serves `state`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.asked.append((self.command, self.path, self.headers.get("Range", "")))
            if path in state.moved:
                self.send_response(302)
                self.send_header("Location", state.moved[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif state.status.get(path, 200) != 200 or path not in state.files:
                self.send_error(state.status.get(path, 404))
            else:
                self.send_content(path, state.files[path])

        do_HEAD = do_GET

        def send_content(self, path: str, content: bytes) -> None:
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            start = 0
            wanted = self.headers.get("Range", "")
            if state.resumes and wanted and self.headers.get("If-Range", tag) == tag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content) > 0:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Type", state.types.get(path, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content) - start))
            if state.tags:
                self.send_header("ETag", tag)
            self.extra_headers(path)
            self.end_headers()
            if self.command == "GET":
                breaks = state.breaks.get(path)
                self.wfile.write(content[start : start + breaks.pop(0)] if breaks else content[start:])
            self.close_connection = True

        def extra_headers(self, path: str) -> None:
            """What a hub says beyond the usual."""

        def log_message(self, *_words: object) -> None:
            """No log on the terminal."""

    return Handler


@contextmanager
def serving(state: Loopback, kind: type[BaseHTTPRequestHandler] | None = None) -> Iterator[Loopback]:
    """Serve `state` on 127.0.0.1 while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind or handler(state))
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
