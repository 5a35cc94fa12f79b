"""What a site's terminal tells while the site is joined: what was refused, and whether the coordinator answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

FAILED, BACK = "Connection attempt failed, retrying", "Connection successful after"  # words of Flower's SuperNode


class Tail:
    """The whole lines that are added to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, path.stat().st_size if path.is_file() else 0

    def lines(self) -> list[str]:
        """Those that are new since the last call."""
        if not self._path.is_file():
            return []
        if self._path.stat().st_size < self._at:  # put away, and begun anew
            self._at = 0
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole = file.read().rpartition(b"\n")[0]
        self._at += len(whole) + bool(whole)
        return whole.decode(errors="replace").splitlines()


class Watch:
    """Tells of the site's log `audit` and of its SuperNode's log `node` what a person should know, a line for each."""

    def __init__(self, audit: Path, node: Path, address: str, tell: Callable[[str], None]) -> None:
        self._audit, self._node = Tail(audit), Tail(node)
        self._address, self._tell, self._away = address, tell, False

    def joined(self) -> None:
        """The coordinator has just let the site in: it answers."""
        self._away = False

    def look(self) -> None:
        """Tell what is new."""
        for line in self._audit.lines():
            with suppress(ValueError):  # a line that a full disk cut short
                event = json.loads(line)
                if "error" in event:
                    self._tell(describe_refusal(event))
        for line in self._node.lines():
            if FAILED in line and not self._away:
                self._away = True
                self._tell(f"the coordinator {self._address} does not answer; trying again")
            elif BACK in line and self._away:
                self._away = False
                self._tell(f"the coordinator {self._address} answers again")


def describe_refusal(event: dict[str, Any]) -> str:
    """An event of the site's log that has an error, in a line."""
    number = f", round {event['round']}" if event.get("round") else ""
    error = " ".join(event["error"].removeprefix("UltraFMError: ").split())
    return f"{event['event']} ({event['type']}{number}): {error}"
