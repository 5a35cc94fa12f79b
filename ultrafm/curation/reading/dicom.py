"""Ultrasound in DICOM: single and multi-frame, whatever the compression, with the physical size of a pixel.

Only what `ultrafm.curation.identity.header.KEPT` lists is read; nothing else of the header goes on (PS3.15, Annex E:
what is not kept cannot identify). Overlay planes are not in that list, so nothing is burnt in.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from ultrafm.curation.identity.header import KEPT
from ultrafm.curation.reading.codestreams import (
    DEFLATED,
    KNOWN,
    UNDECODABLE,
    VIDEO,
    PixelSource,
    decode_frame,
    find_pixels,
    unusable_when_damaged,
    video_stream,
)
from ultrafm.curation.reading.decode import Decoded, from_pillow, need_few_pixels, read_start, to_eight_bits
from ultrafm.curation.reasons import Unusable

if TYPE_CHECKING:
    from pydicom import Dataset

ULTRASOUND = ("US", "IVUS")
TISSUE_OR_FLOW, TRACES, CENTIMETRES = (1,), (2, 3), 3  # PS3.3, C.8.5.5: Region Spatial Format, Physical Units
WHOLE_FILE = "a whole DICOM file"


@contextmanager
def opened_dicom(path: Path) -> Iterator[tuple[BinaryIO, Dataset]]:
    """A DICOM file open after its header. Raises Unusable when it cannot be read or is no ultrasound with pixels.

    Nothing is printed meanwhile: pydicom's warnings quote values of the header, which may name a patient.
    """
    read_start(path, 0)  # tells what cannot be opened from what cannot be understood
    with silenced(), path.open("rb") as handle:
        header = read_header(handle)
        with unusable_header():
            need_ultrasound(header)
        yield handle, header


@contextmanager
def silenced() -> Iterator[None]:
    """No warning and no log line of pydicom and GDCM."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            silence_gdcm()
            yield
    finally:
        logger.setLevel(level)


def silence_gdcm() -> None:
    """GDCM writes to the console unless it is told not to, once."""
    import gdcm

    for off in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
        off()


def read_header(handle: BinaryIO) -> Dataset:
    """The kept part of a header; `handle` is left where the pixel data start."""
    import pydicom

    with unusable_header():
        if DEFLATED.encode() in handle.read(1024):  # inflating takes memory without a limit
            raise Unusable(UNDECODABLE, "a deflated file", KNOWN)
        handle.seek(0)
        return pydicom.dcmread(handle, stop_before_pixels=True, specific_tags=list(KEPT))


def need_ultrasound(header: Dataset) -> None:
    """Raise Unusable unless the header describes ultrasound pictures of a reasonable size."""
    modality = str(header.get("Modality") or "")
    if modality not in ULTRASOUND:
        is_word = modality.isalnum() and len(modality) <= 16  # and not a name that was put there
        found = modality if is_word else "another word" if modality else "no modality"
        raise Unusable("another modality", found, f"ultrasound ({' or '.join(ULTRASOUND)})")
    if not header.get("Rows") or not header.get("Columns"):
        raise Unusable("DICOM without pixels", "no picture in the file", "a DICOM file with pixel data")
    need_few_pixels(int(header.Columns), int(header.Rows))


def count_dicom_frames(path: Path) -> int:
    """How many frames a DICOM file says that it holds."""
    with opened_dicom(path) as (_handle, header), unusable_header():
        return max(1, int(header.get("NumberOfFrames") or 1))


def read_dicom_frames(path: Path, numbers: Collection[int]) -> dict[int, Decoded]:
    """Frames as grey values; black outside the ultrasound regions, where the header names them.

    The header is read once and only these frames are decompressed. Raises Unusable for a file whose pixels cannot be
    decoded.
    """
    with opened_dicom(path) as (handle, header):
        with unusable_header():
            source, palette = find_pixels(handle, header), read_palette(header)
            boxes, spacing = region_boxes(header), spacing_of(header)
        frames = read_video(source, numbers) if source.syntax in VIDEO else read_stills(source, palette, numbers)
    return {number: replace(only_inside(frame, boxes), spacing_mm=spacing) for number, frame in frames.items()}


@contextmanager
def unusable_header() -> Iterator[None]:
    """Turn all that pydicom raises over a header into Unusable, by the kind of error; its words may quote a value."""
    try:
        yield
    except Unusable:
        raise
    except Exception as error:  # broken bytes make the parser raise almost anything
        raise Unusable("damaged DICOM", f"a header with an error ({type(error).__name__})", WHOLE_FILE) from error


def read_video(source: PixelSource, numbers: Collection[int]) -> dict[int, Decoded]:
    """Frames of an MPEG stream inside a DICOM file."""
    from ultrafm.curation.reading.media import clip_frames, opened_stream

    with opened_stream(video_stream(source)) as clip:
        return clip_frames(clip, numbers)


