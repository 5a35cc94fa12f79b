"""Pseudonyms: hashes that stand for patients, clips and files, keyed so that only the site can make them again."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Deidentification

KEY_BYTES = 32


@dataclass(frozen=True)
class Pseudonyms:
    """Makes the pseudonyms of one site. Whoever has the key and can list all names can also list their pseudonyms."""

    site: str
    key: bytes

    def of(self, purpose: str, name: str, digits: int = 16) -> str:
        """A name that stands for `name`: the same every time, another one elsewhere or for another purpose.

        Hexadecimal digits of HMAC-SHA-256 (RFC 2104), at most 64.
        """
        words = "\x1f".join((self.site, purpose, name)).encode()
        return hmac.new(self.key, words, hashlib.sha256).hexdigest()[:digits]


def key_path(folder: Path, site: str) -> Path:
    """Where the secret key of a site lies: in the folder of its manifest. It never leaves the site."""
    return Path(folder) / f"{site}.key"


def open_pseudonyms(site: str, policy: Deidentification, folder: Path | None) -> Pseudonyms:
    """The pseudonyms of a site: keyed by its own name in public, or by a secret file, made when there is none yet.

    Raises:
        UltraFMError: a secret is wanted and there is no folder for it, or its file is damaged.
    """
    if policy.pseudonyms == "public":
        return Pseudonyms(site, site.encode())
    if folder is None:
        mend = "name the folder of the manifest, or set deidentification.pseudonyms to public"
        raise UltraFMError(f"{site}, key", "no folder to keep a secret key in", "the folder of the manifest", mend)
    path = key_path(folder, site)
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        mend = "take the last good copy; with another key all pseudonyms change and the lock no longer fits"
        raise UltraFMError(str(path), f"{len(key)} bytes", f"a key of {KEY_BYTES} bytes", mend)
    return Pseudonyms(site, key)


def _make_key(path: Path) -> None:
    """Write a new key that only its owner may read; another process that makes it at the same moment wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
