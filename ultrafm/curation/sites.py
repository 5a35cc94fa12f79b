"""Curating a study's sites: simulated archives are written first, remote ones fetched, then each goes the same way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ultrafm.curation.curate import SiteSummary, curate_site
from ultrafm.curation.identity.registry import open_registry
from ultrafm.curation.reading.remote import fetch_source
from ultrafm.curation.reading.rows import patient_warnings, read_rows
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text, read_json, write_json
from ultrafm.manifests import choose_source
from ultrafm.manifests.schema import DicomSource, FileSource, PhantomSource, SiteManifest
from ultrafm.progress import progress
from ultrafm.workers import worker_pool


@dataclass(frozen=True)
class Places:
    """Where a study's curation reads and writes.

    out: curated sites. archives: simulated archives. work: partial work. manifests: manifests, locks and keys.
    data_root: folder of real images, None when there are none.
    """

    out: Path
    archives: Path
    work: Path
    manifests: Path
    data_root: Path | None = None


@dataclass(frozen=True)
class Wish:
    """How sites are curated. source: phantom, open, local or default. patients_share: of simulated archives only.

    workers: processes; they change the speed, never a result. allow_network: may remote sources be downloaded?
    """

    source: str
    seed: int
    image_size: int
    patients_share: float = 1.0
    workers: int = 1
    allow_network: bool = False


class Located(NamedTuple):
    """A site's source as files in a folder. registry: folder of its lock and key, None where nothing is kept."""

    source: FileSource
    archive: Path
    registry: Path | None


def locate(manifest: SiteManifest, places: Places, wish: Wish) -> Located:
    """Where the images of a site lie: simulated ones are written first, remote ones fetched if they may be.

    Raises UltraFMError without a data root for real images, or when something must be downloaded and may not be.
    """
    _name, source = choose_source(manifest, wish.source)
    if isinstance(source, PhantomSource):
        from ultrafm.phantom import archive_as_folder

        folder = simulate(manifest, source, places.archives, wish.seed, wish.patients_share)
        return Located(archive_as_folder(manifest, source), folder, None)
    if places.data_root is None:
        expected = "the folder that holds its images"
        raise UltraFMError(manifest.site, "no data root", expected, "name it with --data-root")
    registry = open_registry(manifest.site, source.deidentification, places.manifests)
    fetched = fetch_source(manifest, source, places.data_root, registry.lock, wish.allow_network)
    replace(registry, lock=fetched.lock).keep()
    return Located(fetched.source, fetched.root, places.manifests)


def curate_archive(manifest: SiteManifest, places: Places, wish: Wish) -> SiteSummary:
    """Curate the wished source of one site. Raises UltraFMError as `locate` and `curate_site` do."""
    source, archive, registry = locate(manifest, places, wish)
    return curate_site(
        manifest, source, places.out, archive, wish.seed, wish.image_size, registry, places.work, wish.workers
    )


def spelling_warnings(manifest: SiteManifest, places: Places, wish: Wish) -> list[str]:
    """Patients of the wished source who may be one, written in several ways; see `patient_warnings`.

    None for DICOM, where every header would be read for it: `ultrafm manifests check` does that.
    """
    source, archive, _registry = locate(manifest, places, wish)
    if isinstance(source, DicomSource):
        return []
    return patient_warnings(manifest.site, source, read_rows(manifest, source, archive))


def simulate(manifest: SiteManifest, source: PhantomSource, archives: Path, seed: int, share: float) -> Path:
    """Write the simulated archive of a site to archives/<site>, unless the very same is there; its folder."""
    from ultrafm import __version__
    from ultrafm.phantom import write_archive

    folder, note = Path(archives) / manifest.site, Path(archives) / f"{manifest.site}.json"
    parts = (__version__, manifest.model_dump_json(), source.model_dump_json(), str(seed), str(share))
    made = hash_text("\n".join(parts))
    if folder.is_dir() and note.exists() and read_json(note) == made:
        return folder
    note.unlink(missing_ok=True)
    write_archive(manifest, source, folder, seed, share)
    write_json(note, made)
    return folder


def curate_sites(manifests: Sequence[SiteManifest], places: Places, wish: Wish) -> pd.DataFrame:
    """Curate every site: several sites at a time or, when there is only one, several of its files.

    One row per site: site, title, images, rows, quarantined, read, duplicates, low_quality, kept, patients, and images
    and patients of each fold. Raises the error of the first site that cannot be curated.
    """
    ordered = sorted(manifests, key=lambda manifest: manifest.site)
    side_by_side = wish.workers > 1 and len(ordered) > 1
    pool = worker_pool(min(wish.workers, len(ordered)))
    each = replace(wish, workers=1) if side_by_side else wish
    with pool if side_by_side else nullcontext():
        apply = pool.map if side_by_side else map
        done = apply(curate_archive, ordered, repeat(places), repeat(each))
        if len(ordered) > 1:
            done = progress(done, total=len(ordered), title="curating", unit="site")
        return summary_table(list(done))


def summary_table(summaries: Sequence[SiteSummary]) -> pd.DataFrame:
    """One row per site, flat; a fold that a site does not have holds 0."""
    rows = []
    for summary in summaries:
        folds = {
            f"{fold}_{what}": summary.folds.get(fold, {}).get(what, 0)
            for fold in ("train", "validation", "test", "evaluation")
            for what in ("images", "patients")
        }
        named = {"site": summary.site, "title": summary.title, "images": summary.images}
        found = {"patients": summary.patients, "released": summary.released}
        rows.append({**named, **summary.flow, **found, **folds})
    return pd.DataFrame(rows)
