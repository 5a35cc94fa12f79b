"""One small sound file of every kind that is decoded, and ways of breaking it: for the fuzz tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from made_archives import speckle
from made_dicom import flow_picture, jpeg_bytes, made_dataset, made_region, recoded, save_dicom, save_frames
from PIL import Image
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

GDCM_NAMES = ("RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless")


def write_seeds(folder: Path) -> list[Path]:
    """Write all seeds; their names are unique without their extensions."""
    folder.mkdir(parents=True, exist_ok=True)
    return [*_stills(folder), *_animations(folder), *_clips(folder), *_dicoms(folder)]


def _stills(folder: Path) -> Iterator[Path]:
    grey, flow = Image.fromarray(speckle(0, 40, 56)), Image.fromarray(flow_picture(40, 56))
    deep = Image.fromarray(speckle(0, 40, 56).astype(np.uint16) * 200)
    how = [
        ("grey.png", grey, {}), ("flow.png", flow, {}), ("deep.png", deep, {}), ("grey.jpg", grey, {}),
        ("palette.png", flow.convert("P"), {}), ("alpha.png", flow.convert("RGBA"), {}),
        ("flow.jpg", flow, {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}), ("flow.bmp", flow, {}),
        ("deep.tiff", deep, {}), ("lossy.webp", flow, {}), ("lossless.webp", flow, {"lossless": True}),
        *((f"{name}.tiff", flow, {"compression": name}) for name in ("raw", "tiff_lzw", "packbits", "jpeg")),
    ]  # fmt: skip
    for name, picture, options in how:
        picture.save(folder / name, **options)
        yield folder / name


def _animations(folder: Path) -> Iterator[Path]:
    frames = [Image.fromarray(flow_picture(24, 32 + 0 * number)).rotate(number) for number in range(3)]
    for name in ("moving.gif", "moving.webp", "pages.tif", "moving.apng"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
        yield folder / name


def write_coloured_clip(path: Path, codec: str, count: int = 4) -> Path:
    """A clip of `count` small RGB frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(flow_picture(48, 64), 3 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _clips(folder: Path) -> Iterator[Path]:
    for name, codec in (
        ("h264.mp4", "libx264"),
        ("mpeg4.avi", "mpeg4"),
        ("mpeg2.mpg", "mpeg2video"),
        ("h264.mkv", "libx264"),
    ):
        yield write_coloured_clip(folder / name, codec)


def _dicoms(folder: Path) -> Iterator[Path]:
    made = made_dataset(speckle(1, 40, 56))
    made.SequenceOfUltrasoundRegions = [made_region(2, 2, 50, 36)]
    plain = save_dicom(made, folder / "plain.dcm")
    yield plain
    yield save_dicom(made, folder / "implicit.dcm", ImplicitVRLittleEndian)
    yield save_dicom(
        made_dataset(speckle(1, 40, 56).astype(np.uint16), bits=12), folder / "big.dcm", ExplicitVRBigEndian
    )
    colour = save_dicom(made_dataset(flow_picture(40, 56), "RGB"), folder / "colour.dcm")
    yield colour
    deep = save_dicom(made_dataset(speckle(1, 40, 56).astype(np.uint16) * 16, bits=12), folder / "deep.dcm")
    yield from (recoded(path, name) for name in GDCM_NAMES for path in (plain, colour, deep))
    frames = [jpeg_bytes(flow_picture(40, 56)), jpeg_bytes(flow_picture(40, 56)[::-1].copy())]
    loop = made_dataset(np.stack([flow_picture(40, 56)] * 2), "YBR_FULL_422")
    yield save_frames(loop, folder / "loop.dcm", JPEGBaseline8Bit, frames)
    video = write_coloured_clip(folder / "inner.mpg", "mpeg2video").read_bytes()
    made = made_dataset(np.zeros((4, 48, 64, 3), np.uint8), "YBR_FULL")
    yield save_frames(made, folder / "video.dcm", MPEG2MPML, [video + bytes(len(video) % 2)])


def broken(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """`data` with one to three faults: bytes flipped, cut off, a piece of `other` put in, a length field gone wild."""
    work = bytearray(data)
    for _ in range(int(generator.integers(1, 4))):
        kind, at = int(generator.integers(0, 5)), int(generator.integers(0, max(1, len(work))))
        near = int(generator.integers(0, min(600, max(1, len(work)))))  # where headers are
        if kind == 0:
            for place in generator.integers(0, max(1, len(work)), 1 + len(work) // 400):
                work[place : place + 1] = bytes([int(generator.integers(0, 256))])
        elif kind == 1:
            del work[at:]
        elif kind == 2:
            piece = int(generator.integers(0, len(other)))
            work[at : at + int(generator.integers(0, 64))] = other[piece : piece + int(generator.integers(1, 200))]
        elif kind == 3:
            length = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE)[
                int(generator.integers(0, 9))
            ]
            size = 4 if length > 0xFFFF else (1, 2, 4)[int(generator.integers(length > 0xFF, 3))]
            work[near : near + size] = length.to_bytes(size, ("little", "big")[int(generator.integers(0, 2))])
        else:
            work[near : near + 1] = bytes([int(generator.integers(0, 256))])
    return bytes(work)
