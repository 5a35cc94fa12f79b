"""Files that hold one frame or many: pictures, clips and DICOM. Only the frames that are asked for are kept.

What a file is, is read from its content; its extension counts only for a clip whose content does not tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from ultrafm.curation.reading.decode import MAX_PIXELS, Decoded, from_pillow, need_few_pixels, opened, read_start
from ultrafm.curation.reasons import Unusable
from ultrafm.manifests.file_kinds import CLIPS

if TYPE_CHECKING:
    from av.container import InputContainer

FIRST, LAST = 0.08, 0.92  # frames are taken between these shares of a clip, where the probe usually rests
DICOM, CLIP, PICTURE = "dicom", "clip", "picture"
PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
CLIP_STARTS = (b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75")  # Matroska, MPEG (2), ASF
CONTAINERS = (
    "mov,avi,matroska,mpeg,mpegvideo,mpegts,asf,m4v,h264,hevc"  # FFmpeg's names; no list that names other files
)
WHOLE_CLIP = "a clip that FFmpeg can read"


def kind_of(path: Path) -> str:
    """DICOM, CLIP or PICTURE, by the first bytes; by the extension where these say nothing. Raises Unusable."""
    start = read_start(path)
    if start[128:] == b"DICM":
        return DICOM
    riff = start[8:12] if start[:4] == b"RIFF" else b""
    if start.startswith(PICTURE_STARTS) or riff == b"WEBP":
        return PICTURE
    is_clip = start.startswith(CLIP_STARTS) or start[4:8] == b"ftyp" or riff == b"AVI "
    return CLIP if is_clip or path.suffix.lower() in CLIPS else PICTURE


def count_frames(path: Path) -> int:
    """How many frames a file holds. Raises Unusable for a file that cannot be read."""
    kind = kind_of(path)
    if kind == DICOM:
        from ultrafm.curation.reading.dicom import count_dicom_frames

        return count_dicom_frames(path)
    if kind == CLIP:
        return count_clip_frames(path)
    with opened(path) as picture:
        # the second picture of a camera's JPEG is a preview of the first, not a frame
        return 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)


def choose_frames(count: int, most: int) -> tuple[int, ...]:
    """At most `most` frame numbers out of `count`, evenly spaced between FIRST and LAST; all of them when that few."""
    if count <= most:
        return tuple(range(count))
    shares = np.linspace(FIRST, LAST, most) if most > 1 else np.array([0.5])
    return tuple(dict.fromkeys(int(share * (count - 1) + 0.5) for share in shares))


def read_frames(path: Path, numbers: Collection[int]) -> dict[int, Decoded]:
    """The frames of a file with these numbers, counted from 0; the file is opened and its header read once for all.

    Raises Unusable for a file or frame that cannot be decoded: the frames of one file are used all or not at all.
    """
    kind, wanted = kind_of(path), sorted(set(numbers))
    if kind == DICOM:
        from ultrafm.curation.reading.dicom import read_dicom_frames

        return read_dicom_frames(path, wanted)
    if kind == CLIP:
        with opened_clip(path) as clip:
            return clip_frames(clip, wanted)
    with opened(path) as picture:
        return {number: from_pillow(_at_frame(picture, number)) for number in wanted}


def _at_frame(picture: Image.Image, number: int) -> Image.Image:
    if number > 0 or picture.tell() != 0:
        try:
            picture.seek(number)
        except EOFError as error:
            raise Unusable("damaged file", f"no frame {number}", f"frames up to {number}") from error
    return picture


@contextmanager
def opened_clip(path: Path) -> Iterator[InputContainer]:
    """A clip as FFmpeg opens it; whatever goes wrong inside the block is Unusable, with the reason."""
    read_start(path, 0)  # tells what cannot be opened from what cannot be understood
    with path.open("rb") as handle, opened_stream(handle) as clip:
        yield clip


@contextmanager
def opened_stream(handle: BinaryIO) -> Iterator[InputContainer]:
    """The same for bytes that are open already.

    FFmpeg sees only these bytes and no name, in which it would take %d for a row of files; one thread, so that a
    picture does not depend on the number of cores.
    """
    import av

    nameless = SimpleNamespace(read=handle.read, seek=handle.seek, tell=handle.tell)
    try:
        with av.open(nameless, options={"format_whitelist": CONTAINERS}, metadata_errors="ignore") as clip:
            context = clip.streams.video[0].codec_context
            need_few_pixels(context.width, context.height)
            context.thread_count, context.options = 1, {"max_pixels": str(MAX_PIXELS)}  # it may grow on the way
            yield clip
    except Unusable:
        raise
    except IndexError as error:
        raise Unusable("damaged clip", "no picture in the file", WHOLE_CLIP) from error
    except Exception as error:  # broken bytes make PyAV raise more than FFmpeg's own errors
        found = getattr(error, "strerror", None) or type(error).__name__
        raise Unusable("damaged clip", found, WHOLE_CLIP) from error


def count_clip_frames(path: Path) -> int:
    """Frames of a clip, counted by its packets: what a container says of itself is often wrong."""
    with opened_clip(path) as clip:
        count = sum(packet.size > 0 for packet in clip.demux(video=0))
    if not count:
        raise Unusable("damaged clip", "no frame", "a clip with at least one frame")
    return count


def clip_frames(clip: InputContainer, numbers: Collection[int]) -> dict[int, Decoded]:
    """The frames of a clip with these numbers; frames build on each other, so it is decoded up to the last of them."""
    found: dict[int, Decoded] = {}
    last = max(numbers, default=-1)
    if last >= 0:
        for number, frame in enumerate(clip.decode(video=0)):
            if number in numbers:
                found[number] = from_pillow(Image.fromarray(frame.to_ndarray(format="rgb24")))
            if number >= last:
                break
    if missing := sorted(set(numbers) - set(found)):
        raise Unusable("damaged clip", f"no frame {missing[0]}", f"frames up to {last}")
    return found
