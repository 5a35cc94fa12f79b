"""Shared pieces of the reader tests: the classic data sets, and small made-up studies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def reader_data() -> Path:
    """Folder with vandyke.csv, franken.csv, nico_ai.csv and expected.json, or a skip that says why."""
    given = os.environ.get("ULTRAFM_READER_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "reader_study"
    if not (folder / "expected.json").is_file():
        pytest.skip(f"no reader-study reference data in {folder}; set ULTRAFM_READER_DATA")
    return folder


@pytest.fixture(scope="session")
def expected(reader_data: Path) -> dict:
    """Numbers of the reference R packages."""
    return json.loads((reader_data / "expected.json").read_text())


@pytest.fixture
def small_study() -> pd.DataFrame:
    """AI and four readers of two levels, two diseases, 24 patients with two pictures each; some patients in both."""
    generator = np.random.default_rng(5)
    rows = []
    for disease, first in (("gout", 0), ("goitre", 12)):
        for patient in range(first, first + 24):
            for picture in range(2):
                truth = patient % 2
                for reader in ("AI", "ann", "bob", "cem", "dan"):
                    rating = 2.0 * truth + generator.standard_normal() + 0.2 * (reader == "dan")
                    level = {"AI": "AI", "ann": "junior", "bob": "junior"}.get(reader, "expert")
                    modality = "standalone" if reader == "AI" else "unaided"
                    rows.append(
                        (
                            reader,
                            modality,
                            f"{disease} {patient} {picture}",
                            truth,
                            round(rating, 1),
                            disease,
                            level,
                            f"p{patient}",
                        )
                    )
    return pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating", "disease", "level", "patient"])
