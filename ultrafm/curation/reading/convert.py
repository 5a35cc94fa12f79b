"""Public sets in other forms, turned into pictures after unpacking: NIfTI volumes, MATLAB files, outlines in JSON."""

from __future__ import annotations

import csv
import gzip
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ultrafm.curation.reading.decode import to_eight_bits
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import ArchiveSource, MatlabPictures, Renaming

VOLUMES = (".nii.gz", ".nii")
HEADER = 348  # bytes of a NIfTI-1 header (nifti.nimh.nih.gov, nifti1.h)
NUMBERS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}  # its code -> number type
MOST_BYTES = 4 * 2**30
BROKEN = (ValueError, OSError, EOFError, zlib.error, struct.error)


def convert_all(source: ArchiveSource, folder: Path) -> None:
    """Turn all files below `folder` that curation cannot read into pictures, in place.

    A NIfTI volume becomes a TIFF with a frame per slice; one that cannot be read keeps its bytes under that name and is
    quarantined later. Raises UltraFMError for a MATLAB file that is not as the manifest says.
    """
    folder = Path(folder)
    for path in sorted(path for path in folder.rglob("*") if path.name.lower().endswith(VOLUMES)):
        convert_volume(path)
    if source.matlab:
        for path in sorted(folder.rglob("*.mat")):
            write_matlab(path, source.matlab, folder / source.path)
    if source.mask_path and source.mask_path.becomes.endswith(".json"):
        for path in sorted((folder / source.path).rglob("*")):
            draw_outline(path, source.mask_path, folder / source.path)


def drawn_masks(mask_path: Renaming | None) -> Renaming | None:
    """Where masks lie once outlines in JSON were drawn: beside the outlines, as PNG."""
    if mask_path is None or not mask_path.becomes.endswith(".json"):
        return mask_path
    return Renaming(pattern=mask_path.pattern, becomes=f"{mask_path.becomes}.png")


def convert_volume(path: Path) -> Path:
    """Replace a NIfTI volume by a TIFF of the same name with one frame per slice; its path."""
    ending = next(ending for ending in VOLUMES if path.name.lower().endswith(ending))
    target = path.with_name(f"{path.name[: -len(ending)]}.tif")
    try:
        frames = [Image.fromarray(picture) for picture in volume_slices(read_nifti(path))]
        frames[0].save(target, save_all=True, append_images=frames[1:], compression="tiff_lzw")
        path.unlink()
    except BROKEN:
        path.replace(target)
    return target


def read_nifti(path: Path) -> np.ndarray:
    """The numbers of a NIfTI-1 volume (x, y, slices). Raises ValueError or OSError for what is none, or cut."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as handle:
        header = handle.read(HEADER)
        order = "<" if header[:4] == struct.pack("<i", HEADER) else ">"
        if len(header) < HEADER or struct.unpack(f"{order}i", header[:4])[0] != HEADER or header[344:347] != b"n+1":
            raise ValueError("no NIfTI-1 file")
        count, *sizes = struct.unpack(f"{order}8h", header[40:56])
        (code,) = struct.unpack(f"{order}h", header[70:72])
        (offset,) = struct.unpack(f"{order}f", header[108:112])
        shape = tuple(sizes[:count])
        if not (1 < count <= 7 and code in NUMBERS and min(shape) > 0 and HEADER <= offset < 2**20):
            raise ValueError("a NIfTI file of another kind")
        kind = np.dtype(f"{order}{NUMBERS[code]}")
        wanted = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if wanted > MOST_BYTES:
            raise ValueError("a NIfTI file that is too large")
        handle.read(int(offset) - HEADER)
        data = handle.read(wanted)
    if len(data) < wanted:
        raise ValueError("a NIfTI file that was cut short")
    return np.frombuffer(data, kind).reshape(shape, order="F").reshape(*shape[:2], -1, order="F")


def volume_slices(volume: np.ndarray) -> Iterator[np.ndarray]:
    """The slices (y, x) uint8 of a volume (x, y, slices), whose values are scaled to 0..255 together."""
    low, high = float(np.nanmin(volume)), float(np.nanmax(volume))
    whole = np.issubdtype(volume.dtype, np.integer) and low >= 0 and high <= 255
    factor = 255 / (high - low) if high > low else 0.0
    for number in range(volume.shape[2]):
        flat = volume[:, :, number].T
        scaled = flat if whole else np.round((np.nan_to_num(flat.astype(np.float64), nan=low) - low) * factor)
        yield np.ascontiguousarray(scaled.astype(np.uint8))


def write_matlab(path: Path, layout: MatlabPictures, out: Path) -> None:
    """Write the pictures of a MATLAB file (up to version 7.2) as PNG below `out`, and metadata.csv with a row for each.

    Raises UltraFMError for a file that cannot be read or has another layout.
    """
    from scipy.io import loadmat

    try:
        records = np.ravel(loadmat(path, variable_names=[layout.variable])[layout.variable])
        rows = [row for record in records for row in _matlab_rows(record, layout, out)]
    except Exception as error:  # the reader raises almost anything for broken bytes
        found = f"a file that is not so ({str(error) or type(error).__name__})"
        raise UltraFMError(
            path.name, found, f"records in {layout.variable!r}", "correct matlab in the manifest"
        ) from error
    with (out / "metadata.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerows([("file", "patient", "label"), *rows])


def _matlab_rows(record: Any, layout: MatlabPictures, out: Path) -> Iterator[tuple[str, str, str]]:
    patient = str(np.ravel(record[layout.patient])[0])
    label = str(np.ravel(record[layout.label])[0]) if layout.label else ""
    pictures = np.asarray(record[layout.images])
    for number, picture in enumerate(pictures.reshape(-1, *pictures.shape[-2:])):
        name = f"pictures/{''.join(letter if letter.isalnum() else '_' for letter in patient)}_{number:04d}.png"
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(to_eight_bits(picture)).save(out / name)
        yield name, patient, label


def draw_outline(path: Path, mask_path: Renaming, folder: Path) -> None:
    """Draw the outline that belongs to a picture, if there is one, as a mask of its size beside the outline.

    An outline is a list of points [x, y], or a list of such lists. One that is not is left out, and so is its mask.
    """
    name, count = re.subn(mask_path.pattern, mask_path.becomes, path.relative_to(folder).as_posix())
    outline = folder / name
    if not (count and outline.is_file() and outline.resolve().is_relative_to(folder.resolve())):
        return
    try:
        points = json.loads(outline.read_text(encoding="utf-8-sig"))
        shapes = points if points and isinstance(points[0][0], list) else [points]
        with Image.open(path) as picture:
            mask = Image.new("L", picture.size)
        for shape in shapes:
            ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in shape], fill=255)
        mask.save(outline.with_name(f"{outline.name}.png"))
    except (*BROKEN, TypeError, KeyError, IndexError, RecursionError, Image.DecompressionBombError):
        return
