"""`ultrafm doctor`: is this installation able to run a study? Each check is one line: fine, or what to do."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from ultrafm.processor import processor_has_bf16
from ultrafm.study import REPOSITORY

FIXED_PACKAGES = (
    *("torch", "timm", "jupyterlab", "papermill"),
    *("scikit-learn", "seaborn", "statsmodels", "datasets", "flwr"),
)


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is fine, and what was seen or has to be done."""

    what: str
    fine: bool
    detail: str


def locked_versions(lock: Path) -> dict[str, str]:
    """Package -> version, as the lock file pins them."""
    lines = (line for line in lock.read_text().splitlines() if "==" in line and line[0].isalpha())
    pins = (line.split(" ")[0].split("==") for line in lines)
    return {name.lower(): pinned for name, pinned in pins}


def check_python() -> Finding:
    """Python 3.11 or newer."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), f"{found} (3.11 or newer is needed)")


def check_packages() -> Finding:
    """The installed packages are those of the lock file."""
    pinned = locked_versions(REPOSITORY / "requirements.lock")
    wrong = []
    for name in FIXED_PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        if found != pinned.get(name):
            wrong.append(f"{name} {found}, the lock file has {pinned.get(name)}")
    detail = "; ".join(wrong) + ": run `make setup`" if wrong else f"{len(FIXED_PACKAGES)} main packages as locked"
    return Finding("Packages", not wrong, detail)


def check_torch() -> Finding:
    """torch and torchvision fit together; from different indexes they do not, and torchvision fails at import."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
    except Exception as error:
        return Finding("torch and torchvision", False, f"{error}: install both from the same index (`make setup` does)")
    return Finding("torch and torchvision", True, f"{torch.__version__} and {torchvision.__version__} fit together")


def check_processor() -> Finding:
    """Cores, a GPU if there is one, and the precisions that this processor computes in."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU (none is needed for laptop and smoke)"
    precision = "fp32 and bf16" if processor_has_bf16() else "fp32"
    return Finding("Processor", True, f"{os.cpu_count()} cores, {gpu}, computes in {precision}")


def check_memory() -> Finding:
    """At least 4 GiB of memory free for a study."""
    free = psutil.virtual_memory().available / 2**30
    return Finding("Memory", free >= 4, f"{free:.1f} GiB available (4 are needed)")


def check_disk() -> Finding:
    """At least 2 GiB of disk for the reports."""
    free = shutil.disk_usage(REPOSITORY).free / 2**30
    return Finding("Disk", free >= 2, f"{free:.1f} GiB free where the repository lies (2 are needed)")


def examine() -> list[Finding]:
    """All checks, in the order in which a problem would show."""
    checks = (check_python, check_packages, check_torch, check_processor, check_memory, check_disk)
    return [check() for check in checks]
