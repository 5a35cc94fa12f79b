"""The lock of a site: what was decided once and must never change. A JSON file beside the manifest, kept with it.

It holds hashes and addresses, no name of a patient or a file. Without a lock nothing is decided yet, and all rules of
the manifest apply afresh. Only commands that say so write it; a study only reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, write_json
from ultrafm.manifests.parts import Strict


class LockedPlace(Strict):
    """Fold of a patient and, where the fold is evaluated by cross-validation, the group; else -1."""

    fold: Literal["train", "validation", "test", "evaluation"]
    group: int = -1


class Signature(Strict):
    """Who looked at the contact sheet of a store and released it to training, and on which day."""

    by: str
    on: str


class Lock(Strict):
    """archives: address -> SHA-256 of the file as first downloaded. patients: hash of the patient -> place.

    withdrawn: hashes of patients who are no longer part of the site. withdrawn_pictures: of their pictures, whose
    doubles stay out too. signed: hash of a store's content -> signature.
    """

    schema_version: Literal[1] = 1
    key: str = Field(default="", description="fingerprint of the key that the hashes of patients were made with")
    archives: dict[str, str] = Field(default={})
    patients: dict[str, LockedPlace] = Field(default={})
    withdrawn: tuple[str, ...] = ()
    withdrawn_pictures: tuple[str, ...] = ()
    signed: dict[str, Signature] = Field(default={})


def lock_path(folder: Path, site: str) -> Path:
    """Where the lock of a site lies: in the folder of its manifest."""
    return Path(folder) / f"{site}.lock.json"


def read_lock(folder: Path, site: str) -> Lock:
    """The lock of a site; an empty one when there is none yet. Raises UltraFMError when the file is damaged."""
    path = lock_path(folder, site)
    if not path.exists():
        return Lock()
    try:
        return Lock.model_validate(read_json(path))
    except (ValidationError, ValueError, OSError) as error:
        mend = "take the last good copy; without it patients could change fold"
        raise UltraFMError(str(path), str(error).splitlines()[0], "a lock that ultrafm wrote", mend) from error


def write_lock(folder: Path, site: str, lock: Lock) -> Path:
    """Write the lock of a site, whole or not at all; the same lock always gives the same bytes."""
    value = lock.model_dump()
    value |= {name: dict(sorted(value[name].items())) for name in ("archives", "patients", "signed")}
    value |= {name: sorted(value[name]) for name in ("withdrawn", "withdrawn_pictures")}
    path = lock_path(folder, site)
    write_json(path, value)
    return path
