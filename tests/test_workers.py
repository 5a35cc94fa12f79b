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
    _gone, alive = psutil.wait_procs(workers, timeout=20)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def test_workers_that_never_finish_can_be_ended():
    pool = worker_pool(2)
    workers = {psutil.Process(future.result()) for future in [pool.submit(os.getpid) for _ in range(4)]}
    for _ in range(2):
        pool.submit(time.sleep, 600)
    pool.end()
    _gone, alive = psutil.wait_procs(workers, timeout=20)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def test_workers_are_prepared_and_fresh():
    with worker_pool(1, prepare) as pool:
        assert pool.submit(os.getenv, "ULTRAFM_PREPARED").result() == "yes"
    assert "ULTRAFM_PREPARED" not in os.environ


def prepare():
    """What a worker does first."""
    os.environ["ULTRAFM_PREPARED"] = "yes"
