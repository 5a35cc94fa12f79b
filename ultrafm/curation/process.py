"""Reading the files of a site that were not read before, several at a time, keeping what came of them as it comes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ultrafm.curation.identity.header import HeaderReport
from ultrafm.curation.prepare import Job, Settings, prepare_file
from ultrafm.curation.reading.table import Row
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.work import Picture, ReadFile, Work
from ultrafm.manifests.file_kinds import CLIPS, PICTURES
from ultrafm.progress import progress
from ultrafm.workers import worker_pool

CHAIN = 5  # raised whenever the same file would give other pictures, facts or reasons than before
FILES_AT_ONCE = 16  # what one process reads before it hands over; a killed run loses no more
SAFE = (*PICTURES, *CLIPS)  # endings of files whose decoders were never seen to crash
WORTH_A_PROCESS = 128  # files; starting a process takes as long as reading about as many
AHEAD = 3  # batches a process may be ahead, so that memory does not grow with the number of files


def settings_text(settings: Settings) -> str:
    """All settings that decide what comes of a file, as text; other text, other pictures."""
    pseudonyms = settings.pseudonyms
    return json.dumps(
        [
            CHAIN, pseudonyms.site, pseudonyms.of("settings", ""), settings.image_size, settings.frames_per_clip,
            {name: list(values) for name, values in sorted(settings.mask_values.items())}, settings.blacks_out_text,
            settings.previews,
        ]
    )  # fmt: skip


def file_key(settings: Settings, row: Row) -> str:
    """What stands for a row's file and mask as they are now: names, sizes and times of change, keyed."""
    parts = [row.patient, *(f"{name}|{_state(settings.folder / name)}" for name in (row.file, row.mask) if name)]
    return settings.pseudonyms.of("file", "\n".join(parts), 32)


def _state(path: Path) -> str:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{found.st_size}|{found.st_mtime_ns}"


def read_files(
    site: str, settings: Settings, rows: Sequence[Row], keys: Sequence[str], work: Work, workers: int
) -> None:
    """Read every file whose key is not in `work`, and add what came of it; with a bar and the time left."""
    known, jobs = work.known(), {}
    for row, key in zip(rows, keys):
        if key not in known:
            patient = settings.pseudonyms.of("patient", row.patient)
            jobs[key] = Job(key, row.file, row.mask, patient)
    if not jobs:
        return
    waiting = list(jobs.values())
    batches = [waiting[start : start + FILES_AT_ONCE] for start in range(0, len(waiting), FILES_AT_ONCE)]
    with progress(total=len(waiting), title=f"reading {site}", unit="file", passing=True) as bar:
        for files in read_batches(settings, batches, min(workers, len(waiting) // WORTH_A_PROCESS)):
            work.add(files)
            bar.update(len(files))


def read_batches(settings: Settings, batches: Sequence[Sequence[Job]], workers: int) -> Iterator[list[ReadFile]]:
    """What came of each batch; which comes first does not matter.

    Pictures and clips are read in this process when there is one worker. DICOM decoders can crash on damaged bytes, so
    other files are always read in another process: when it dies, its files are read again one by one, and the one that
    kills again is quarantined.
    """
    if workers <= 1 and all(Path(job.file).suffix.lower() in SAFE for batch in batches for job in batch):
        yield from (prepare_batch(settings, batch) for batch in batches)
        return
    waiting = list(batches)
    while waiting:
        finished: set[int] = set()
        try:
            for number, files in _read_in_pool(settings, waiting, max(1, workers)):
                finished.add(number)
                yield files
            return
        except BrokenProcessPool:
            left = [batch for number, batch in enumerate(waiting) if number not in finished]
            suspects, waiting = left[: AHEAD * max(1, workers)], left[AHEAD * max(1, workers) :]
            yield from _read_one_by_one(settings, [job for batch in suspects for job in batch])


def _read_in_pool(
    settings: Settings, batches: Sequence[Sequence[Job]], workers: int
) -> Iterator[tuple[int, list[ReadFile]]]:
    """Number of a batch and what came of it, from several processes. Raises BrokenProcessPool when one dies."""
    todo, running = enumerate(batches), {}
    with worker_pool(workers) as pool:
        while True:
            for number, batch in todo:
                running[pool.submit(prepare_batch, settings, batch)] = number
                if len(running) >= AHEAD * workers:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _read_one_by_one(settings: Settings, jobs: Sequence[Job]) -> Iterator[list[ReadFile]]:
    """What came of files among which one kills the process that reads it."""
    waiting = list(jobs)
    while waiting:
        with worker_pool(1) as pool:
            while waiting:
                job = waiting.pop(0)
                try:
                    yield pool.submit(prepare_batch, settings, [job]).result()
                except BrokenProcessPool:
                    why = Unusable("decoder crashed", "bytes that no decoder survives", "a whole file")
                    yield [ReadFile(job.key, job.patient, HeaderReport(), (Picture(failure=why),))]
                    break


def prepare_batch(settings: Settings, batch: Sequence[Job]) -> list[ReadFile]:
    """What came of some files."""
    return [prepare_file(settings, job) for job in batch]
