"""What all tests share: where the real pictures are, and that a busy machine fails no property."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real ultrasound pictures: $ULTRAFM_REAL_DATA, else shared/ultrasound beside the repository."""
    folder = Path(os.environ.get("ULTRAFM_REAL_DATA") or REPOSITORY.parent / "shared" / "ultrasound")
    if not (folder / "metadata.csv").is_file():
        pytest.skip(f"no real pictures in {folder}; ULTRAFM_REAL_DATA may name their folder")
    return folder
