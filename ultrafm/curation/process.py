"""Reading the files of a site that were not read before, several at a time, keeping what came of them as it comes."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from ultrafm.curation.prepare import Job, Settings, prepare_file
from ultrafm.curation.reading.table import Row
from ultrafm.curation.work import ReadFile, Work
from ultrafm.progress import progress

CHAIN = 1  # raised whenever the same file would give other pictures or facts than before
FILES_AT_ONCE = 16  # what one process reads before it hands over; a killed run loses no more
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
        for files in _read(settings, batches, min(workers, len(batches))):
            work.add(files)
            bar.update(len(files))


def _read(settings: Settings, batches: Sequence[Sequence[Job]], workers: int) -> Iterator[list[ReadFile]]:
    """What came of each batch, in this process or in several; which comes first does not matter."""
    if workers <= 1:
        yield from (prepare_batch(settings, batch) for batch in batches)
        return
    todo = iter(batches)
    running: set[Future[list[ReadFile]]] = set()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        while True:
            for batch in todo:
                running.add(pool.submit(prepare_batch, settings, batch))
                if len(running) >= AHEAD * workers:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def prepare_batch(settings: Settings, batch: Sequence[Job]) -> list[ReadFile]:
    """What came of some files."""
    return [prepare_file(settings, job) for job in batch]
