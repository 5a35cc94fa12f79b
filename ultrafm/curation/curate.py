"""Curating one site: from its source to a store, a data sheet, a quarantine list and a contact sheet to sign."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.curation.describe import describe_site
from ultrafm.curation.fitting import structures_of
from ultrafm.curation.identity.registry import Registry, open_registry
from ultrafm.curation.identity.release import make_release, read_release, write_release
from ultrafm.curation.judge import RULES, Candidate, Judged, judge
from ultrafm.curation.leaks import require_no_leak
from ultrafm.curation.prepare import Settings
from ultrafm.curation.process import file_key, read_files, settings_text
from ultrafm.curation.reading.decode import shown_name
from ultrafm.curation.reading.rows import read_rows
from ultrafm.curation.reading.table import Row, source_folder
from ultrafm.curation.reasons import LeftOut
from ultrafm.curation.split import Place
from ultrafm.curation.store import COLUMNS, PICTURES, changed_files, read_plain, store_files, write_store
from ultrafm.curation.work import Work, open_work
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_json
from ultrafm.manifests.schema import FileSource, SiteManifest
from ultrafm.manifests.sources import has_table

HOUSE = "house"  # what names files, or shows more than the store: it never leaves the site
HASHES = ("hash", "sha256", "uid")  # how the columns end that no data sheet shows; most of a large site's table
INPUT, SUMMARY = "input.json", "summary.json"
BUDGET = "privacy.json"  # of the manifest, where it sets one


@dataclass(frozen=True)
class Asked:
    """What is to be curated, and how. listed: SHA-256 over the rows of the site's table or folder and their files."""

    manifest: SiteManifest
    source: FileSource
    settings: Settings
    seed: int
    listed: str


@dataclass(frozen=True)
class SiteSummary:
    """What came of one site. flow: see datasheet.count_flow. folds: fold -> images and patients.

    content: hash of the store. released: may training read it?
    """

    site: str
    title: str
    images: str
    flow: dict[str, int]
    patients: int
    folds: dict[str, dict[str, int]]
    left_out: list[dict[str, Any]]
    content: str
    released: bool


def curate_site(
    manifest: SiteManifest, source: FileSource, out: Path, archive: Path, seed: int, image_size: int,
    registry_folder: Path | None = None, work_folder: Path | None = None, workers: int = 1,
) -> SiteSummary:  # fmt: skip
    """Curate one site into out/<site>: store/, images.parquet, data sheet, Croissant, release.json, house/.

    `archive` is the folder that `source.path` is relative to. Key and lock of the site lie in `registry_folder`
    (usually that of the manifest); without it nothing is kept from one run to the next. Partial work lies in
    `work_folder` (out/work): files that have not changed since are not read again. Curation draws no random numbers;
    `seed` is written down in the data sheet. The site's folder appears whole or not at all, and the same input always
    gives the same bytes, whatever the number of `workers`.

    Raises:
        UltraFMError: archive, table or column missing, no row that matches, no picture left at the end, or a leak.
    """
    if image_size < 8:
        raise UltraFMError(f"{manifest.site}, image_size", str(image_size), "at least 8 pixels")
    registry = open_registry(manifest.site, source.deidentification, registry_folder)
    folder = source_folder(manifest, source, archive)
    rows = staying(read_rows(manifest, source, archive), registry)
    settings = Settings(
        folder, image_size, source.frames_per_clip, source.mask_values,
        source.deidentification.text == "black out", source.deidentification.sign_off, registry.pseudonyms,
    )  # fmt: skip
    keys = [file_key(settings, row) for row in rows]
    asked = Asked(manifest, source, settings, seed, digest_rows(rows, keys))
    finished = finished_before(Path(out) / manifest.site, fingerprint(asked, registry))
    if finished is not None:
        return finished
    work_path = Path(work_folder or Path(out) / "work") / f"{manifest.site}.sqlite"
    with open_work(work_path, settings_text(settings)) as work:
        work.keep_only(keys)
        read_files(manifest.site, settings, rows, keys, work, workers)
        work.drop_pictures(registry.withdrawn_among(work.pixels()))  # under other patients' names too
        listed = has_table(source)
        judged = judge(manifest, rows, keys, registry, work, listed)
        if not judged.kept:
            raise _nothing_left(manifest.site, judged, listed)
        del rows, keys  # a large site's take much memory, and the rest needs them no more
        if registry.folder is not None:
            registry = registry.with_places(judged.places)
            registry.keep()
        return write_site(asked, Path(out), judged, registry, work, work_path)


def staying(rows: Sequence[Row], registry: Registry) -> list[Row]:
    """The rows without those of patients who were withdrawn."""
    pseudonym = registry.pseudonyms.of
    return [row for row in rows if not registry.is_withdrawn(pseudonym("patient", row.patient))]


