"""Files: atomic writes and fingerprints, so that a killed run never leaves half a file behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends well, remove it when it does not.

    A file is on the disk by then, so that it survives a power cut too. Without `durable` only that wait is left out.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        if durable and temporary.is_file():
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of `data` to `path`, or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write all of `text` to `path` as UTF-8, or nothing."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON; the same value always gives the same bytes. NaN is refused: use None."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value stored in the JSON file `path`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def hash_text(text: str) -> str:
    """SHA-256 of `text`, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of the bytes of one file, as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over the names (relative to `root`) and contents of files, whatever order they come in."""
    lines = sorted(f"{Path(path).relative_to(root).as_posix()} {hash_file(path)}" for path in paths)
    return hash_text("\n".join(lines))


def hash_folder(folder: Path) -> str:
    """SHA-256 over every file below `folder`; a missing folder hashes like an empty one."""
    return hash_files((path for path in Path(folder).rglob("*") if path.is_file()), folder)
