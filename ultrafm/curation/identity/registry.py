"""What a site has decided once and keeps beside its manifest: the key of its pseudonyms, and its lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ultrafm.curation.identity.pseudonyms import Pseudonyms, key_path, open_pseudonyms
from ultrafm.curation.split import Place
from ultrafm.errors import UltraFMError
from ultrafm.manifests.lock import Lock, LockedPlace, Signature, read_lock, write_lock
from ultrafm.manifests.schema import Deidentification


@dataclass(frozen=True)
class Registry:
    """Key and lock of one site. Without a folder nothing is kept: a simulated site is dealt anew for every seed."""

    site: str
    folder: Path | None
    pseudonyms: Pseudonyms
    lock: Lock

    def is_withdrawn(self, patient: str) -> bool:
        """Was the patient with this pseudonym withdrawn?"""
        return patient in self.lock.withdrawn

    def placed(self) -> dict[str, Place]:
        """Pseudonym -> place of everybody who was dealt before."""
        return {patient: Place(locked.fold, locked.group) for patient, locked in self.lock.patients.items()}

    def signature(self, content: str) -> Signature | None:
        """Who released the store with this content to training; None when nobody did."""
        return self.lock.signed.get(content)

    def with_places(self, places: Mapping[str, Place]) -> Registry:
        """The same registry with new patients; those who were dealt before stay where they are."""
        new = {name: LockedPlace(fold=place.fold, group=place.group) for name, place in places.items()}
        return self._changed(patients=new | self.lock.patients)

    def with_signature(self, content: str, signature: Signature) -> Registry:
        """The same registry with the store of this content released to training."""
        return self._changed(signed=self.lock.signed | {content: signature})

    def without_patient(self, patient: str, pixels: Iterable[str]) -> Registry:
        """The same registry with a patient withdrawn, and with the pictures that have these `pixels` hashes."""
        left = {name: place for name, place in self.lock.patients.items() if name != patient}
        pictures = {*self.lock.withdrawn_pictures, *(self._picture(text) for text in pixels)}
        people = {*self.lock.withdrawn, patient}
        return self._changed(patients=left, withdrawn=tuple(sorted(people)), withdrawn_pictures=tuple(sorted(pictures)))

    def withdrawn_among(self, pixels: Iterable[str]) -> set[str]:
        """Those of the pixel hashes that are of a withdrawn patient's picture, under whatever name they come."""
        withdrawn = set(self.lock.withdrawn_pictures)
        return {one for one in pixels if self._picture(one) in withdrawn} if withdrawn else set()

    def _picture(self, pixels: str) -> str:
        return self.pseudonyms.of("withdrawn picture", pixels)

    def keep(self) -> None:
        """Write the lock, if there is a folder for it and it says something new."""
        if self.folder is not None and read_lock(self.folder, self.site) != self.lock:
            write_lock(self.folder, self.site, self.lock)

    def _changed(self, **parts: object) -> Registry:
        key = {"key": key_mark(self.pseudonyms)}
        return replace(self, lock=self.lock.model_copy(update=parts | key))


def key_mark(pseudonyms: Pseudonyms) -> str:
    """What a lock remembers of the key that its hashes were made with; it does not tell the key."""
    return pseudonyms.of("key", "")


def open_registry(site: str, policy: Deidentification, folder: Path | None) -> Registry:
    """The registry of a site whose manifest lies in `folder`; None keeps nothing.

    Raises UltraFMError for a damaged key or lock, a secret key without a folder, and a key that is lost or not the
    one that the lock was made with: nobody who was placed or withdrawn would be known again.
    """
    lock = Lock() if folder is None else read_lock(folder, site)
    if lock.key and folder is not None and policy.pseudonyms == "secret" and not key_path(folder, site).exists():
        raise _other_key(site, folder, "no key, though there is a lock")
    registry = Registry(site, folder, open_pseudonyms(site, policy, folder), lock)
    if lock.key and folder is not None and lock.key != key_mark(registry.pseudonyms):
        raise _other_key(site, folder, "another key, or another policy of pseudonyms, than the lock was made with")
    return registry


def _other_key(site: str, folder: Path, found: str) -> UltraFMError:
    mend = "put back the copy of the key; only if no patient was ever withdrawn may the lock be deleted to begin afresh"
    return UltraFMError(str(key_path(folder, site)), found, "the key that the lock was made with", mend)