def fingerprint(asked: Asked, registry: Registry) -> str:
    """SHA-256 over all that decides what a site's folder will hold."""
    unset = {"privacy"} if asked.manifest.privacy is None else set()
    parts = [
        asked.manifest.model_dump_json(exclude=unset),
        asked.source.model_dump_json(),
        settings_text(asked.settings),
    ]
    parts += [str(RULES), str(asked.seed), registry.lock.model_dump_json(), asked.listed]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def digest_rows(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """SHA-256 over the rows and the keys of their files."""
    digest = hashlib.sha256()
    for row, key in zip(rows, keys):
        digest.update(f"\n{row!r} {key}".encode())
    return digest.hexdigest()


def finished_before(folder: Path, inputs: str) -> SiteSummary | None:
    """The summary of a site that was curated from the very same input and whose files are still there; else None.

    Of the store every byte must be the same, of the other files the size.
    """
    try:
        note = read_json(folder / HOUSE / INPUT)
        there = all((folder / name).stat().st_size == size for name, size in note["sizes"].items())
        there = there and not changed_files(folder / "store", read_release(folder).files)
    except (OSError, ValueError, KeyError):
        return None
    return SiteSummary(**read_json(folder / SUMMARY)) if there and note["inputs"] == inputs else None


def write_site(asked: Asked, out: Path, judged: Judged, registry: Registry, work: Work, work_path: Path) -> SiteSummary:
    """Write the folder of a site, whole or not at all. Empties `judged.kept` on the way, for its memory."""
    manifest, source = asked.manifest, asked.source
    kept = sorted(judged.kept, key=lambda candidate: image_id(manifest.site, candidate))
    with replacing(out / manifest.site) as folder:
        (folder / HOUSE).mkdir(parents=True)
        rows = store_rows(manifest, source, kept, judged.places, work)
        content = write_store(rows, len(kept), folder / "store", source.licence, source.citation)
        write_quarantine(folder / HOUSE / "quarantine.csv", judged.left_out)
        write_names(folder / HOUSE / "files.csv", manifest.site, kept)
        numbers = np.array([candidate.number for candidate in kept])
        kept.clear()  # from here on the table tells all
        judged.kept.clear()
        require_no_leak(manifest.site, folder / "images.parquet")
        files = store_files(folder / "store")
        release = make_release(content, source.deidentification.sign_off, registry.signature(content), files)
        write_release(folder, release)
        settings = {"image_size": asked.settings.image_size, "seed": asked.seed}
        table = described_table(folder / "images.parquet")
        sheet = describe_site(folder, manifest, source, table, judged, work, numbers, settings, release.on)
        summary = SiteSummary(
            manifest.site, manifest.title, sheet["images"], sheet["flow"], sheet["patients"], sheet["counts"]["fold"],
            sheet["left_out"], content, release.granted,
        )  # fmt: skip
        write_json(folder / SUMMARY, asdict(summary))
        if manifest.privacy is not None:
            write_json(folder / BUDGET, manifest.privacy.model_dump())
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        work_place = os.path.relpath(work_path, out)
        write_json(folder / HOUSE / INPUT, {"inputs": fingerprint(asked, registry), "work": work_place, "sizes": sizes})
    return summary


def store_rows(
    manifest: SiteManifest, source: FileSource, kept: Sequence[Candidate], places: Mapping[str, Place], work: Work
) -> Iterator[dict[str, Any]]:
    """The rows of the store, in the order of `kept`, made one after the other."""
    structures = json.dumps(structures_of(source.mask_values), sort_keys=True)
    stored = work.pictures([candidate.number for candidate in kept])
    for candidate, (facts, image, sector, mask) in zip(kept, stored):
        pictures = {"image": image, "sector": sector, "mask": mask, "structures": structures if mask else "{}"}
        cells = name_cells(manifest.site, candidate, places[candidate.likeness.patient]) | pictures | facts
        yield {name: cells[name] for name in COLUMNS}


def image_id(site: str, candidate: Candidate) -> str:
    """The name of a picture: its site and its pixels."""
    return f"{site}/{candidate.likeness.pixels[:16]}"


def name_cells(site: str, candidate: Candidate, place: Place) -> dict[str, Any]:
    """The cells that name and place a picture; nothing of the original names is left in them."""
    likeness, words, row = candidate.likeness, candidate.words, candidate.row
    return {
        "image_id": image_id(site, candidate), "site": site,
        "patient": likeness.patient, "clip": likeness.clip or None,
        "label": words.label, "organ": words.organ, "modality": words.modality, "scan_mode": words.scan_mode,
        "device": row.device or None, "measured": row.measured or None,
        "fold": place.fold, "group": place.group, "difficulty": row.difficulty,
        "sha256": likeness.pixels, "perceptual_hash": f"{likeness.perceptual:016x}", "simulated": row.simulated,
    }  # fmt: skip


def described_table(images: Path) -> pd.DataFrame:
    """The part of images.parquet that data sheet and contact sheet tell of."""
    shown = [name for name in COLUMNS if name not in PICTURES and not name.endswith(HASHES)]
    return read_plain(images, shown).to_pandas(use_threads=False, split_blocks=True, self_destruct=True)


def write_quarantine(path: Path, left_out: Sequence[LeftOut]) -> None:
    """The list of what was left out, by file and row of the site's own table: it stays in the house."""
    rows = ((shown_name(entry.file), entry.row, shown_name(entry.reason)) for entry in left_out)
    write_rows(path, ("file", "row", "reason"), rows)


def write_names(path: Path, site: str, kept: Iterable[Candidate]) -> None:
    """Which picture of the store came from which file, frame and row: the way back, which stays in the house."""
    rows = ((image_id(site, one), shown_name(one.row.file), one.row.frame, one.row.number) for one in kept)
    write_rows(path, ("image_id", "file", "frame", "row"), rows)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV, a row at a time."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _nothing_left(site: str, judged: Judged, listed: bool) -> UltraFMError:
    if not judged.left_out:
        mend = "check the manifest's lock: were all patients withdrawn?"
        return UltraFMError(site, "no image", "at least one usable image", mend)
    first = judged.left_out[0]
    name = shown_name(first.file) or "without a name"
    told, expected = shown_name(first.reason), "at least one usable image"
    if listed:
        found = f"no usable image among {judged.read} rows; the first, {name} in row {first.row}: {told}"
        return UltraFMError(site, found, expected, "check the table, sources.columns and label_map")
    found = f"no usable image among {judged.read} pictures; the first, {name}: {told}"
    return UltraFMError(site, found, expected, "check the files, what sources says of them, and label_map")
