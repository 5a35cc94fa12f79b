"""One file of a site to its curated pictures, or the reason why not. What the table says of it plays no part here."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ultrafm.curation.fitting import binarise, crop_to, fit, fit_grey, fitted_size
from ultrafm.curation.identity.header import HeaderReport, header_report, mapped_uids
from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.identity.text import Mark, black_out, find_text, place_marks
from ultrafm.curation.likeness import perceptual_hash, pixel_hash
from ultrafm.curation.quality import measure
from ultrafm.curation.reading.decode import Decoded, find_file, read_mask
from ultrafm.curation.reading.media import choose_frames, count_frames, read_frames
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea, find_scan_area
from ultrafm.curation.store import encode_png
from ultrafm.curation.work import Picture, ReadFile
from ultrafm.files import hash_file
from ultrafm.manifests.file_kinds import is_dicom

SQUARE = 0.02  # by how much height and width of a pixel may differ and still count as equal
PREVIEW_SIDE = 256  # pixels of the longer side; letters can be read
AROUND = 64  # pixels around the scan area that a word may reach into it from


@dataclass(frozen=True)
class Settings:
    """All that decides what comes of a file, beside the file and its mask.

    previews: is there a contact sheet? crops: are the de-identified crops wanted at the file's own resolution?
    """

    folder: Path
    image_size: int
    frames_per_clip: int
    mask_values: dict[str, tuple[int, ...]]
    blacks_out_text: bool
    previews: bool
    pseudonyms: Pseudonyms
    crops: bool = False


@dataclass(frozen=True)
class Job:
    """One file to read. file, mask: as in the table; patient: the pseudonym; key: see curate.file_key."""

    key: str
    file: str
    mask: str
    patient: str


@contextmanager
def unheard() -> Iterator[None]:
    """No word of the libraries that read files: at their finest they log the values of headers, and so identities."""
    loggers = [logging.getLogger(name) for name in ("PIL", "pydicom", "libav")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def prepare_file(settings: Settings, job: Job) -> ReadFile:
    """Read one file and its mask, and prepare every frame that is taken of it. Never raises for a broken file."""
    with unheard():
        return _prepare_file(settings, job)


def _prepare_file(settings: Settings, job: Job) -> ReadFile:
    path = None  # until the file is known to be the site's own
    try:
        path = find_file(settings.folder, job.file)
        count = count_frames(path)
        frames = choose_frames(count, settings.frames_per_clip)
        if job.mask and len(frames) > 1:
            found = f"one mask and {len(frames)} frames"
            raise Unusable("mask of a clip", found, "a mask for a file with one picture")
        decoded = read_frames(path, frames)
        named = name_file(settings.pseudonyms, path)
        pictures = (prepare_frame(settings, job, decoded[frame], named) for frame in frames)
        numbered = tuple(replace(picture, frame=frame, frames=len(frames)) for frame, picture in zip(frames, pictures))
        return ReadFile(job.key, job.patient, header_report(path), numbered)
    except Unusable as why:
        header = header_report(path) if path else HeaderReport()
        column = "mask" if path else "file"  # once the file is found, only its mask can be missing
        failure = why.naming(column) if why.name else why
        return ReadFile(job.key, job.patient, header, (Picture(failure=failure),))


def name_file(pseudonyms: Pseudonyms, path: Path) -> dict[str, str | None]:
    """What stands for a file in the store: a keyed hash of its bytes, and for DICOM its UIDs, mapped."""
    uids = mapped_uids(path, pseudonyms.key) if is_dicom(path) else {}
    return {
        "source_hash": pseudonyms.of("file", hash_file(path), 64), "study_uid": uids.get("StudyInstanceUID"),
        "series_uid": uids.get("SeriesInstanceUID"), "instance_uid": uids.get("SOPInstanceUID"),
    }  # fmt: skip


def prepare_frame(settings: Settings, job: Job, decoded: Decoded, named: dict[str, str | None]) -> Picture:
    """Find the scan area and the text, make black what is neither tissue nor wanted, crop, measure, fit.

    Raises Unusable for a mask that cannot be used.
    """
    height, width = decoded.grey.shape
    area = find_scan_area(decoded.grey)
    marks = text_near(decoded, area)
    scanned = of_area = whole_map(area, height, width)
    inner = [mark for mark, place in zip(marks, place_marks(marks, scanned)) if place != "outside"]
    clean = np.multiply(decoded.grey, scanned, dtype=np.uint8)
    if settings.blacks_out_text and inner:
        clean, scanned = black_out(clean, inner), black_out(scanned.view(np.uint8), inner) > 0
    crop, inside = (np.ascontiguousarray(crop_to(picture, area)) for picture in (clean, scanned))
    sector = fit(inside.view(np.uint8) * np.uint8(255), settings.image_size, Resampling.NEAREST)
    image = np.where(sector > 0, fit_grey(crop, settings.image_size), 0).astype(np.uint8)
    mask = _mask(settings, job, width, height)
    calipers = sum(mark.kind == "caliper" for mark in inner)
    measured = measure(crop, inside, decoded.coloured_share, calipers)
    return Picture(
        pixels=pixel_hash(crop), perceptual=perceptual_hash(crop, inside),
        facts={
            "original_width": width, "original_height": height, "crop": list(area.box), "colour": decoded.colour,
            "pixel_mm": _pixel_mm(decoded, crop, settings.image_size), "area": area.kind,
            "sector_geometry": _sector_numbers(area, settings.image_size),
            "found_scan_mode": area.scan_mode, "confidence": round(area.confidence, 4), "text_marks": len(inner),
            "mask_outside": None if mask is None else _share_outside(mask, of_area), **named, **asdict(measured),
        },
        image=encode_png(image), sector=encode_png(sector),
        mask=None if mask is None else encode_png(_fit_mask(crop_to(mask, area), settings.image_size)),
        preview=_preview(crop) if settings.previews else None,
        crop=encode_png(crop) if settings.crops else None,
    )  # fmt: skip


def text_near(decoded: Decoded, area: ScanArea) -> list[Mark]:
    """Text and markers in the box of the scan area and a little around it; what lies further out is black anyway."""
    height, width = decoded.grey.shape
    left, top = max(0, area.box[0] - AROUND), max(0, area.box[1] - AROUND)
    part = slice(top, min(height, area.box[3] + AROUND)), slice(left, min(width, area.box[2] + AROUND))
    found = find_text(np.ascontiguousarray(decoded.grey[part]), None if decoded.rgb is None else decoded.rgb[part])
    return [replace(mark, box=tuple(np.add(mark.box, (left, top, left, top)).tolist())) for mark in found]


def whole_map(area: ScanArea, height: int, width: int) -> np.ndarray:
    """The scan area as bool (height, width) of the whole picture."""
    scanned = np.zeros((height, width), dtype=bool)
    left, top, right, bottom = area.box
    scanned[top:bottom, left:right] = area.inside_at(area.width, area.height)
    return scanned


def _pixel_mm(decoded: Decoded, crop: np.ndarray, image_size: int) -> float | None:
    """Side of a curated pixel in millimetres; None where the file does not tell, or its pixels are not square."""
    if decoded.spacing_mm is None or abs(decoded.spacing_mm[0] / decoded.spacing_mm[1] - 1) > SQUARE:
        return None
    return decoded.spacing_mm[0] * max(crop.shape) / image_size


def _sector_numbers(area: ScanArea, image_size: int) -> list[float] | None:
    """Apex column and row, inner and outer radius in pixels of the curated picture, left and right angle in degrees.

    None where no sector was found. `fit` rounds the shorter side to whole pixels, up to half of one too many or too
    few: the middles are made to meet.
    """
    if area.geometry is None:
        return None
    scale = image_size / max(area.width, area.height)
    sides = zip((area.width, area.height), fitted_size(area.width, area.height, image_size))
    right, down = ((image_size - fitted) // 2 + (fitted - side * scale) / 2 for side, fitted in sides)
    sector = area.geometry.moved(*area.box[:2]).scaled(scale).moved(-right, -down)
    return [round(number, 3) for number in astuple(sector)]


def _mask(settings: Settings, job: Job, width: int, height: int) -> np.ndarray | None:
    """The mask as structures' numbers (height, width) uint8, or None when the table names none."""
    if not job.mask:
        return None
    return binarise(read_mask(find_file(settings.folder, job.mask), width, height), settings.mask_values)


def _fit_mask(mask: np.ndarray, image_size: int) -> np.ndarray:
    return fit(np.ascontiguousarray(mask), image_size, Resampling.NEAREST)


def _share_outside(mask: np.ndarray, scanned: np.ndarray) -> float:
    """Share of the mask's pixels that lie outside the scan area."""
    return float(1 - (mask[scanned] > 0).sum() / max(1, (mask > 0).sum())) if mask.any() else 0.0


def _preview(crop: np.ndarray) -> bytes:
    """A larger picture of what goes into the store, for the person who signs."""
    size = fitted_size(crop.shape[1], crop.shape[0], PREVIEW_SIDE)
    stream = io.BytesIO()
    Image.fromarray(crop).resize(size, Resampling.BILINEAR).save(stream, format="JPEG", quality=85)
    return stream.getvalue()
