"""Worker processes: fresh ones, which end with the process that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait


def worker_pool(workers: int, prepare: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """A pool of `workers` spawned processes, each of which first calls `prepare`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(prepare,))


def end_with_parent() -> None:
    """Watch the process that started this one from now on: when it dies, kill -9 included, this one ends too.

    Else a worker of a killed run would go on, and write beside the run that continues it.
    """
    ends = multiprocessing.parent_process().sentinel
    threading.Thread(target=_end_after, args=(ends,), daemon=True).start()


def _begin(prepare: Callable[[], object] | None) -> None:
    end_with_parent()
    if prepare:
        prepare()


def _end_after(ends: int) -> None:
    wait([ends])
    os._exit(1)