def read_stills(source: PixelSource, palette: np.ndarray | None, numbers: Collection[int]) -> dict[int, Decoded]:
    """Frames that are stored one by one."""
    with unusable_when_damaged(source):
        bits = int(source.options["bits_stored"])
        return {number: shown(*decode_frame(source, number), bits, palette) for number in numbers}


def shown(values: np.ndarray, meaning: str, bits: int, palette: np.ndarray | None) -> Decoded:
    """Stored values (H, W) or (H, W, 3) as a picture; `meaning`: photometric interpretation (PS3.3, C.7.6.3.1.2)."""
    if palette is not None and values.ndim == 2:
        return from_pillow(Image.fromarray(palette[np.clip(values, 0, len(palette) - 1)]))
    if values.ndim == 2 and meaning.startswith("MONOCHROME"):
        grey = to_eight_bits(values, bits)
        return Decoded(255 - grey if meaning == "MONOCHROME1" else grey, False)
    mode = {"RGB": "RGB", "YBR_FULL": "YCbCr", "YBR_FULL_422": "YCbCr"}.get(meaning)
    if mode is None or values.ndim != 3 or values.shape[2] != 3:
        raise Unusable(UNDECODABLE, "colours of an unknown kind", "grey, RGB, YBR or palette colour")
    eight = np.ascontiguousarray(values if values.dtype == np.uint8 else to_eight_bits(values, bits))
    return from_pillow(Image.frombuffer(mode, eight.shape[1::-1], eight, "raw", mode, 0, 1))


def read_palette(header: Dataset) -> np.ndarray | None:
    """The colours (N, 3) uint8 of the stored values 0 to N - 1 (PS3.3, C.7.6.3.1.5 and 6); None without a palette."""
    from pydicom.pixels import apply_color_lut

    if header.get("PhotometricInterpretation") != "PALETTE COLOR":
        return None
    bits = int(header.BitsAllocated)
    numbers = np.arange(2 ** min(bits, 16), dtype=np.uint8 if bits <= 8 else np.uint16)
    colours = apply_color_lut(numbers[None, :], header)[0]
    # some devices put 8-bit colours into 16-bit entries without scaling them
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def shown_regions(header: Dataset) -> list[Dataset]:
    """The header's regions that show tissue or flow in two dimensions; without any, those of M-mode and spectra."""
    regions = header.get("SequenceOfUltrasoundRegions") or []
    by_format = lambda wanted: [one for one in regions if one.get("RegionSpatialFormat") in wanted]  # noqa: E731
    return by_format(TISSUE_OR_FLOW) or by_format(TRACES)


def region_box(header: Dataset, region: Dataset) -> tuple[slice, slice]:
    """Rows and columns of a region, cut to the picture."""
    rows, columns = int(header.Rows), int(header.Columns)
    top, bottom = int(region.RegionLocationMinY0), int(region.RegionLocationMaxY1) + 1
    left, right = int(region.RegionLocationMinX0), int(region.RegionLocationMaxX1) + 1
    cut = lambda value, most: min(max(value, 0), most)  # noqa: E731
    return slice(cut(top, rows), cut(bottom, rows)), slice(cut(left, columns), cut(right, columns))


def region_boxes(header: Dataset) -> list[tuple[slice, slice]]:
    """The boxes of all shown regions."""
    return [region_box(header, region) for region in shown_regions(header)]


def only_inside(decoded: Decoded, boxes: list[tuple[slice, slice]]) -> Decoded:
    """The picture, black outside the boxes, and its colour judged inside them; unchanged when there are none."""
    if not boxes:
        return decoded
    whole = decoded.grey if decoded.rgb is None else decoded.rgb
    kept = np.zeros_like(whole)
    for box in boxes:
        kept[box] = whole[box]
    return Decoded(kept, False) if decoded.rgb is None else from_pillow(Image.fromarray(kept))


def spacing_of(header: Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres, of the shown region that takes most of the picture.

    None when it does not state centimetres, or when two that take equally much state different sizes.
    """
    sized = [(_area(region_box(header, region)), _spacing(region)) for region in shown_regions(header)]
    largest = max((area for area, _spacing_mm in sized), default=0)
    found = {spacing for area, spacing in sized if area == largest > 0}
    return found.pop() if len(found) == 1 else None


def _area(box: tuple[slice, slice]) -> int:
    rows, columns = box
    return max(0, rows.stop - rows.start) * max(0, columns.stop - columns.start)


def _spacing(region: Dataset) -> tuple[float, float] | None:
    units = (region.get("PhysicalUnitsYDirection"), region.get("PhysicalUnitsXDirection"))
    if units != (CENTIMETRES, CENTIMETRES):
        return None
    spacing = (10 * abs(float(region.PhysicalDeltaY)), 10 * abs(float(region.PhysicalDeltaX)))
    return spacing if all(np.isfinite(spacing)) and all(spacing) else None
