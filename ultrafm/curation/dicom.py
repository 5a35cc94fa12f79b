"""Ultrasound in DICOM: single and multi-frame, whatever the compression, with the physical size of a pixel.

Only pixels, the description of the ultrasound regions and what decoding needs are read; nothing else of the header
goes on (PS3.15, Annex E: what is not kept cannot identify).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ultrafm.curation.decode import Decoded, from_pillow, to_eight_bits
from ultrafm.curation.reasons import Unusable

if TYPE_CHECKING:
    from pydicom import Dataset

ULTRASOUND = ("US", "IVUS")
TWO_DIMENSIONAL, CENTIMETRES = 1, 3  # PS3.3, C.8.5.5: Region Spatial Format, Physical Units


def read_header(path: Path) -> Dataset:
    """The header of a DICOM file. Raises Unusable when it cannot be read or is no ultrasound with pixels."""
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except Exception as error:  # broken bytes make the parser raise almost anything
        raise Unusable("damaged DICOM", str(error) or type(error).__name__, "a whole DICOM file") from error
    modality = str(header.get("Modality", "")) or "no modality"
    if modality not in ULTRASOUND:
        raise Unusable("another modality", modality, f"ultrasound ({' or '.join(ULTRASOUND)})")
    if not header.get("Rows") or not header.get("Columns"):
        raise Unusable("DICOM without pixels", "no picture in the file", "a DICOM file with pixel data")
    return header


def count_dicom_frames(path: Path) -> int:
    """How many frames a DICOM file holds."""
    return int(read_header(path).get("NumberOfFrames") or 1)


def read_dicom_frame(path: Path, number: int) -> Decoded:
    """One frame as grey values; black outside the two-dimensional ultrasound regions, where the header names them.

    Raises Unusable for a file whose pixels cannot be decoded.
    """
    header = read_header(path)
    pixels = decode_pixels(path, number)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_palette(header, pixels)
    if pixels.ndim == 3:
        decoded = from_pillow(Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8))))
    else:
        grey = to_eight_bits(pixels, int(header.get("BitsStored", 8)))
        decoded = Decoded(255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey, False)
    regions = flat_regions(header)
    return Decoded(only_inside(decoded.grey, regions), decoded.colour, spacing_of(regions))


def decode_pixels(path: Path, number: int) -> np.ndarray:
    """The stored values of one frame, (H, W) or (H, W, 3); only this frame is decompressed."""
    from pydicom.pixels import pixel_array

    try:
        return pixel_array(path, index=number)
    except Exception as error:  # decoders raise almost anything
        kind = "DICOM without pixels" if "Pixel Data" in str(error) else "pixels that cannot be decoded"
        raise Unusable(kind, str(error).splitlines()[0][:200], "pixel data of a known compression") from error


def apply_palette(header: Dataset, pixels: np.ndarray) -> np.ndarray:
    """Palette numbers as colours, 8 bits each."""
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(pixels, header)
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


def flat_regions(header: Dataset) -> list[Dataset]:
    """The header's regions that show tissue in two dimensions; not traces, spectra and scales."""
    regions = header.get("SequenceOfUltrasoundRegions") or []
    return [region for region in regions if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL]


def only_inside(grey: np.ndarray, regions: list[Dataset]) -> np.ndarray:
    """The picture, black outside the regions; unchanged when there are none."""
    if not regions:
        return grey
    kept = np.zeros_like(grey)
    for region in regions:
        rows = slice(int(region.RegionLocationMinY0), int(region.RegionLocationMaxY1) + 1)
        columns = slice(int(region.RegionLocationMinX0), int(region.RegionLocationMaxX1) + 1)
        kept[rows, columns] = grey[rows, columns]
    return kept


def spacing_of(regions: list[Dataset]) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres; None unless all regions state the same in centimetres."""
    found = set()
    for region in regions:
        units = (region.get("PhysicalUnitsYDirection"), region.get("PhysicalUnitsXDirection"))
        if units != (CENTIMETRES, CENTIMETRES):
            return None
        found.add((10 * abs(float(region.PhysicalDeltaY)), 10 * abs(float(region.PhysicalDeltaX))))
    return found.pop() if len(found) == 1 and all(min(found)) else None
