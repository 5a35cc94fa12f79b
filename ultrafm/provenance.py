"""Where a result comes from: commit, lock file, versions, machine. Written to run.json and shown on every page."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from ultrafm.files import hash_file
from ultrafm.processor import describe_device, describe_precision
from ultrafm.study import REPOSITORY

PACKAGES = ("torch", "timm", "flwr", "datasets", "scikit-learn", "numpy", "scipy", "statsmodels", "papermill")


def git_state() -> tuple[str, bool]:
    """The commit that is checked out, and whether files differ from it; ('unknown', False) outside a repository."""
    command = ["git", "-C", str(REPOSITORY)]
    try:
        commit = subprocess.run(
            [*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run([*command, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    return commit, bool(changed.strip())


def describe_run(profile: str, seed: int, source: str, precision: str) -> dict[str, Any]:
    """Everything about this run that is known before it starts."""
    commit, changed = git_state()
    lock = REPOSITORY / "requirements.lock"
    return {
        "schema_version": 1, "profile": profile, "seed": seed, "source": source,
        "git_commit": commit, "git_changed": changed,
        "lock_sha256": hash_file(lock) if lock.exists() else "unknown",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "device": describe_device(), "precision": describe_precision(precision), "torch_threads": 1,
    }  # fmt: skip
