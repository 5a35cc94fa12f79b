"""Simulated sonographers: their skill is set by stated parameters, so that the analysis can be run and checked.

What comes out follows from the parameters and says nothing about sonographers. Model: reader j looks at case k of
disease t and feels a suspicion

    x = truth * separation_jt * (1 - difficulty_effect * (difficulty_k - 0.5)) + patient_k + case_k + noise_jk,

where the last three are normal with variances that add up to 1. `patient` and `case` are the same for all readers, so
readers err on the same cases. At difficulty 0.5 a reader's expected AUROC is Phi(separation / sqrt 2) (binormal
model, Green and Swets 1966; variance structure of Roe and Metz, Academic Radiology 1997, 4:298).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from ultrafm.errors import UltraFMError
from ultrafm.readers.ratings import COLUMNS, ONE_DISEASE


@dataclass(frozen=True)
class Level:
    """Readers of one level: mean separation (d') and its spread between readers; years as (least, most)."""

    name: str
    separation: float
    reader_sd: float
    years: tuple[int, int]


JUNIOR = Level("junior", separation=1.1, reader_sd=0.20, years=(1, 3))
MID_LEVEL = Level("mid-level", separation=1.5, reader_sd=0.20, years=(4, 8))
EXPERT = Level("expert", separation=1.9, reader_sd=0.20, years=(10, 25))


@dataclass(frozen=True)
class ReaderDesign:
    """Everything that decides what simulated readers do.

    disease_sd: spread of a reader's separation over diseases. patient_share, case_share: shares (0..1) of the
    variance that all readers have in common per patient and per case; the rest is each reader's own noise.
    difficulty_effect: share of the separation that is lost from difficulty 0 to difficulty 1. threshold_sd: spread of
    how cautious readers are.
    """

    readers_per_level: int = 6
    levels: tuple[Level, ...] = (JUNIOR, MID_LEVEL, EXPERT)
    disease_sd: float = 0.10
    patient_share: float = 0.15
    case_share: float = 0.30
    difficulty_effect: float = 0.6
    threshold_sd: float = 0.25
    modality: str = "unaided"

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        shares = (self.patient_share, self.case_share)
        if self.readers_per_level < 1 or not self.levels:
            raise UltraFMError(
                "reader design", f"{self.readers_per_level} readers per level", "at least one, and a level"
            )
        if min(shares) < 0 or sum(shares) >= 1:
            raise UltraFMError("reader design", f"shares {shares}", "shares of at least 0 that add up to less than 1")
        if min(self.disease_sd, self.threshold_sd, *(level.reader_sd for level in self.levels)) < 0:
            raise UltraFMError("reader design", "a negative standard deviation", "0 or more")

    def table(self) -> pd.DataFrame:
        """The stated parameters of each level, with the AUROC that they imply at difficulty 0.5."""
        rows = [
            {
                "level": level.name,
                "readers": self.readers_per_level,
                "separation": level.separation,
                "between-reader sd": level.reader_sd,
                "years": f"{level.years[0]} to {level.years[1]}",
                "implied AUROC": float(ndtr(level.separation / np.sqrt(2))),
            }
            for level in self.levels
        ]
        return pd.DataFrame(rows)


def simulate_readers(cases: pd.DataFrame, design: ReaderDesign, generator: np.random.Generator) -> pd.DataFrame:
    """Ratings of simulated readers for every case, in the ratings format; ratings are whole numbers from 0 to 100.

    cases: one row per case and disease with columns case and truth (0/1); disease, patient, site and difficulty (0
    clear .. 1 hard; missing counts as 0.5) where known. The result does not depend on the order of the rows. Raises
    UltraFMError for missing columns.
    """
    cases = sorted_cases(cases)
    tables = [
        rated(cases, suspicion, reader, design.modality) for reader, suspicion in suspicions(cases, design, generator)
    ]
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS)


def suspicions(
    cases: pd.DataFrame, design: ReaderDesign, generator: np.random.Generator
) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """Each reader with the suspicion (K,) that she feels for every case; cases as `sorted_cases` returns them."""
    common = _common_effects(cases, design, generator)
    shrinking = 1 - design.difficulty_effect * (cases["difficulty"].to_numpy() - 0.5)
    own_sd = np.sqrt(1 - design.patient_share - design.case_share)
    diseases, codes = np.unique(cases["disease"], return_inverse=True)
    for reader in _readers(design, generator):
        skills = np.maximum(reader["separation"] + design.disease_sd * generator.standard_normal(diseases.size), 0.0)
        lift = cases["truth"].to_numpy() * skills[codes] * shrinking
        yield reader, lift + common + own_sd * generator.standard_normal(len(cases))


def rated(cases: pd.DataFrame, suspicion: NDArray[np.float64], reader: dict[str, Any], modality: str) -> pd.DataFrame:
    """One reader's rows: suspicion above the reader's threshold becomes a rating above 50 of 100."""
    rating = np.round(100 * ndtr(suspicion - reader["threshold"]))
    names = {"reader": reader["reader"], "level": reader["level"], "years": reader["years"]}
    return cases.assign(rating=rating, modality=modality, simulated="yes", **names)


def sorted_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases in a fixed order, with all columns that the model needs."""
    for name in ("case", "truth"):
        if name not in cases:
            raise UltraFMError("cases to read", f"the columns {', '.join(cases.columns)}", f"a column {name!r}")
    full = cases.copy()
    full["disease"] = full.get("disease", ONE_DISEASE)
    full["patient"] = full.get("patient", full["case"])
    difficulty = full["difficulty"] if "difficulty" in full else pd.Series(np.nan, index=full.index)
    full["difficulty"] = difficulty.astype(float).fillna(0.5)
    return full.sort_values(["disease", "case"], kind="stable").reset_index(drop=True)


def _common_effects(cases: pd.DataFrame, design: ReaderDesign, generator: np.random.Generator) -> NDArray[np.float64]:
    """What all readers share: one number per patient plus one per case."""
    names, codes = np.unique(cases["patient"].astype(str), return_inverse=True)
    patients = np.sqrt(design.patient_share) * generator.standard_normal(names.size)
    return patients[codes] + np.sqrt(design.case_share) * generator.standard_normal(len(cases))


def _readers(design: ReaderDesign, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Name, level, years, separation and threshold of every reader; more years, more skill only between levels."""
    readers = []
    for level in design.levels:
        for number in range(1, design.readers_per_level + 1):
            separation = level.separation + level.reader_sd * generator.standard_normal()
            threshold = level.separation / 2 + design.threshold_sd * generator.standard_normal()
            years = int(generator.integers(level.years[0], level.years[1], endpoint=True))
            name = f"{level.name} {number}"
            readers.append(
                {"reader": name, "level": level.name, "years": years, "separation": separation, "threshold": threshold}
            )
    return readers
