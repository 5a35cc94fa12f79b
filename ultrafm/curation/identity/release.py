"""Releasing a store to training: a person looks at the contact sheet and signs for exactly this content.

The hashes of the store's files stand beside the signature, and training compares them with the files that it reads.
That finds what was exchanged or edited by hand or damaged; who edits the hashes as well is not found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ultrafm.curation.store import changed_files, store_folder
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, write_json
from ultrafm.manifests.lock import Signature

FILE = "release.json"


@dataclass(frozen=True)
class Release:
    """May training read the store with this content? by, on: who signed, and the day, where somebody did.

    files: see store.store_files, as the store was written.
    """

    content: str
    needs_signature: bool
    by: str = ""
    on: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def granted(self) -> bool:
        """Is no signature needed, or was it given?"""
        return not self.needs_signature or bool(self.by)


def make_release(content: str, needs_signature: bool, signature: Signature | None, files: Mapping[str, str]) -> Release:
    """The release of a store with this content and these files, signed where the lock holds a signature for it."""
    release = Release(content, needs_signature, files=files)
    return signed_release(release, signature) if signature else release


def signed_release(release: Release, signature: Signature) -> Release:
    """The same release, signed."""
    return replace(release, by=signature.by, on=signature.on)


def write_release(folder: Path, release: Release) -> None:
    """Write it into the folder of a curated site."""
    write_json(Path(folder) / FILE, asdict(release))


def read_release(folder: Path) -> Release:
    """The release of a curated site."""
    return Release(**read_json(Path(folder) / FILE))


def require_release(curated: Path, site: str) -> None:
    """Raise UltraFMError when training may not read the store of a site.

    That is: it is not curated; a signature is needed and not there; or it was given for other files than lie there.
    Stores that need no signature, such as simulated ones, are not looked into.
    """
    folder = store_folder(curated, site).parent
    release = read_release(folder)
    if not release.granted:
        sheet = folder / "house" / "contact_sheet.html"
        raise UltraFMError(
            f"{site}, store {folder}", "a store that nobody has signed", "the signature of a person who looked at it",
            f"look at {sheet}, then `ultrafm sign MANIFEST --out {curated} --by NAME`",
        )  # fmt: skip
    if release.needs_signature:
        require_unchanged(folder, site, release)


def require_unchanged(folder: Path, site: str, release: Release) -> None:
    """Raise UltraFMError when the store in a site's folder is no longer what curation wrote there.

    All bytes of the store are hashed, once in a process. For 1,000 pictures that takes 2 to 6 ms at 64 x 64 pixels and
    about 20 at 224 x 224, where loading them takes 160 and 1,400.
    """
    changed = changed_files(folder / "store", release.files)
    if release.files and not changed:
        return
    found = f"{', '.join(changed)} changed since curation" if changed else "no hashes of its files"
    mend = f"`ultrafm curate MANIFEST --out {folder.parent}` writes it anew; a signature holds for the same content"
    raise UltraFMError(f"{site}, store {folder / 'store'}", found, "the files that curation wrote", mend)
