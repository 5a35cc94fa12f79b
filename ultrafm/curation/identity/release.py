"""Releasing a store to training: a person looks at the contact sheet and signs for exactly this content."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ultrafm.curation.store import store_folder
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, write_json
from ultrafm.manifests.lock import Signature

FILE = "release.json"


@dataclass(frozen=True)
class Release:
    """May training read the store with this content? by, on: who signed, and the day, where somebody did."""

    content: str
    needs_signature: bool
    by: str = ""
    on: str = ""

    @property
    def granted(self) -> bool:
        """Is no signature needed, or was it given?"""
        return not self.needs_signature or bool(self.by)


def make_release(content: str, needs_signature: bool, signature: Signature | None) -> Release:
    """The release of a store with this content, signed where the site's lock holds a signature for it."""
    return Release(content, needs_signature, *((signature.by, signature.on) if signature else ()))


def write_release(folder: Path, release: Release) -> None:
    """Write it into the folder of a curated site."""
    write_json(Path(folder) / FILE, asdict(release))


def read_release(folder: Path) -> Release:
    """The release of a curated site."""
    return Release(**read_json(Path(folder) / FILE))


def require_release(curated: Path, site: str) -> None:
    """Raise UltraFMError when the site is not curated, or a signature is needed to train on its store and not there."""
    folder = store_folder(curated, site).parent
    if read_release(folder).granted:
        return
    raise UltraFMError(
        f"{site}, store {folder}", "a store that nobody has signed", "the signature of a person who looked at it",
        f"look at {folder / 'house' / 'contact_sheet.html'}, then `ultrafm sign MANIFEST --out {curated} --by NAME`",
    )  # fmt: skip
