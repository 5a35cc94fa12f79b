"""From the pixel data element of a DICOM file to the stored values of one frame, whatever the compression (PS3.5).

pydicom finds the frame and decodes run lengths and plain values. Pillow decodes JPEG and JPEG 2000, and judges the
colours of a JPEG by its markers, as every viewer of pictures does; FFmpeg decodes lossless JPEG, for GDCM crashes on
damaged ones; GDCM decodes JPEG-LS and JPEG 2000 of more than 8 bits.
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

from ultrafm.curation.reading.decode import MAX_PIXELS
from ultrafm.curation.reasons import Unusable

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")  # baseline, extended
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))  # MPEG-2, H.264, HEVC, and in fragments
RUN_LENGTHS = "1.2.840.10008.1.2.5"
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
    need_sound_frame(frame, source.syntax, options)
    if source.syntax in JPEG:
        return decode_jpeg(frame, options["photometric_interpretation"])
    if source.syntax in JPEG_LOSSLESS:
        return decode_lossless_jpeg(frame), options["photometric_interpretation"]
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


def decode_lossless_jpeg(frame: bytes) -> np.ndarray:
    """The stored values of one lossless JPEG frame, grey of 8 to 16 bits or three channels of 8, in their order."""
    import av

    codec = av.CodecContext.create("mjpeg", "r")
    codec.thread_count, codec.options = 1, {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    (decoded,) = [*codec.decode(av.Packet(frame)), *codec.decode(None)]
    if decoded.is_corrupt:
        raise ValueError("damaged values")
    values = decoded.to_ndarray()
    if decoded.format.name == "bgr24":  # FFmpeg's name for channels that it does not convert
        return values[:, :, ::-1]
    if decoded.format.name in ("yuv444p", "yuvj444p"):
        return np.moveaxis(values, 0, 2)
    if decoded.format.name not in ("gray", "gray16le"):
        raise Unusable(UNDECODABLE, "a lossless JPEG of an unusual kind", "grey, or three channels of 8 bits")
    return values


@dataclass(frozen=True)
class FrameHeader:
    """What a compressed frame says of itself: size in pixels, bits of a value, sampling factors of each channel."""

    height: int
    width: int
    bits: int
    sampling: tuple[int, ...]


def need_sound_frame(frame: bytes, syntax: str, options: dict[str, Any]) -> None:
    """Raise Unusable when a compressed frame is not what the header of the file says.

    Some decoders trust the header of the file with their memory, so a frame of other sizes may end the process.
    """
    if syntax == RUN_LENGTHS:
        return
    found = jpeg_2000_header(frame) if syntax in JPEG_2000 else jpeg_header(frame)
    if found is None:
        raise Unusable(UNDECODABLE, "a frame without a header", KNOWN)
    rows, columns = options["rows"], options["columns"]
    if (found.height, found.width) != (rows, columns):
        seen = f"a frame of {found.width} x {found.height} pixels"
        raise Unusable(UNDECODABLE, seen, f"{columns} x {rows} pixels, as the header says")
    if len(found.sampling) != options["samples_per_pixel"] or not 2 <= found.bits <= options["bits_allocated"]:
        seen = f"a frame of {len(found.sampling)} channels of {found.bits} bits"
        raise Unusable(UNDECODABLE, seen, "channels and bits as the header says")
    if syntax not in JPEG and set(found.sampling) != {0x11}:
        raise Unusable(UNDECODABLE, "channels of different size", "channels of one size")


def jpeg_header(frame: bytes) -> FrameHeader | None:
    """The frame header of a JPEG or JPEG-LS (ITU-T T.81, B.2.2); None when there is none."""
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, height, width, channels = struct.unpack(">BHHB", frame[at + 4 : at + 10])
            return FrameHeader(height, width, bits, tuple(frame[at + 11 : at + 11 + 3 * channels : 3]))
        else:
            at += 2 + length
    return None


def jpeg_2000_header(frame: bytes) -> FrameHeader | None:
    """The size of a JPEG 2000 code stream (ITU-T T.800, A.5.1); None when it does not start with one."""
    at = frame.find(b"\xff\x4f\xff\x51", 0, 512)  # within the boxes of a JP2 file, should one be there
    if at < 0 or len(frame) < at + 42:
        return None
    width, height, left, top = struct.unpack(">IIII", frame[at + 8 : at + 24])
    channels = int.from_bytes(frame[at + 40 : at + 42], "big")
    parts = frame[at + 42 : at + 42 + 3 * channels]
    bits = max((part & 0x7F for part in parts[::3]), default=0) + 1
    return FrameHeader(height - top, width - left, bits, tuple(x << 4 | y for x, y in zip(parts[1::3], parts[2::3])))


def video_stream(source: PixelSource) -> io.BytesIO:
    """The video in the pixel data of a DICOM file (PS3.5, 8.2.5 to 8.2.9): one stream, in one fragment or many."""
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    with unusable_when_damaged(source):
        source.handle.seek(source.start)
        parse_basic_offsets(source.handle)
        return io.BytesIO(b"".join(generate_fragments(source.handle)))
