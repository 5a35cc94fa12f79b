"""Curating a site: from a folder with a table to a store, a quarantine list and a data sheet."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.curation.datasheet import count_flow, make_datasheet, write_markdown
from ultrafm.curation.duplicates import find_duplicates
from ultrafm.curation.prepare import Prepared, prepare
from ultrafm.curation.quality import require
from ultrafm.curation.reasons import LeftOut, Unusable, leave_out
from ultrafm.curation.rows import read_rows
from ultrafm.curation.store import PICTURES, write_store
from ultrafm.curation.table import Row, source_folder
from ultrafm.errors import UltraFMError
from ultrafm.files import replacing, write_json, write_text
from ultrafm.manifests.schema import FileSource, PhantomSource, SiteManifest
from ultrafm.progress import progress


@dataclass(frozen=True)
class SiteSummary:
    """What came of one site. flow: see datasheet.count_flow. folds: fold -> images and patients."""

    site: str
    title: str
    images: str
    flow: dict[str, int]
    patients: int
    folds: dict[str, dict[str, int]]
    left_out: list[dict[str, Any]]


def curate_site(
    manifest: SiteManifest, source: FileSource, out: Path, archive: Path, seed: int, image_size: int
) -> SiteSummary:
    """Curate one site into out/<site>: store/, quarantine.csv, datasheet.json, datasheet.md, summary.json.

    `archive` is the folder that `source.path` is relative to. Curation draws no random numbers; `seed` is written down
    in the data sheet. The folder appears whole or not at all, and the same input always gives the same bytes.

    Raises:
        UltraFMError: archive, table or column missing, no row that matches, or no picture left at the end.
    """
    if image_size < 8:
        raise UltraFMError(f"{manifest.site}, image_size", str(image_size), "at least 8 pixels")
    rows = read_rows(manifest, source, archive)
    prepared, left_out = _prepare_all(manifest, source, source_folder(manifest, source, archive), rows, image_size)
    kept = _keep(manifest, prepared, left_out)
    left_out.sort(key=lambda entry: entry.row)
    if not kept:
        raise _nothing_left(manifest.site, len(rows), left_out)
    flow = count_flow(len(rows), left_out, len(kept))
    settings = {"image_size": image_size, "seed": seed}
    sheet = make_datasheet(manifest, source, _described(kept), flow, left_out, settings)
    summary = SiteSummary(
        manifest.site, manifest.title, sheet["images"], flow, sheet["patients"], sheet["counts"]["fold"],
        sheet["left_out"],
    )  # fmt: skip
    with replacing(Path(out) / manifest.site) as folder:
        _write_site(folder, kept, left_out, sheet, summary)
    return summary


def curate_archive(
    manifest: SiteManifest,
    wanted_source: str,
    out: Path,
    archives: Path,
    data_root: Path | None,
    seed: int,
    image_size: int,
    patients_share: float,
) -> SiteSummary:
    """Curate the wanted source of one site; a simulated one is first written to archives/<site>.

    `patients_share` scales the patients of simulated archives only. Raises UltraFMError as `curate_site` does, and when
    real images are wanted without a data root.
    """
    from ultrafm.manifests import choose_source

    _name, source = choose_source(manifest, wanted_source)
    if isinstance(source, PhantomSource):
        from ultrafm.phantom import archive_as_folder, write_archive

        archive = Path(archives) / manifest.site
        write_archive(manifest, source, archive, seed, patients_share)
        return curate_site(manifest, archive_as_folder(manifest, source), out, archive, seed, image_size)
    if data_root is None:
        expected = "the folder that holds its images"
        raise UltraFMError(manifest.site, "no data root", expected, "name it with --data-root")
    return curate_site(manifest, source, out, Path(data_root), seed, image_size)


def curate_sites(
    manifests: Sequence[SiteManifest],
    wanted_source: str,
    out: Path,
    archives: Path,
    data_root: Path | None,
    seed: int,
    image_size: int,
    patients_share: float,
    workers: int,
) -> pd.DataFrame:
    """Curate every site, several at a time when `workers` > 1; the result does not depend on their order or number.

    One row per site: site, title, images, rows, quarantined, read, duplicates, low_quality, kept, patients, and images
    and patients of each fold. Raises the error of the first site that cannot be curated.
    """
    jobs = [
        (manifest, wanted_source, Path(out), Path(archives), data_root, seed, image_size, patients_share)
        for manifest in sorted(manifests, key=lambda manifest: manifest.site)
    ]
    pool = nullcontext()
    if workers > 1 and len(jobs) > 1:
        pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=multiprocessing.get_context("spawn"))
    with pool as executor:
        results = map(curate_archive, *zip(*jobs)) if executor is None else executor.map(curate_archive, *zip(*jobs))
        summaries = list(progress(results, total=len(jobs), title="curating", unit="site"))
    return summary_table(summaries)


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
        rows.append({**named, **summary.flow, "patients": summary.patients, **folds})
    return pd.DataFrame(rows)


def _prepare_all(
    manifest: SiteManifest, source: FileSource, folder: Path, rows: Sequence[Row], image_size: int
) -> tuple[list[Prepared], list[LeftOut]]:
    prepared: list[Prepared] = []
    left_out: list[LeftOut] = []
    for row in rows:
        try:
            prepared.append(prepare(manifest, source, folder, row, image_size))
        except Unusable as why:
            left_out.append(leave_out(row.name, row.number, "quarantined", why))
    return prepared, left_out


def _keep(manifest: SiteManifest, prepared: Sequence[Prepared], left_out: list[LeftOut]) -> list[Prepared]:
    """The pictures that are neither duplicates nor of too low quality; the others are noted in `left_out`."""
    duplicates = find_duplicates([picture.likeness for picture in prepared])
    kept = []
    for number, picture in enumerate(prepared):
        row = picture.row
        if number in duplicates:
            left_out.append(leave_out(row.name, row.number, "duplicates", duplicates[number]))
            continue
        try:
            require(picture.measured, picture.area, manifest.quality)
        except Unusable as why:
            left_out.append(leave_out(row.name, row.number, "low_quality", why))
            continue
        kept.append(picture)
    return kept


def _nothing_left(site: str, rows: int, left_out: Sequence[LeftOut]) -> UltraFMError:
    first = left_out[0]
    name = first.file or "without a name"
    found = f"no usable image among {rows} rows; the first, {name} in row {first.row}: {first.reason}"
    return UltraFMError(site, found, "at least one usable image", "check the table, sources.columns and label_map")


def _described(kept: Sequence[Prepared]) -> pd.DataFrame:
    """The kept pictures' cells without the pictures, and what only the data sheet counts."""
    rows: Iterator[dict[str, Any]] = (
        {name: cell for name, cell in picture.cells.items() if name not in PICTURES}
        | {"area": picture.area.kind, "mask_outside": picture.mask_outside}
        for picture in kept
    )
    return pd.DataFrame(rows)


def _write_site(
    folder: Path, kept: Sequence[Prepared], left_out: Sequence[LeftOut], sheet: dict[str, Any], summary: SiteSummary
) -> None:
    folder.mkdir()
    write_store([picture.cells for picture in kept], folder / "store")
    listed = pd.DataFrame([asdict(entry) for entry in left_out], columns=["file", "row", "reason"])
    listed.to_csv(folder / "quarantine.csv", index=False, lineterminator="\n")
    write_json(folder / "datasheet.json", sheet)
    write_text(folder / "datasheet.md", write_markdown(sheet))
    write_json(folder / "summary.json", asdict(summary))
