"""What people decide about a curated site: to release its store to training, and to withdraw a patient."""

from __future__ import annotations

import re
from pathlib import Path

from ultrafm.curation.curate import HOUSE, INPUT, SiteSummary
from ultrafm.curation.identity.registry import Registry, open_registry
from ultrafm.curation.identity.release import (
    Release,
    read_release,
    require_unchanged,
    signed_release,
    write_release,
)
from ultrafm.curation.reading.table import source_folder
from ultrafm.curation.sites import Places, Wish, curate_archive, locate
from ultrafm.curation.store import read_table, store_folder
from ultrafm.curation.work import pixels_of
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json
from ultrafm.manifests import choose_source
from ultrafm.manifests.lock import Signature
from ultrafm.manifests.schema import FileSource, SiteManifest


def sign_store(manifest: SiteManifest, source: str, manifests: Path, out: Path, by: str, on: str) -> Release:
    """Release the store of a site to training, in the name of the person who looked at its contact sheet.

    The signature holds for exactly this content, and is kept in the site's lock. `on` is the day, YYYY-MM-DD.
    The release of a store that needs no signature is returned as it is, without one.

    Raises:
        UltraFMError: no store, no name, no day, a store that has a signature, or was changed after curation, or no
            contact sheet that somebody could have looked at.
    """
    if not by.strip():
        expected = "the name of the person who looked"
        raise UltraFMError(f"{manifest.site}, signature", "no name", expected, "add --by NAME")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", on):
        raise UltraFMError(f"{manifest.site}, signature", repr(on), "a day such as 2026-01-31")
    folder = store_folder(out, manifest.site).parent
    release = read_release(folder)
    if not release.needs_signature:
        return release
    require_unchanged(folder, manifest.site, release)
    registry = registry_of(manifest, source, manifests)
    _require_unsigned(manifest.site, registry.signature(release.content), release)
    sheet = folder / HOUSE / "contact_sheet.html"
    if not sheet.is_file():
        mend = "run `ultrafm curate` again, which writes it, and look at it"
        raise UltraFMError(f"{manifest.site}, signature", f"no {sheet}", "the contact sheet of this store", mend)
    signature = Signature(by=by.strip(), on=on)
    registry.with_signature(release.content, signature).keep()
    signed = signed_release(release, signature)
    write_release(folder, signed)
    return signed


def _require_unsigned(site: str, first: Signature | None, release: Release) -> None:
    """Raise UltraFMError when somebody has signed for the content before: whose word it is must not change."""
    if first is None:
        return
    mend = "leave it as it is: training may read the store"
    if not release.granted:  # the same content was signed for in another folder
        mend = "run `ultrafm curate` again: that signature then holds here too"
    found = f"the signature of {first.by} on {first.on} for the same content"
    raise UltraFMError(f"{site}, signature", found, "content that nobody has signed for", mend)


def withdraw_patient(
    manifest: SiteManifest, source: str, manifests: Path, out: Path, data_root: Path | None, patient: str
) -> SiteSummary:
    """Withdraw a patient: from the lock, the partial work, the store and everything that describes it, for good.

    The hospital's own files stay as they are. A signature that was given does not hold for what remains.

    Raises:
        UltraFMError: the site is simulated or not curated there, or has no such patient.
    """
    folder = store_folder(out, manifest.site).parent
    registry = registry_of(manifest, source, manifests)
    pseudonym = registry.pseudonyms.of("patient", patient)
    known = {*registry.lock.patients, *registry.lock.withdrawn, *read_table(out, manifest.site)["patient"].to_pylist()}
    if pseudonym not in known:
        mend = "write the patient as the table or header does; upper and lower case count"
        raise UltraFMError(f"{manifest.site}, patient", "nobody of that name", "a patient of this site", mend)
    settings = read_json(folder / "datasheet.json")["settings"]
    work = (Path(out) / read_json(folder / HOUSE / INPUT)["work"]).resolve().parent
    places = Places(Path(out), Path(out) / "archives", work, manifests, data_root)
    wish = Wish(source, settings["seed"], settings["image_size"])
    found = locate(manifest, places, wish)  # before anything is recorded: without the images the store cannot be mended
    source_folder(manifest, found.source, found.archive)
    registry.without_patient(pseudonym, pixels_of(work / f"{manifest.site}.sqlite", pseudonym)).keep()
    return curate_archive(manifest, places, wish)


def registry_of(manifest: SiteManifest, source: str, manifests: Path) -> Registry:
    """The registry of a site with real images. Raises UltraFMError for a simulated one, which keeps none."""
    _name, chosen = choose_source(manifest, source)
    if not isinstance(chosen, FileSource):
        expected = "a source of real images"
        raise UltraFMError(f"{manifest.site}, source", "a simulated one, which holds nobody", expected, "name --source")
    return open_registry(manifest.site, chosen.deidentification, manifests)
