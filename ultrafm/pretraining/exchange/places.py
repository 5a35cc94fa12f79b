"""Where something new may be written."""

from __future__ import annotations

from pathlib import Path

from ultrafm.errors import UltraFMError


def refuse_full(place: Path) -> None:
    """Raise UltraFMError when something is at `place` already: nothing of a user's is ever replaced."""
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        found = "a file" if place.is_file() else "a folder with something in it"
        raise UltraFMError(str(place), found, "a new place", "choose another place, or remove what is there first")
