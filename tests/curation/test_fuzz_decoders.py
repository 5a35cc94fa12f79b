"""Broken files of every kind: a picture of plausible size or `Unusable`; no crash, hang, warning or hunger for memory.

The decoders run in a child process, so that a crash of a library in C is a failed test and not the end of all tests.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_seeds import broken, write_seeds

from ultrafm.curation.reading.decode import MAX_PIXELS, Decoded
from ultrafm.curation.reading.media import choose_frames, count_frames, read_frames
from ultrafm.curation.reasons import Unusable

MEMORY = 4 << 30  # bytes of address space that the child may take
LONGEST = 5.0  # seconds for one file


def decode_like_curation(path: Path) -> dict[int, Decoded]:
    """Count the frames, choose three, read them, list the metadata."""
    from ultrafm.curation.identity.header import header_report

    header_report(path)
    return read_frames(path, choose_frames(count_frames(path), 3))


def check(found: dict[int, Decoded]) -> None:
    for decoded in found.values():
        assert decoded.grey.dtype == np.uint8 and decoded.grey.ndim == 2 and 0 < decoded.grey.size <= MAX_PIXELS
        assert decoded.rgb is None or decoded.rgb.shape == (*decoded.grey.shape, 3)
        assert 0 <= decoded.coloured_share <= 1
        assert decoded.spacing_mm is None or min(decoded.spacing_mm) > 0


def run_cases(seeds: list[Path], cases: int, first: int, errors: Path, pipe) -> None:
    """In the child: decode `cases` broken versions of each seed; tell of each before and after."""
    handle = errors.open("w")
    os.dup2(handle.fileno(), 2)
    faulthandler.enable(handle)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    data = {seed: seed.read_bytes() for seed in seeds}
    for seed in seeds:
        check(decode_like_curation(seed))
        for number in range(first, first + cases):
            generator = np.random.default_rng([number, *seed.stem.encode()])
            other = data[seeds[int(generator.integers(len(seeds)))]]
            path = seed.with_name(f"broken{seed.suffix}")
            path.write_bytes(broken(data[seed], other, generator))
            pipe.send((seed.name, number, None, 0.0))
            start = time.perf_counter()
            try:
                check(decode_like_curation(path))
                outcome = "picture"
            except Unusable as why:
                outcome = why.kind
            except BaseException as error:
                outcome = f"error {type(error).__name__}: {error}"
            pipe.send((seed.name, number, outcome, time.perf_counter() - start))
    pipe.send(None)


def fuzz(folder: Path, cases: int, first: int = 0, only: str = "") -> dict[str, int]:
    """Run all cases; outcome -> how often. Fails with the seed and case of the first that broke a rule."""
    seeds = [seed for seed in write_seeds(folder) if only in seed.name]
    ours, theirs = multiprocessing.Pipe(duplex=False)
    errors = folder / "stderr.txt"
    child = multiprocessing.get_context("spawn").Process(target=run_cases, args=(seeds, cases, first, errors, theirs))
    child.start()
    theirs.close()
    outcomes: dict[str, int] = {}
    last = ("start", 0)
    try:
        while True:
            assert ours.poll(LONGEST + 25), f"{last} takes longer than {LONGEST} seconds"
            news = ours.recv()
            if news is None:
                break
            *last, outcome, seconds = news
            assert outcome is None or not outcome.startswith("error"), (last, outcome)
            assert seconds < LONGEST, (last, seconds)
            if outcome:
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
    except EOFError:
        child.join(10)
        pytest.fail(f"the process ended with {child.exitcode} in {last}:\n{errors.read_text()[-3000:]}")
    finally:
        child.kill()
        child.join()
    printed = errors.read_text()  # libraries in C print a line on a fault, but never what stands in a header
    assert not [word for word in ("Warning", "Traceback", "Doe", "P-1") if word in printed], printed[-2000:]
    return outcomes


def test_broken_files_never_do_worse_than_unusable(tmp_path):
    outcomes = fuzz(tmp_path, cases=12)
    assert outcomes["picture"] > 40 and sum(outcomes.values()) > 400 and len(outcomes) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("first", [1_000, 100_000])
def test_many_more_broken_files(tmp_path, first):
    outcomes = fuzz(tmp_path, cases=400, first=first)
    assert outcomes["picture"] > 1000


if __name__ == "__main__":
    print(fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
