"""From the pixel data element of a DICOM file to the stored values of one frame, whatever the compression (PS3.5).

pydicom finds the frame and decodes run lengths and plain values; GDCM decodes lossless JPEG and JPEG-LS; Pillow decodes
JPEG and JPEG 2000, and judges the colours of a JPEG by its markers, as every viewer of pictures does.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from ultrafm.curation.reasons import Unusable

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")  # baseline, extended
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))  # MPEG-2, H.264, HEVC, and in fragments
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDECODABLE = "pixels that cannot be decoded"
KNOWN = "pixel data of a known compression"
NEEDED = (
    "rows", "columns", "samples_per_pixel", "photometric_interpretation", "bits_allocated", "bits_stored",
    "pixel_representation",
)  # fmt: skip
PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True)
class PixelSource:
    """Where the pixel data of an open file starts, and how they are described (pydicom's decoding options)."""

    handle: BinaryIO
    start: int
    options: dict[str, Any]

    @property
    def syntax(self) -> UID:
        """The transfer syntax: byte order and compression."""
        return self.options["transfer_syntax_uid"]


def find_pixels(handle: BinaryIO, header: Dataset) -> PixelSource:
    """The pixel data after a header that has just been read from `handle`. Raises Unusable when there are none."""
    from pydicom.pixels import as_pixel_options

    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise Unusable(UNDECODABLE, "an unknown compression", KNOWN)
    order = "<" if syntax.is_little_endian else ">"
    at = handle.tell()
    start = handle.read(8)
    if len(start) < 8 or struct.unpack(f"{order}HH", start[:4]) != (PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF):
        raise Unusable("DICOM without pixels", "no picture in the file", "a DICOM file with pixel data")
    options = as_pixel_options(header, transfer_syntax_uid=syntax, pixel_keyword="PixelData")
    if missing := [name for name in NEEDED if options.get(name) is None]:
        raise Unusable("damaged DICOM", f"no {missing[0].replace('_', ' ')}", "a header that describes its pixels")
    if not syntax.is_implicit_VR:
        options["pixel_vr"] = start[4:6].decode("ascii")  # decides the order of bytes in big-endian files
    return PixelSource(handle, at + (8 if syntax.is_implicit_VR else 12), options)


def decode_frame(source: PixelSource, number: int) -> tuple[np.ndarray, str]:
    """Stored values of one frame, (H, W) or (H, W, 3), and what they mean ("MONOCHROME2", "RGB", "YBR_FULL", ...).

    Only this frame is decompressed. Raises whatever the decoders raise, so call it within `unusable_when_damaged`.
    """
    source.handle.seek(source.start)
    return _decode_packed(source, number) if source.syntax.is_encapsulated else _decode_plain(source, number)


@contextmanager
def unusable_when_damaged(source: PixelSource) -> Iterator[None]:
    """Turn all that decoders raise into Unusable, in words of our own: theirs may quote the header."""
    try:
        yield
    except Unusable:
        raise
    except NotImplementedError as error:
        raise Unusable(UNDECODABLE, "an unknown compression", KNOWN) from error
    except Exception as error:  # decoders raise almost anything
        found = f"{source.syntax.name} data that are cut off or damaged ({type(error).__name__})"
        raise Unusable(UNDECODABLE, found, KNOWN) from error


def _decode_plain(source: PixelSource, number: int) -> tuple[np.ndarray, str]:
    decoder = _decoder(source)
    values, described = decoder.as_array(source.handle, index=number, raw=True, **source.options)
    return values, str(described["photometric_interpretation"])


def _decode_packed(source: PixelSource, number: int) -> tuple[np.ndarray, str]:
    from pydicom.encaps import encapsulate, get_frame

    options = dict(source.options)
    count, offsets = options.pop("number_of_frames"), options.pop("extended_offsets", None)
    frame = get_frame(source.handle, number, number_of_frames=count, extended_offsets=offsets)
    need_size(frame, options["rows"], options["columns"])
    if source.syntax in JPEG:
        return decode_jpeg(frame, options["photometric_interpretation"])
    plugin = "pillow" if source.syntax in JPEG_2000 and options["bits_stored"] <= 8 else ""
    values, described = _decoder(source).as_array(
        encapsulate([frame]), index=0, raw=True, decoding_plugin=plugin, number_of_frames=1, **options
    )
    return values, str(described["photometric_interpretation"])


def _decoder(source: PixelSource) -> Decoder:
    from pydicom.pixels import get_decoder

    decoder = get_decoder(source.syntax)
    if not decoder.is_available:
        raise Unusable(UNDECODABLE, f"{source.syntax.name}, which is not supported here", KNOWN)
    return decoder


def decode_jpeg(frame: bytes, interpretation: str) -> tuple[np.ndarray, str]:
    """One JPEG frame of 8 bits, grey or RGB.

    Without a marker of its colours (JFIF or Adobe) the header counts when it says RGB; else three channels are
    luminance and chrominance.
    """
    with Image.open(io.BytesIO(frame), formats=("JPEG",)) as picture:
        if interpretation == "RGB" and not {"jfif", "adobe"} & set(picture.info):
            picture.draft("YCbCr", picture.size)  # Pillow's way of saying: leave the channels as they are
        if picture.mode == "L":
            return np.asarray(picture), interpretation
        values = np.asarray(picture if picture.mode in ("RGB", "YCbCr") else picture.convert("RGB"))
    return values, "RGB"


def need_size(frame: bytes, rows: int, columns: int) -> None:
    """Raise Unusable when a compressed frame says another size than the header, before memory is taken for it."""
    size = jpeg_size(frame) if frame[:2] == b"\xff\xd8" else jpeg_2000_size(frame)
    if size not in (None, (rows, columns)):
        found = f"a frame of {size[1]} x {size[0]} pixels"
        raise Unusable(UNDECODABLE, found, f"{columns} x {rows} pixels, as the header says")


def jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Height and width in the frame header of a JPEG or JPEG-LS (ITU-T T.81, B.2.2); None when there is none."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack(">HH", frame[at + 5 : at + 9])
        else:
            at += 2 + length
    return None


def jpeg_2000_size(frame: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG 2000 code stream (ITU-T T.800, A.5.1); None when it does not start with them."""
    at = frame.find(b"\xff\x4f\xff\x51", 0, 512)  # within the boxes of a JP2 file, should one be there
    if at < 0 or len(frame) < at + 24:
        return None
    width, height, left, top = struct.unpack(">IIII", frame[at + 8 : at + 24])
    return height - top, width - left


def video_stream(source: PixelSource) -> io.BytesIO:
    """The video in the pixel data of a DICOM file (PS3.5, 8.2.5 to 8.2.9): one stream, in one fragment or many."""
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    with unusable_when_damaged(source):
        source.handle.seek(source.start)
        parse_basic_offsets(source.handle)
        return io.BytesIO(b"".join(generate_fragments(source.handle)))
