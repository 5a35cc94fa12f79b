"""Workers end with the process that started them."""

import os
import signal
import subprocess
import sys
import time

import psutil

from ultrafm.workers import worker_pool

PARENT = """
import os, time
from ultrafm.workers import worker_pool
if __name__ == "__main__":
    pool = worker_pool(2)
    print(*{future.result() for future in [pool.submit(os.getpid), pool.submit(os.getpid)]}, flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_of_a_killed_process_end(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    assert workers and all(worker.is_running() for worker in workers)
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert still_running(workers, 20) == []


def test_workers_that_never_finish_can_be_ended():
    pool = worker_pool(2)
    workers = {psutil.Process(future.result()) for future in [pool.submit(os.getpid) for _ in range(4)]}
    for _ in range(2):
        pool.submit(time.sleep, 600)
    pool.end()
    assert still_running(workers, 20) == []


def test_workers_are_prepared_and_fresh():
    with worker_pool(1, prepare) as pool:
        assert pool.submit(os.getenv, "ULTRAFM_PREPARED").result() == "yes"
    assert "ULTRAFM_PREPARED" not in os.environ


def still_running(workers, seconds):
    """Those of the workers that still run after at most so many seconds.

    It only looks: psutil.wait_procs would take the exit status of a child that its pool waits for, for ever.
    """
    last = time.monotonic() + seconds
    while time.monotonic() < last and any(map(runs, workers)):
        time.sleep(0.05)
    return [worker for worker in workers if runs(worker)]


def runs(worker):
    """Is it there, and no zombie?"""
    try:
        return worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def prepare():
    """What a worker does first."""
    os.environ["ULTRAFM_PREPARED"] = "yes"
