"""Benchmark of finding text and of measuring quality, beside labelling connected areas once."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from bench import REPOSITORY, side_by_side

from ultrafm.curation.identity.ink import bright_spots
from ultrafm.curation.identity.text import black_out, find_text
from ultrafm.curation.quality import measure

HEIGHT, WIDTH = 600, 800


def bench_text() -> dict:
    """Seconds to find text, to black it out and to measure quality in one picture of 600 x 800, with and without words.

    Beside it: one call of OpenCV that labels and describes the connected bright areas of the same picture, which is
    the floor of every method that looks at letters as areas.
    """
    sys.path.insert(0, str(REPOSITORY / "tests" / "curation"))
    from made_letters import as_jpeg, draw_words, tissue

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        plain = as_jpeg(tissue(1, HEIGHT, WIDTH, 1.5, sector=True), 85)
        lettered = as_jpeg(draw_words(tissue(1, HEIGHT, WIDTH, 1.5, sector=True), 1, 14, 220, 8)[0], 85)
        return {"plain": _compare(plain), "eight_words": _compare(lettered)}
    finally:
        cv2.setNumThreads(threads)


def _compare(picture: np.ndarray) -> dict:
    spots, inside, marks = bright_spots(picture), np.ones(picture.shape, bool), find_text(picture)
    label = lambda: cv2.connectedComponentsWithStats(spots)  # noqa: E731
    found, floor, ratio = side_by_side(lambda: find_text(picture), label, repeats=15)
    blackened, _, _ = side_by_side(lambda: black_out(picture, marks), label)
    measured, _, quality_ratio = side_by_side(lambda: measure(picture, inside), label, repeats=15)
    return {
        "find_seconds": found, "black_out_seconds": blackened, "measure_seconds": measured,
        "labelling_seconds": floor, "ratio": ratio, "measure_ratio": quality_ratio,
    }  # fmt: skip
