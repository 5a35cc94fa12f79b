"""Processes: started again when they die, ended to the last one, one of a kind at a time."""

import os
import signal
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from waiting import wait_for

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment import processes
from ultrafm.federation.deployment.follow import describe_seconds, lives
from ultrafm.federation.deployment.processes import (
    Family,
    Kept,
    free_port,
    only_one,
    require_free_port,
    require_space,
    stoppable,
)

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"


def test_a_family_ends_to_the_last_one_also_who_does_not_listen_and_who_left_the_session(tmp_path):
    family = Family()
    child = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)"
    )
    try:
        process = family.start([sys.executable, "-c", child + "; time.sleep(99)"], tmp_path / "log", dict(os.environ))
        up = wait_for(lambda: "up" in (tmp_path / "log").read_text())
        members = {member.pid for member in family.members()}
    finally:
        family.end(grace=1.0)
    assert up and process.pid in members and len(members) == 2
    assert family.members() == [] and not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in members
    )


def test_a_program_that_wrote_over_its_mark_ends_too(tmp_path):
    """As nginx, which writes its title over its environment."""
    family = Family()
    command = ["env", "-i", sys.executable, "-c", "print('up', flush=True); import time; time.sleep(99)"]
    process = family.start(command, tmp_path / "log", dict(os.environ))
    try:
        assert wait_for(lambda: "up" in (tmp_path / "log").read_text())
    finally:
        began = time.monotonic()
        family.end(grace=2.0)
    assert process.poll() is not None and time.monotonic() - began < 10


def test_a_process_that_dies_is_started_again_after_a_pause(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LOWEST_RESTART_SECONDS", 0.05)
    family, told = Family(), []
    command = [sys.executable, "-c", "import time; time.sleep(99)"]
    try:
        kept = Kept(lambda: family.start(command, tmp_path / "log", dict(os.environ)), "it", told.append)
        first = kept.process
        os.kill(first.pid, signal.SIGKILL)
        again = wait_for(lambda: kept.look() or (kept.process is not None and kept.process.pid != first.pid))
    finally:
        family.end(grace=1.0)
    assert again and told == ["it ended (killed by signal 9); it is started again in 0.1 s"]


def test_a_second_one_is_refused_while_the_first_runs(tmp_path):
    lock = tmp_path / "lock"
    told = pytest.raises(UltraFMError, match="coordinator: found one that runs already")
    with only_one(lock, "coordinator"), told, only_one(lock, "coordinator"):
        pass
    with only_one(lock, "coordinator"):
        assert lock.exists()


def test_sigterm_ends_a_block_like_an_interrupt():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_full_disk_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000_000))
    with pytest.raises(UltraFMError, match=r"found 0.0 GB free on its disk; expected 2.0 GB"):
        require_space(tmp_path, 2_000_000_000)


def test_a_port_that_is_taken_is_told():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(UltraFMError, match=f"plan, control_port: found port {port}"):
            require_free_port(port, "plan, control_port")
    require_free_port(free_port(), "anywhere")


def test_times_and_processes_in_words():
    assert [describe_seconds(one) for one in (40, 600, 9000)] == ["40 s", "10 min", "2.5 h"]
    assert lives(os.getpid()) and not lives(2**22 + 1)


def test_a_process_that_ended_and_was_not_fetched_does_not_live():
    """Flower leaves its ended tasks so."""
    ended = os.fork()
    if ended == 0:
        os._exit(0)
    try:
        assert wait_for(lambda: not lives(ended))
    finally:
        os.waitpid(ended, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_children_end_when_their_parent_is_killed(tmp_path):
    family, log = Family(), str(tmp_path / "child")
    code = f"""
import os, sys, time
from pathlib import Path
from ultrafm.federation.deployment.processes import Family
child = Family().start([sys.executable, "-c", "import time; time.sleep(99)"], Path({log!r}), dict(os.environ))
print(child.pid, flush=True)
time.sleep(99)
"""
    try:
        parent = family.start([sys.executable, "-c", code], tmp_path / "parent", dict(os.environ))
        told = wait_for(lambda: (tmp_path / "parent").read_text().strip())
        child = psutil.Process(int(told))
        os.kill(parent.pid, signal.SIGKILL)
        ended = wait_for(lambda: not lives(child.pid))
    finally:
        family.end(grace=1.0)
    assert ended
