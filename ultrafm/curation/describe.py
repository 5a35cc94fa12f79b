"""All that a site's folder says of its store: data sheet, contact sheet, Croissant."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ultrafm.curation.identity.header import combine
from ultrafm.curation.judge import Judged
from ultrafm.curation.sheets.contact_sheet import write_contact_sheet
from ultrafm.curation.sheets.croissant import write_croissant
from ultrafm.curation.sheets.datasheet import count_flow, make_datasheet
from ultrafm.curation.sheets.gallery import Gallery, Picture
from ultrafm.curation.sheets.markdown import write_markdown
from ultrafm.curation.sheets.page import write_page
from ultrafm.curation.store import decode_png
from ultrafm.curation.work import Work
from ultrafm.files import write_json, write_text
from ultrafm.manifests.schema import FileSource, SiteManifest

Finder = Callable[[Sequence[str]], list[int]]  # ids of pictures -> their numbers in the work


def describe_site(
    folder: Path, manifest: SiteManifest, source: FileSource, table: pd.DataFrame, judged: Judged, work: Work,
    numbers: np.ndarray, settings: Mapping[str, int], signed_on: str,
) -> dict[str, Any]:  # fmt: skip
    """Write datasheet.json, .md and .html, house/contact_sheet.html and croissant.json; the data sheet as a value.

    `table` is that of images.parquet. `numbers`: for each row the number of the picture in the work. `signed_on`: the
    day on which the store was released, "" when it was not.
    """
    flow = count_flow(judged.read, judged.left_out, len(table))
    find = partial(find_numbers, table["image_id"], numbers)
    gallery = curated_gallery(work, find)
    header = combine(work.headers())
    removed = header.identifying | header.other
    sheet = make_datasheet(
        manifest, source, table, flow, judged.left_out, settings, removed, gallery, judged.tied
    )  # fmt: skip
    write_json(folder / "datasheet.json", sheet)
    write_text(folder / "datasheet.md", write_markdown(sheet))
    write_page(folder / "datasheet.html", sheet, table, gallery)
    write_croissant(folder / "croissant.json", sheet, folder / "images.parquet", signed_on or None)
    if source.deidentification.sign_off:
        target, shown = folder / "house" / "contact_sheet.html", preview_gallery(work, find)
        write_contact_sheet(target, sheet, table, shown, f"{manifest.site}.yaml", "OUT")
    return sheet


def find_numbers(image_ids: pd.Series, numbers: np.ndarray, ids: Sequence[str]) -> list[int]:
    """The numbers of the pictures with these ids, in their order."""
    rows = np.flatnonzero(image_ids.isin(ids))
    found = dict(zip(image_ids.iloc[rows], numbers[rows]))
    return [int(found[name]) for name in ids]


def curated_gallery(work: Work, find: Finder) -> Gallery:
    """Pictures as they are in the store."""

    def read(ids: Sequence[str]) -> Iterator[Picture]:
        found = work.pictures(find(ids))
        for name, (_facts, image, sector, mask) in zip(ids, found):
            yield Picture(name, decode_png(image), decode_png(sector), None if mask is None else decode_png(mask))

    return read


def preview_gallery(work: Work, find: Finder) -> Gallery:
    """Pictures as large as the person who signs needs them."""

    def read(ids: Sequence[str]) -> Iterable[Picture]:
        for name, number in zip(ids, find(ids)):
            preview = work.preview(number)
            yield Picture(name, np.asarray(Image.open(io.BytesIO(preview or b""))))

    return read
