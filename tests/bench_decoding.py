"""Benchmarks of decoding: milliseconds per 600 x 800 picture, beside the bare library call on the same bytes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ultrafm.seeds import spawn

HEIGHT, WIDTH, REPEATS = 600, 800, 15


def scan_picture(writing: str = "white") -> np.ndarray:
    """A convex scan of smooth speckle on black, (HEIGHT, WIDTH, 3) uint8, grey but for the writing above it."""
    generator = spawn(0, "bench decoding")
    coarse = Image.fromarray(generator.integers(20, 180, (HEIGHT // 6, WIDTH // 6), dtype=np.uint8))
    speckle = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius, angle = np.hypot(columns - WIDTH / 2, rows + 80), np.arctan2(columns - WIDTH / 2, rows + 80)
    picture = Image.fromarray(np.where((radius > 120) & (radius < 640) & (np.abs(angle) < 0.6), speckle, 0)).convert(
        "RGB"
    )
    ImageDraw.Draw(picture).text((10, 10), "Liver 2020-01-02 12:00 C5-1 60 dB", fill=writing)
    return np.asarray(picture)


def coded(picture: np.ndarray, kind: str) -> bytes:
    """The bytes of a picture file."""
    handle = io.BytesIO()
    Image.fromarray(picture).save(handle, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return handle.getvalue()


def write_cases(folder: Path) -> Iterator[tuple[str, Path, Callable[[], object]]]:
    """Name, file, and the bare call of a library that decodes the same bytes."""
    grey, white, yellow = scan_picture()[:, :, 0], scan_picture(), scan_picture("yellow")
    for name, kind, picture in (
        ("jpeg_grey", "JPEG", grey), ("jpeg_rgb_that_is_grey", "JPEG", white), ("jpeg_rgb", "JPEG", yellow),
        ("png_grey", "PNG", grey), ("png_rgb", "PNG", yellow),
    ):  # fmt: skip
        data = coded(picture, kind)
        (folder / name).write_bytes(data)
        yield name, folder / name, lambda data=data: Image.open(io.BytesIO(data)).load()
    yield from dicom_cases(folder, grey, yellow)


def dicom_cases(folder: Path, grey: np.ndarray, colour: np.ndarray) -> Iterator[tuple[str, Path, Callable[[], object]]]:
    """The same pictures in DICOM: plain, run-length coded, JPEG."""
    import pydicom
    from pydicom.uid import JPEGBaseline8Bit, RLELossless

    from tests.curation.made_dicom import made_dataset, recoded, save_dicom, save_frames

    plain = save_dicom(made_dataset(grey), folder / "plain.dcm")
    jpeg = save_frames(
        made_dataset(colour, "YBR_FULL_422"), folder / "jpeg.dcm", JPEGBaseline8Bit, [coded(colour, "JPEG")]
    )
    files = {"dicom_plain": plain, "dicom_rgb": save_dicom(made_dataset(colour, "RGB"), folder / "rgb.dcm")}
    files |= {"dicom_rle": recoded(plain, "RLELossless"), "dicom_jpeg": jpeg}
    files |= {
        "dicom_jpeg_lossless": recoded(plain, "JPEGLosslessProcess14_1"),
        "dicom_jpeg_2000": recoded(plain, "JPEG2000"),
    }
    assert pydicom.dcmread(files["dicom_rle"]).file_meta.TransferSyntaxUID == RLELossless
    for name, path in files.items():
        yield name, path, lambda path=path: pydicom.pixels.pixel_array(path, index=0)


def bench_decoding() -> dict:
    """Milliseconds to decode each kind of file and to report its metadata, and the ratio to the bare call."""
    from tests.bench import side_by_side
    from ultrafm.curation.identity.header import header_report
    from ultrafm.curation.reading.media import read_frames

    result = {}
    with tempfile.TemporaryDirectory() as place:
        for name, path, bare in write_cases(Path(place)):
            ours, theirs, ratio = side_by_side(lambda path=path: read_frames(path, [0]), bare, REPEATS)
            report, _again, _one = side_by_side(
                lambda path=path: header_report(path), lambda path=path: header_report(path), REPEATS
            )
            result[name] = {
                "milliseconds": 1000 * ours, "bare_milliseconds": 1000 * theirs, "ratio": ratio,
                "report_milliseconds": 1000 * report, "bytes": path.stat().st_size,
            }  # fmt: skip
    return result
