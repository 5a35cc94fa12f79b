"""Worker processes: fresh ones, which end with the process that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection, wait


class WorkerPool(ProcessPoolExecutor):
    """Spawned processes, each of which first calls `prepare`."""

    def __init__(self, workers: int, prepare: Callable[[], object] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        leash, self._hand = context.Pipe(duplex=False)
        super().__init__(workers, mp_context=context, initializer=_begin, initargs=(prepare, leash))

    def end(self) -> None:
        """End the workers at once, whatever they are doing."""
        self._hand.close()
        self.shutdown(wait=False, cancel_futures=True)


def worker_pool(workers: int, prepare: Callable[[], object] | None = None) -> WorkerPool:
    """A pool of `workers` spawned processes, each of which first calls `prepare`."""
    return WorkerPool(workers, prepare)


def end_with_parent(leash: Connection | None = None) -> None:
    """Watch the process that started this one from now on: when it dies, kill -9 included, this one ends too.

    Else a worker of a killed run would go on, and write beside the run that continues it. It ends also when the other
    end of `leash` is closed.
    """
    ends = multiprocessing.parent_process().sentinel
    watched = [ends] if leash is None else [ends, leash]
    threading.Thread(target=_end_after, args=(watched,), daemon=True).start()


def _begin(prepare: Callable[[], object] | None, leash: Connection) -> None:
    end_with_parent(leash)
    if prepare:
        prepare()


def _end_after(watched: list[int | Connection]) -> None:
    wait(watched)
    os._exit(1)
