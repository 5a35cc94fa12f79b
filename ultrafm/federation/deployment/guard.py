"""What a site runs in place of Flower's task commands: the ClientApp, after a look into its bundle, and no other task.

Flower starts a process for each message by the name of a command. `write_commands` puts ours before Flower's in the
path. `flwr-clientapp` only hands its words to a process that has everything imported (which takes five seconds of
computing) and forks for each message; there the bundle is checked before anything of it is unpacked. The other kinds of
task (agents, connectors, models), which a coordinator could ask for as well, do not start.
"""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.supercore.constant import TASK_TYPE_TO_COMMAND, TaskType

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.audit import append_line
from ultrafm.federation.deployment.bundle import check_bundle

AUDIT = "ULTRAFM_AUDIT_LOG"
TASKS = "tasks"  # the pipe in the folder of commands through which tasks are handed over


def write_commands(folder: Path) -> Path:
    """Write a command for every kind of Flower task into `folder`, to be put first in the path; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pipe = folder / TASKS
    if not pipe.is_fifo():
        os.mkfifo(pipe, 0o600)
    refusing = f"exec {shlex.quote(sys.executable)} -P -m {__name__} refuse"
    handing = f"printf '%s\\n' \"$*\" > {shlex.quote(str(pipe))}"
    for kind, name in TASK_TYPE_TO_COMMAND.items():
        line = handing if kind == TaskType.CLIENT_APP else refusing
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o700)
    return folder


def task_server(folder: Path) -> list[str]:
    """The command of the process that answers the tasks handed over in `folder`."""
    return [sys.executable, "-P", "-m", __name__, "serve", str(folder / TASKS)]


def serve_tasks(pipe: Path) -> None:
    """Run Flower's `flwr-clientapp` in a process of its own for every line that comes through the pipe, without end."""
    runtime = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    runtime.install_from_fab = checked(runtime.install_from_fab)
    command = importlib.import_module("flwr.supernode.cli").flwr_clientapp
    importlib.import_module("ultrafm.federation.client_app")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets ended tasks; nobody here waits for them
    with open(os.open(pipe, os.O_RDWR), encoding="utf-8") as lines:  # open for writing too: no end of file in between
        for line in iter(lines.readline, ""):
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                sys.argv = ["flwr-clientapp", *line.split()]
                run_and_end(command)


def run_and_end(command: Callable[[], None]) -> None:
    """Run a command and end this process, whatever happens."""
    code = 1
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def checked(install: Callable[..., Any]) -> Callable[..., Any]:
    """Flower's function that unpacks a bundle, after a check; a foreign one becomes an error reply, and is logged."""

    def install_checked(bundle: bytes, *arguments: Any, **options: Any) -> Any:
        try:
            check_bundle(bundle)
        except UltraFMError as error:
            note({"event": "refused", "type": "app bundle", "error": str(error)})
            raise
        return install(bundle, *arguments, **options)

    return install_checked


def refuse_task() -> None:
    """Stands for a kind of task that no site runs."""
    note({"event": "refused", "type": "task", "error": "a task that is no ClientApp"})
    raise SystemExit("This site runs the ClientApp of ultrafm only.")


def note(event: dict[str, Any]) -> None:
    """Write an event into the site's log."""
    if log := os.environ.get(AUDIT):
        append_line(Path(log), event)


if __name__ == "__main__":
    serve_tasks(Path(sys.argv[2])) if sys.argv[1] == "serve" else refuse_task()
