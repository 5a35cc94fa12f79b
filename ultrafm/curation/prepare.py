"""One row of a site's table to one curated picture, or the reason why not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Resampling

from ultrafm.curation.decode import Decoded, find_file, read_mask
from ultrafm.curation.duplicates import Likeness, compared, perceptual_hash, pixel_hash
from ultrafm.curation.fitting import LESION, binarise, crop_to, fit, fit_grey, fit_sector
from ultrafm.curation.media import read_frame
from ultrafm.curation.quality import Measured, measure
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea, find_scan_area
from ultrafm.curation.split import place_patient, site_hash
from ultrafm.curation.store import encode_png
from ultrafm.curation.table import Row, Words, row_words
from ultrafm.manifests.schema import FileSource, SiteManifest

SQUARE = 0.02  # by how much height and width of a pixel may differ and still count as equal


@dataclass(frozen=True)
class Prepared:
    """A picture that could be read: its cells of the store, and what the later stages judge it by.

    mask_outside: share of the mask's pixels that lie outside the scan area, None without a mask.
    """

    row: Row
    cells: dict[str, Any]
    likeness: Likeness
    measured: Measured
    area: ScanArea
    mask_outside: float | None


def prepare(manifest: SiteManifest, source: FileSource, folder: Path, row: Row, image_size: int) -> Prepared:
    """Decode, find the scan area, crop, fit and describe the picture of one row. Raises Unusable."""
    words = row_words(row, manifest)
    decoded = read_frame(find_file(folder, row.file), row.frame, row.frames)
    height, width = decoded.grey.shape
    area = find_scan_area(decoded.grey)
    crop = np.ascontiguousarray(crop_to(decoded.grey, area))
    sector = fit_sector(area, image_size)
    image = np.where(sector > 0, fit_grey(crop, image_size), 0).astype(np.uint8)
    mask = _mask(source, folder, row, width, height)
    measured = measure(crop, area)
    likeness = _likeness(manifest, row, words, crop, image, sector)
    cells = _name_cells(manifest, row, words, likeness) | {
        "image": encode_png(image),
        "sector": encode_png(sector),
        "mask": None if mask is None else encode_png(_fit_mask(crop_to(mask, area), image_size)),
        "structures": json.dumps(_structures(source) if mask is not None else {}, sort_keys=True),
        "original_width": width, "original_height": height, "crop": list(area.box), "colour": decoded.colour,
        "pixel_mm": _pixel_mm(decoded, crop, image_size),
        "blur": measured.blur, "contrast": measured.contrast, "entropy": measured.entropy,
    }  # fmt: skip
    return Prepared(row, cells, likeness, measured, area, None if mask is None else _share_outside(mask, area))


def _pixel_mm(decoded: Decoded, crop: np.ndarray, image_size: int) -> float | None:
    """Side of a curated pixel in millimetres; None where the file does not tell, or its pixels are not square."""
    if decoded.spacing_mm is None or abs(decoded.spacing_mm[0] / decoded.spacing_mm[1] - 1) > SQUARE:
        return None
    return decoded.spacing_mm[0] * max(crop.shape) / image_size


def _mask(source: FileSource, folder: Path, row: Row, width: int, height: int) -> np.ndarray | None:
    """The row's mask as structures' numbers (height, width) uint8, or None when it names none."""
    if not row.mask:
        return None
    if len(row.frames) > 1:
        raise Unusable("mask of a clip", f"one mask and {len(row.frames)} frames", "a mask for a file with one picture")
    return binarise(read_mask(find_file(folder, row.mask), width, height), source.mask_values)


def _fit_mask(mask: np.ndarray, image_size: int) -> np.ndarray:
    return fit(np.ascontiguousarray(mask), image_size, Resampling.NEAREST)


def _structures(source: FileSource) -> dict[str, list[int]]:
    """Structure -> the source's pixel values that it was made of; an empty list means every value above 0."""
    return {name: list(values) for name, values in source.mask_values.items()} or {LESION: []}


def _share_outside(mask: np.ndarray, area: ScanArea) -> float:
    inside = crop_to(mask, area)[area.inside_at(area.width, area.height)]
    return 1 - float((inside > 0).sum()) / max(1, int((mask > 0).sum())) if mask.any() else 0.0


def _likeness(
    manifest: SiteManifest, row: Row, words: Words, crop: np.ndarray, image: np.ndarray, sector: np.ndarray
) -> Likeness:
    small, inside = compared(image, sector)
    return Likeness(
        row=row.number, patient=row.patient, clip=row.clip, label=words.label,
        place=place_patient(manifest.split, manifest.site, row.patient),
        pixels=pixel_hash(crop), perceptual=perceptual_hash(crop), small=small, inside=inside,
    )  # fmt: skip


def _name_cells(manifest: SiteManifest, row: Row, words: Words, likeness: Likeness) -> dict[str, Any]:
    """The cells that name and place a picture; nothing of the original names is left in them."""
    site = manifest.site
    return {
        "image_id": f"{site}/{likeness.pixels[:16]}",
        "site": site,
        "patient": site_hash(site, "patient", row.patient),
        "clip": site_hash(site, "clip", row.clip) if row.clip else None,
        "label": words.label, "organ": words.organ, "modality": words.modality, "scan_mode": words.scan_mode,
        "fold": likeness.place.fold, "group": likeness.place.group,
        "difficulty": row.difficulty,
        "sha256": likeness.pixels, "perceptual_hash": f"{likeness.perceptual:016x}", "simulated": row.simulated,
    }  # fmt: skip
