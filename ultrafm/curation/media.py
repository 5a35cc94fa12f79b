"""Files that hold one frame or many: pictures, clips and DICOM. Only the frames that are asked for are kept.

What a file is, is read from its content where it tells; a clip is known by its extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ultrafm.curation.decode import Decoded, from_pillow, opened, read_picture
from ultrafm.curation.reasons import Unusable

CLIPS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm")
FIRST, LAST = 0.08, 0.92  # frames are taken between these shares of a clip, where the probe usually rests


def is_dicom(path: Path) -> bool:
    """Does the file say of itself that it is DICOM (PS3.10: DICM after 128 bytes)?"""
    with path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def count_frames(path: Path) -> int:
    """How many frames a file holds. Raises Unusable for a file that cannot be read."""
    if is_dicom(path):
        from ultrafm.curation.dicom import count_dicom_frames

        return count_dicom_frames(path)
    if path.suffix.lower() in CLIPS:
        return count_clip_frames(path)
    with opened(path) as picture:
        return getattr(picture, "n_frames", 1)


def choose_frames(count: int, most: int) -> tuple[int, ...]:
    """At most `most` frame numbers out of `count`, evenly spaced between FIRST and LAST; all of them when that few."""
    if count <= most:
        return tuple(range(count))
    shares = np.linspace(FIRST, LAST, most) if most > 1 else np.array([0.5])
    return tuple(dict.fromkeys(int(share * (count - 1) + 0.5) for share in shares))


def read_frame(path: Path, number: int, wanted: Sequence[int] = ()) -> Decoded:
    """Frame `number` of a file; `wanted` are all frames of it that will be asked for, so that a clip is read once.

    Raises Unusable for a file or frame that cannot be decoded.
    """
    if is_dicom(path):
        from ultrafm.curation.dicom import read_dicom_frame

        return read_dicom_frame(path, number)
    if path.suffix.lower() in CLIPS:
        return clip_frames(path, tuple(wanted) or (number,))[number]
    if number == 0:
        return read_picture(path)
    with opened(path) as picture:
        picture.seek(number)
        return from_pillow(picture.copy())


def count_clip_frames(path: Path) -> int:
    """Frames of a clip, counted by its packets: what a container says of itself is often wrong."""
    import av

    try:
        with av.open(str(path)) as container:
            count = sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.error.FFmpegError, IndexError) as error:
        raise Unusable("damaged clip", str(error), "a clip that FFmpeg can read") from error
    if not count:
        raise Unusable("damaged clip", "no frame", "a clip with at least one frame")
    return count


@lru_cache(maxsize=1)
def clip_frames(path: Path, numbers: tuple[int, ...]) -> dict[int, Decoded]:
    """The frames of a clip with these numbers; frames build on each other, so it is decoded up to the last of them."""
    import av

    found: dict[int, Decoded] = {}
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in numbers:
                    found[number] = from_pillow(Image.fromarray(frame.to_ndarray(format="rgb24")))
                if number >= max(numbers):
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise Unusable("damaged clip", str(error), "a clip that FFmpeg can read") from error
    if missing := sorted(set(numbers) - set(found)):
        raise Unusable("damaged clip", f"no frame {missing[0]}", f"frames up to {max(numbers)}")
    return found
