"""What a site holds of the secure round that it is in: files of its own folder that nobody else can read.

One attempt at a time. Its secrets are deleted when the site has answered for the last time, and when another attempt
begins. (A file system may keep deleted blocks for a while; where that matters, the folder lies on an encrypted disk.)
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ultrafm.federation.secure.keys import Advertised, Secrets
from ultrafm.federation.secure.sealing import Shares
from ultrafm.files import read_json, replacing

FOLDER, HELD, MASKED, SUMS, LOCK = "secure", "held.json", "masked.raw", "sums.json", "lock"


@dataclass(frozen=True)
class Answer:
    """What a site was asked in a stage (a fingerprint) and answered."""

    question: str
    values: dict[str, bytes]


@dataclass(frozen=True)
class Held:
    """Of one attempt: its name, the site's secrets until they are deleted, and what it has learned and answered.

    `asked` is what the site was asked in training, the same in every attempt, `transcript` the fingerprint of all that
    the sites must have been told alike in this attempt, `survivors` are those whose sum the site agreed to.
    """

    session: str
    secrets: Secrets | None
    advertised: Mapping[str, Advertised] = field(default_factory=dict)
    shares: Shares = field(default_factory=dict)
    asked: str = ""
    transcript: str = ""
    survivors: list[str] = field(default_factory=list)
    answers: Mapping[str, Answer] = field(default_factory=dict)


class Vault:
    """The files below a site's `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time: else two that are asked at once could put the same masks on two vectors."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self._folder / LOCK, os.O_WRONLY | os.O_CREAT, 0o600), "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def read(self) -> Held | None:
        """What is held; None when nothing is."""
        path = self._folder / HELD
        return from_plain(read_json(path)) if path.is_file() else None

    def write(self, held: Held) -> None:
        """Replace what is held; it is on the disk when this returns."""
        self._write(HELD, json.dumps(to_plain(held)).encode())

    def write_masked(self, numbers: np.ndarray) -> None:
        """Keep the masked numbers, so that the same question gets the same answer."""
        self._write(MASKED, numbers.data)

    def read_masked(self, kind: np.dtype) -> np.ndarray | None:
        """The masked numbers that were kept; None once they were deleted."""
        path = self._folder / MASKED
        return np.fromfile(path, kind) if path.is_file() else None

    def forget_masked(self) -> None:
        """Delete the masked numbers."""
        (self._folder / MASKED).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete all that is of an attempt."""
        for path in self._folder.glob("*"):
            if path.name not in (SUMS, LOCK):
                path.unlink()

    def read_sums(self) -> dict[str, str]:
        """Agreement (or run) and round -> the fingerprint of the sum that was unmasked of it."""
        path = self._folder / SUMS
        return read_json(path) if path.is_file() else {}

    def add_sum(self, name: str, mark: str) -> None:
        """Remember of which sum the site has given its shares away, for good."""
        self._write(SUMS, json.dumps(self.read_sums() | {name: mark}).encode())

    def _write(self, name: str, data: bytes | memoryview) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(self._folder / name) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)


def to_plain(held: Held) -> Any:
    """What is held as JSON has it: bytes as hexadecimal digits."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value

    return plain(asdict(held))


def from_plain(told: Mapping[str, Any]) -> Held:
    """The opposite of `to_plain`."""
    secrets = Secrets(**in_bytes(told["secrets"])) if told["secrets"] else None
    advertised = {site: Advertised(**in_bytes(one)) for site, one in told["advertised"].items()}
    answers = {name: Answer(one["question"], in_bytes(one["values"])) for name, one in told["answers"].items()}
    fields = {name: told[name] for name in ("session", "asked", "transcript", "survivors")}
    shares = in_bytes(told["shares"])
    return Held(secrets=secrets, advertised=advertised, shares=shares, answers=answers, **fields)


def in_bytes(values: Mapping[str, str]) -> dict[str, bytes]:
    """Hexadecimal digits as bytes."""
    return {name: bytes.fromhex(one) for name, one in values.items()}
