"""Coordinator and workers killed with kill -9 at random moments: the run ends, with the same bits."""

import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ultrafm.study import REPOSITORY

KILLS = 20


def start(folder, workers=2):
    command = [sys.executable, "-m", "tests.federation.striped", str(folder), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)


def digest_of(process):
    said, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint
    return said.split("digest")[1].strip()


def is_worker(child):
    """Is this a worker, rather than multiprocessing's own helper, or gone?"""
    try:
        return any("spawn_main" in word for word in child.cmdline())
    except psutil.Error:
        return False


def kill_something(process, generator):
    """Let the run get some rounds done, then kill it or one of its workers at a moment within a round; which one."""
    for _ in range(generator.randrange(3)):
        process.stdout.readline()
    time.sleep(generator.random() * 0.3)
    workers = [child for child in psutil.Process(process.pid).children() if is_worker(child)]
    victim = generator.choice(["coordinator", *["worker"] * bool(workers)])
    if victim == "coordinator":
        process.send_signal(signal.SIGKILL)
    else:
        generator.choice(workers).send_signal(signal.SIGKILL)
    return victim


@pytest.mark.slow
def test_workers_and_one_process_end_with_the_same_weights(tmp_path):
    assert digest_of(start(tmp_path / "pool", workers=2)) == digest_of(start(tmp_path / "one", workers=1))


@pytest.mark.slow
def test_twenty_kills_leave_the_same_weights(tmp_path):
    expected = digest_of(start(tmp_path / "whole"))
    generator, kills, found = random.Random(7), [], set()
    folder, round_of_runs = tmp_path / "killed0", 0
    process = start(folder)
    while len(kills) < KILLS:
        if process.poll() is None:
            kills.append(kill_something(process, generator))
        if kills and kills[-1] == "coordinator":
            process.wait(timeout=60)
        if process.poll() == 0:  # it got through: begin another run
            found.add(digest_of(process))
            round_of_runs += 1
            folder = tmp_path / f"killed{round_of_runs}"
        if process.poll() is not None:
            process = start(folder)
    found.add(digest_of(process))
    assert found == {expected}
    assert {"coordinator", "worker"} <= set(kills)
