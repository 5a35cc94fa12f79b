"""What all tests share: where the real pictures are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real ultrasound pictures: $ULTRAFM_REAL_DATA, else shared/ultrasound beside the repository."""
    folder = Path(os.environ.get("ULTRAFM_REAL_DATA") or REPOSITORY.parent / "shared" / "ultrasound")
    if not (folder / "metadata.csv").is_file():
        pytest.skip(f"no real pictures in {folder}; ULTRAFM_REAL_DATA may name their folder")
    return folder
