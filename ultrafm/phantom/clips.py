"""A simulated sweep as a clip, as scanners export it: motion JPEG in an AVI file."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

FRAMES_PER_SECOND = 10
QUALITY = 2  # of 1 (best) to 31


def encode_clip(frames: Sequence[Image.Image]) -> bytes:
    """The frames, all of one size, as a clip; the same frames always give the same bytes."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="avi", options={"fflags": "+bitexact"}) as container:
        track = container.add_stream("mjpeg", rate=FRAMES_PER_SECOND)
        track.width, track.height = frames[0].size
        track.pix_fmt = "yuvj420p"
        track.options = {"qmin": str(QUALITY), "qmax": str(QUALITY), "flags": "+bitexact", "threads": "1"}
        for frame in frames:
            container.mux(track.encode(av.VideoFrame.from_image(frame.convert("RGB"))))
        container.mux(track.encode(None))
    return stream.getvalue()
