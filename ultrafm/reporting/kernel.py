"""The kernel that runs a notebook: this very Python, watched from start to end, leaving no process behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from ultrafm.progress import NOTE
from ultrafm.reporting.warm import ForkingProvisioner

MARK = "ULTRAFM_KERNEL"
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "FLWR_TELEMETRY_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TQDM_DISABLE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


class KernelWatch:
    """Watches the processes of one kernel: their peak memory, how the kernel ended, and that none of them stays.

    Use as a context manager around the run. `peak_bytes` is the largest sum of resident memory over the kernel and
    all its children, looked at every `interval` seconds. `on_progress` is told the line of progress when it changes.
    """

    def __init__(self, interval: float = 0.5, on_progress: Callable[[str], None] = lambda line: None) -> None:
        self.mark = uuid.uuid4().hex
        self.interval, self.peak_bytes = interval, 0
        self.process: subprocess.Popen | None = None
        self.log = self.note = Path(os.devnull)
        self.on_progress, self._line = on_progress, ""
        self._seen: set[psutil.Process] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_done, daemon=True)

    def __enter__(self) -> KernelWatch:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()
        end_processes(self._leftovers())

    def ending(self) -> str:
        """How the kernel's process ended, in words."""
        code = self.process.poll() if self.process else None
        if code is None:
            return "stopped answering"
        if code >= 0:
            return f"ended with exit code {code}"
        more = ", often a sign of too little memory" if -code == signal.SIGKILL else ""
        fatal = re.search(r"Fatal Python error: .*", self.log.read_text(errors="replace"))
        more += f" ({fatal.group(0).strip()})" if fatal else ""
        return f"was killed by signal {signal.Signals(-code).name}{more}"

    def sample(self) -> None:
        """Add up the memory of the kernel's processes now."""
        if self.process is None or not psutil.pid_exists(self.process.pid):
            return
        try:
            kernel = psutil.Process(self.process.pid)
            processes = [kernel, *kernel.children(recursive=True)]
        except psutil.Error:
            return
        self._seen.update(processes)
        self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, processes)))

    def _sample_until_done(self) -> None:
        while not self._done.wait(self.interval):
            self.sample()
            self.look_at_progress()

    def look_at_progress(self) -> None:
        """Tell how far the notebook says it is, if that is news."""
        try:
            line = self.note.read_text()
        except FileNotFoundError:  # nothing was written yet, or the run has just ended
            line = ""
        if line and line != self._line:
            self._line = line
            self.on_progress(line)

    def _leftovers(self) -> list[psutil.Process]:
        """Processes of this kernel that still run, those too that lost their parent; they carry the watch's mark."""
        marked = [process for process in psutil.process_iter() if _has_mark(process, self.mark)]
        return [process for process in {*self._seen, *marked} if process.is_running()]


def _resident_bytes(process: psutil.Process) -> int:
    """Its resident memory; 0 once it has ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def end_processes(processes: list[psutil.Process], patience: float = 2.0) -> None:
    """Ask processes to end; after `patience` seconds, kill those that did not."""
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            _quietly(send, process)
        _, processes = psutil.wait_procs(processes, timeout=patience)


def kernel_class(
    watch: KernelWatch, folder: Path, environment: Mapping[str, str], forked: bool = False
) -> type[AsyncKernelManager]:
    """A kernel manager that starts this very Python, whatever kernels are registered on the machine.

    The kernel talks through sockets in `folder` (short-lived, its own), so that runs never race for network ports, and
    what it says outside of cells goes into a log there. Its environment is this process's, with ENVIRONMENT and then
    `environment` on top; `watch` is told of its process. A `forked` kernel comes from a warm start that is ready.
    """
    watch.log, watch.note = folder / "kernel.log", folder / "progress"
    own = {"IPYTHONDIR": str(folder), NOTE: str(watch.note), MARK: watch.mark}
    variables = {**os.environ, **ENVIRONMENT, **environment, **own}

    class StudyKernel(AsyncKernelManager):
        """The kernel of one notebook."""

        @default("kernel_spec_manager")
        def _only_this_python(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[], parent=self)

        @default("transport")
        def _files_where_possible(self) -> str:
            return "ipc" if os.name == "posix" else "tcp"

        @default("connection_file")
        def _in_own_folder(self) -> str:
            return str(folder / "kernel.json")

        async def start_kernel(self, **arguments: object) -> None:
            if forked:
                self.provisioner = ForkingProvisioner(
                    parent=self, kernel_id=self.kernel_id or "", kernel_spec=self.kernel_spec
                )
            with watch.log.open("wb") as log:
                await super().start_kernel(env=variables, stdout=log, stderr=log, **arguments)
            watch.process = self.provisioner.process

    return StudyKernel


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _quietly(act: Callable[[psutil.Process], None], process: psutil.Process) -> None:
    try:
        act(process)
    except psutil.NoSuchProcess:
        return
