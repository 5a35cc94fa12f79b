"""A made study and its room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_room import MadeRoom, Server, free_port, make_study, open_room


@pytest.fixture
def study_path(tmp_path: Path) -> Path:
    """12 cases, one of them a clip, and a training case."""
    return make_study(tmp_path)


@pytest.fixture
def made(study_path: Path) -> Iterator[MadeRoom]:
    """Its room, in this process."""
    room = open_room(study_path)
    yield room
    room.room.store.close()


@pytest.fixture
def server(study_path: Path) -> Iterator[Server]:
    """Its room, as a process that is not started yet and is ended at the end."""
    found = Server(study_path, free_port())
    yield found
    if found.process is not None and found.process.poll() is None:
        found.kill()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    from made_browser import CHROMIUM, playwright

    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()
