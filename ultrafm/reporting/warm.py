"""A warm start: one process imports the heavy libraries once, and the kernels of a study are forked from it.

Importing torch, timm and Flower takes seconds; a study of eight notebooks would pay them eight times. Only libraries
are imported in advance, never this package. Where there is no safe fork (outside Linux), kernels start as usual.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.process
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

from ultrafm.workers import end_with_parent

# What the notebooks import, and nothing that starts threads which a fork would lose.
LIBRARIES = (
    "ipykernel.ipkernel", "ipykernel.kernelapp", "matplotlib_inline.backend_inline", "matplotlib.pyplot", "seaborn",
    "pandas", "scipy.stats", "scipy.ndimage", "sklearn.linear_model", "cv2", "PIL.Image", "pyarrow.parquet", "jinja2",
    "torch", "timm.models.vision_transformer", "torchvision.transforms.v2", "flwr.app", "flwr.clientapp",
    "flwr.serverapp", "flwr.supercore.run",
)  # fmt: skip


class WarmStart:
    """Kernels can be forked as soon as `ready()`: until then, and where that fails, they start as usual."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self.begun = False

    def ready(self) -> bool:
        """Have the libraries been imported?"""
        return self._ready.is_set()

    def begin(self, environment: Mapping[str, str]) -> None:
        """Begin to import the libraries, in the background, in a process with these variables on top of ours.

        Call it before threads read the environment: it holds these variables until that process is started.
        """
        self.begun = True
        if sys.platform != "linux":
            return
        before = {name: os.environ.get(name) for name in environment}
        try:
            os.environ.update(environment)
            multiprocessing.set_forkserver_preload(list(LIBRARIES))
            multiprocessing.forkserver.ensure_running()
        except OSError:
            return
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        threading.Thread(target=self._await, daemon=True).start()

    def _await(self) -> None:
        """Fork something that ends at once; that it ended well says that forking works."""
        first = multiprocessing.get_context("forkserver").Process(target=int)
        first.start()
        first.join()
        if first.exitcode == 0:
            self._ready.set()


class ForkedProcess:
    """A forked process under the names that `subprocess.Popen` has, which is what Jupyter asks for."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> None:
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(target=become_kernel, args=(arguments, dict(environment), folder, log))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, or the negative of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """The exit code, once it has ended."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def become_kernel(arguments: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> None:
    """Turn this freshly forked process into a notebook's kernel, as if it had been started by its command line."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(written, stream)
    end_with_parent()
    # To everything in the notebook this is a process of its own, not a worker of the study.
    multiprocessing.process._parent_process = None
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance(argv=list(arguments))


class ForkingProvisioner(LocalProvisioner):
    """Starts a kernel by a fork from the warm process; all else as for any local kernel."""

    async def launch_kernel(self, cmd: Sequence[str], **kwargs: Any) -> dict[str, Any]:
        """Fork a kernel with the arguments of `cmd`, which come after the name of the module."""
        arguments = cmd[list(cmd).index("ipykernel_launcher") + 1 :]
        self.cwd = kwargs["cwd"]
        self.process = ForkedProcess(arguments, kwargs["env"], str(self.cwd), kwargs["stdout"].name)
        self.pid = self.pgid = self.process.pid
        return self.connection_info
