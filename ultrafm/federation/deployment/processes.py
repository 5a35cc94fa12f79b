"""Processes that belong together: started with a mark, watched, and ended to the last one, whoever started them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ultrafm.errors import UltraFMError

MARK = "ULTRAFM_FEDERATION"
COORDINATOR_LOCK = "coordinator.lock"
GRACE_SECONDS = 15.0
LOWEST_RESTART_SECONDS, HIGHEST_RESTART_SECONDS = 1.0, 60.0
PARENT_DEATH_SIGNAL = 1  # of Linux's prctl


class Family:
    """The processes that one command started, and theirs; each carries the family's mark in its environment.

    A family within a family carries both marks.
    """

    def __init__(self) -> None:
        self.mark = f"{os.environ.get(MARK, '')}/{uuid.uuid4().hex}"
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a command that writes into `log`; it ends when this process dies, where the system is Linux."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**environment, MARK: self.mark}, preexec_fn=end_with_parent(),
            )  # fmt: skip
        self._started.append(process)
        return process

    def members(self) -> list[psutil.Process]:
        """All living processes with the family's mark, those that were started, and their children.

        A program may write over its environment, and the mark in it, as nginx does to show a title.
        """
        found = {process.pid: process for process in living_with_mark(self.mark)}
        for started in self._started:
            if started.poll() is None:
                with suppress(psutil.Error):
                    process = psutil.Process(started.pid)
                    found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        return list(found.values())

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """End all members: asked first, killed when they do not go within `grace` seconds."""
        deadline = time.monotonic() + grace
        asked: set[int] = set()
        while members := self.members():
            late = time.monotonic() > deadline
            for process in members:
                if late or process.pid not in asked:
                    with suppress(psutil.Error):
                        process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
                    asked.add(process.pid)
            time.sleep(0.1)
        for process in self._started:
            process.wait()  # fetched, so that none stays as a zombie


def living_with_mark(mark: str) -> list[psutil.Process]:
    """All living processes of this user whose mark begins so."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Kept:
    """A process that is started again when it dies, after a pause that grows while it keeps dying young."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], name: str, tell: Callable[[str], None]) -> None:
        self._start, self._name, self._tell = start, name, tell
        self._pause, self._due = LOWEST_RESTART_SECONDS, 0.0
        self._began = time.monotonic()
        self.process: subprocess.Popen[bytes] | None = start()

    def look(self) -> None:
        """Start it again if it died and its pause is over."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._due:
                self.process, self._began = self._start(), now
        elif (code := self.process.poll()) is not None:
            young = now - self._began < HIGHEST_RESTART_SECONDS
            self._pause = min(self._pause * 2, HIGHEST_RESTART_SECONDS) if young else LOWEST_RESTART_SECONDS
            self._tell(f"{self._name} ended ({describe_exit(code)}); it is started again in {self._pause:g} s")
            self.process, self._due = None, now + self._pause


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def end_with_parent() -> Callable[[], None] | None:
    """What a child calls before its program starts, so that Linux ends it when its parent is killed."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def environment_for(home: Path, commands: Path | None = None) -> dict[str, str]:
    """The environment of Flower's processes: a home of their own, no telemetry, no update check, one thread."""
    programs = Path(sys.executable).parent
    path = [str(folder) for folder in (commands, programs) if folder] + [os.environ.get("PATH", "")]
    loopback = {name: without_proxy(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")}
    own = loopback | {
        "PATH": os.pathsep.join(path), "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return {**os.environ, **own}


def without_proxy(named: str) -> str:
    """Hosts that are reached without a proxy, with the loopback, where Flower's own processes meet."""
    return ",".join(dict.fromkeys([*filter(None, named.split(",")), "127.0.0.1"]))


def program(name: str) -> str:
    """A command that was installed beside this Python. Raises UltraFMError when it is missing."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise UltraFMError(str(path), "no such command", "Flower's commands beside Python", "run `make setup`")
    return str(path)


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file. Raises UltraFMError when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            mend = f"end process {handle.read().strip() or 'that holds ' + str(path)} first"
            raise UltraFMError(what, "one that runs already", "one at a time", mend) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def is_held(path: Path) -> bool:
    """Does a process hold this lock file now?"""
    try:
        with only_one(path, str(path)):
            return False
    except UltraFMError:
        return True


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what it started is ended too; restored afterwards."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def require_free_port(port: int, where: str) -> None:
    """Raises UltraFMError, told at `where`, when somebody listens on a port of the loopback already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UltraFMError(where, f"port {port}: {error.strerror}", "a free port", "choose another one") from None


def require_space(folder: Path, needed: int) -> None:
    """Raises UltraFMError unless `needed` bytes are free on the disk of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed:
        found = f"{free / 1e9:.1f} GB free on its disk"
        raise UltraFMError(str(folder), found, f"{needed / 1e9:.1f} GB", "make room, or choose another folder")
