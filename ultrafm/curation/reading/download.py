"""Downloading one file: only from http(s), checked by its SHA-256, continued where it broke off."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ultrafm import __version__
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_file, hash_text, read_json, write_json
from ultrafm.progress import progress

ATTEMPTS = 3
TIMEOUT = 60  # seconds without a byte
CHUNK = 2**18
MEGABYTE = 1e6
ALLOW = "--allow-network"


@dataclass(frozen=True)
class Remote:
    """What a server says of a file: its size in bytes (None: it does not say) and the mark of this version of it."""

    size: int | None
    version: str


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to http(s), and from https only to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            raise UltraFMError(req.full_url, f"a redirect to {newurl!r}", f"one to {old}", "correct the address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def local_name(address: str) -> str:
    """The name that a download is kept under: of its address, with a few digits that keep two of one name apart."""
    return f"{hash_text(address)[:8]}_{published_name(address)}"


def published_name(address: str) -> str:
    """The last part of an address, as far as it can be a file's name."""
    last = unquote(urlsplit(address).path).rstrip("/").rsplit("/", 1)[-1]
    return "".join(letter if letter.isalnum() or letter in " ()._-" else "_" for letter in last).lstrip(".") or "file"


def download(address: str, folder: Path, expected: str | None, allow_network: bool, title: str) -> tuple[Path, str]:
    """The file of an address in `folder`, and its SHA-256; what is there already is only checked.

    Raises:
        UltraFMError: it is not there and the network is not allowed; the server does not give it; the disk is full; or
            its hash is not `expected` (it is then kept aside under another name).
    """
    path = Path(folder) / local_name(address)
    if not path.exists():
        if not allow_network:
            raise not_allowed(title, address)
        part = path.with_name(f"{path.name}.part")
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(address, part, expected is not None, title)
        part.with_suffix(".json").unlink(missing_ok=True)
        found = _checked(part, path, address, expected)
        os.replace(part, path)
        return path, found
    return path, _checked(path, path, address, expected)


def not_allowed(title: str, what: str, size: str = "") -> UltraFMError:
    """The error for what would have to be downloaded by a user who did not allow it."""
    expected = f"the user's word to download {what}{f' ({size})' if size else ''}"
    return UltraFMError(title, "images that are not on this machine", expected, f"add {ALLOW} if you agree")


def _checked(path: Path, name: Path, address: str, expected: str | None) -> str:
    """The SHA-256 of a file; one that is not as expected is moved aside."""
    found = hash_file(path)
    if expected is not None and found != expected:
        aside = name.with_name(f"{name.name}.refused-{found[:8]}")
        os.replace(path, aside)
        mend = f"ask its publisher what changed; the file is kept as {aside.name}"
        raise UltraFMError(address, f"a file with SHA-256 {found}", f"SHA-256 {expected}", mend)
    return found


def _fetch(address: str, part: Path, hash_known: bool, title: str) -> None:
    """Download into `part`, going on after what is there; a broken connection is tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_once(address, part, hash_known, title)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                mend = "look at the address in a browser; the publisher may have moved the file or ask for a login"
                raise UltraFMError(address, f"the answer {error.code} ({error.reason})", "the file", mend) from error
        except (OSError, HTTPException) as error:  # no connection, a broken one, a certificate that does not fit
            if attempt == ATTEMPTS:
                found = f"no whole answer ({getattr(error, 'reason', None) or error})"
                raise UltraFMError(address, found, "the file", "run again; it goes on where it broke off") from error
        time.sleep(attempt - 1)


def _fetch_once(address: str, part: Path, hash_known: bool, title: str) -> None:
    note = part.with_suffix(".json")
    have = part.stat().st_size if part.exists() else 0
    version = read_json(note).get("version", "") if note.exists() else ""
    if not (have and (version or hash_known)):
        have = 0
    with _open(address, have, version) as answer:
        if have and not _continues(answer, have):
            have = 0
        remote = _described(answer.headers, have)
        _need_file(address, answer, part)
        _need_room(address, remote, have, part)
        write_json(note, asdict(remote))
        _copy(answer, part, have, remote, f"{title}: {published_name(address)}")


def _open(address: str, have: int, version: str) -> HTTPResponse:
    headers = {"User-Agent": f"ultrafm/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    opener = urllib.request.build_opener(_SafeRedirects())
    try:
        return opener.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # what we have is longer than what there is: begin again
            return _open(address, 0, "")
        raise


def _continues(answer: HTTPResponse, have: int) -> bool:
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _described(headers: Mapping[str, str], have: int) -> Remote:
    """Size of the whole file and its version: a strong ETag, else the date of its last change."""
    length = headers.get("Content-Length", "")
    tag = headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    return Remote(have + int(length) if length.isdecimal() else None, version)


def _need_file(address: str, answer: HTTPResponse, part: Path) -> None:
    page = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"
    if page and not published_name(address).lower().endswith((".html", ".htm")):
        mend = f"open the address in a browser, which may ask something, and save the file as {part.with_suffix('')}"
        raise UltraFMError(address, "a web page", "the file itself", mend)


def _need_room(address: str, remote: Remote, have: int, part: Path) -> None:
    free = shutil.disk_usage(part.parent).free
    if remote.size is not None and remote.size - have > free:
        raise UltraFMError(address, f"{remote.size:,} bytes", f"at most the {free:,} that are free", "free disk space")


def _copy(answer: HTTPResponse, part: Path, have: int, remote: Remote, title: str) -> None:
    """Write what the server sends after the first `have` bytes. Raises OSError when it ends early."""
    total = round((remote.size or 0) / MEGABYTE, 1)
    with part.open("r+b" if have else "wb") as handle, progress(total=total, title=title, unit="MB") as bar:
        handle.seek(have)
        handle.truncate()
        bar.update(have / MEGABYTE)
        while chunk := answer.read1(CHUNK):
            handle.write(chunk)
            have += len(chunk)
            bar.update(len(chunk) / MEGABYTE)
        handle.flush()
        os.fsync(handle.fileno())
    if remote.size is not None and have != remote.size:
        raise OSError(f"{have} of {remote.size} bytes")
