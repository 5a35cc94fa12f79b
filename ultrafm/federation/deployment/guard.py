"""What a site runs in place of Flower's task commands: the ClientApp, after a look into its bundle, and no other task.

Flower starts a process for each task by the name of a command. `write_commands` puts ours before Flower's in the path:
`flwr-clientapp` checks the bundle before anything of it is unpacked; the other kinds of task (agents, connectors,
models), which a coordinator could ask for as well, do not start.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.supercore.constant import TASK_TYPE_TO_COMMAND, TaskType

from ultrafm.errors import UltraFMError
from ultrafm.federation.audit import append_line
from ultrafm.federation.deployment.bundle import check_bundle
from ultrafm.files import hash_text

AUDIT = "ULTRAFM_AUDIT_LOG"


def write_commands(folder: Path) -> Path:
    """Write a command for every kind of Flower task into `folder`, to be put first in the path; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, name in TASK_TYPE_TO_COMMAND.items():
        function = "run_clientapp" if kind == TaskType.CLIENT_APP else "refuse_task"
        path, code = folder / name, f"from {__name__} import {function}; {function}()"
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -c "{code}" "$@"\n')
        path.chmod(0o755)
    return folder


def run_clientapp() -> None:
    """Flower's `flwr-clientapp`, with a bundle checked before it is unpacked; a foreign one becomes an error reply."""
    from flwr.supernode.cli import flwr_clientapp

    runtime = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    runtime.install_from_fab = checked(runtime.install_from_fab)
    flwr_clientapp()


def checked(install: Callable[..., Any]) -> Callable[..., Any]:
    """Flower's function that unpacks a bundle, after a check."""

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
    note({"event": "refused", "type": "task", "error": "a task that is no ClientApp", "id": hash_text(repr(sys.argv))})
    raise SystemExit("This site runs the ClientApp of ultrafm only.")


def note(event: dict[str, Any]) -> None:
    """Write an event into the site's log."""
    if log := os.environ.get(AUDIT):
        append_line(Path(log), event)
