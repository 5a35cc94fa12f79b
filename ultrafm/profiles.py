"""Profiles: one YAML file of notebook parameters per scale of the study, from a smoke test to the paper's sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ultrafm.errors import UltraFMError, nearest
from ultrafm.study import PROFILES


def profile_names(folder: Path = PROFILES) -> list[str]:
    """Names of the profiles that exist."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_profile(name: str, folder: Path = PROFILES) -> dict[str, Any]:
    """The parameters of a profile; an unknown name is an error that says the nearest known one."""
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = profile_names(folder)
        raise UltraFMError(
            "profile", repr(name), f"one of {', '.join(known)}{nearest(name, known)}", "see notebooks/profiles"
        )
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.get("profile") != name:
        raise UltraFMError(str(path), "no `profile` field with its own name", f"profile: {name}", "add the line")
    return values
