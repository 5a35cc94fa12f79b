"""A checked table made ready for analysis: its design, and each curve's value with the covariance due to cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.checks import combined
from ultrafm.readers.covariance import Sampling, joint_covariance, macro_average
from ultrafm.readers.design import INCOMPLETE, Crossed, Curve, Design, arrays, name_design
from ultrafm.readers.diagnosis import diagnosis_table
from ultrafm.readers.endpoints import AUC, Endpoint
from ultrafm.readers.names import natural_key
from ultrafm.readers.ustatistics import MOST_TRIPLES

DELONG = Sampling()


@dataclass(frozen=True)
class Options:
    """What the person who analyses chose; see `analyse`."""

    ai: str | None = None
    cluster: str | None = None
    sampling: Sampling = DELONG
    margin: float | None = None
    equivalence: float | None = None
    by: str | None = None
    claims: tuple = ()
    endpoint: Endpoint = AUC
    floor: bool = False
    confidence: float = 0.95
    source: str = "ratings"


@dataclass(frozen=True)
class Study:
    """Curves with their values: per disease `values` (D, C) with `joint` (D, C, D, C), averaged `mean` and `spread`."""

    curves: tuple[Curve, ...]
    diseases: tuple[Crossed, ...]
    design: Design
    values: NDArray[np.float64]
    joint: NDArray[np.float64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    def u_statistics(self, options: Options) -> bool:
        """Whether the U-statistics of incomplete designs apply: AUROCs of one disease, independent cases, not too many.

        They hold every triple of reader, diseased and healthy case; where these are too many, available cases stay.
        """
        plain = options.endpoint.kind == "auc" and options.cluster is None and len(self.diseases) == 1
        if self.design.name != INCOMPLETE or not plain:
            return False
        truth = self.diseases[0].truth
        return len(self.curves) * int(truth.sum()) * int((~truth).sum()) <= MOST_TRIPLES


def prepare(table: pd.DataFrame, curves: Sequence[Curve], options: Options, ai_first: bool = False) -> Study:
    """The curves' arrays, design, values and covariance. ai_first: the first curve is the AI, outside the design.

    Raises UltraFMError for an AI that lacks a case, and for a reader who has no case (of a class) of a disease.
    """
    if options.endpoint.kind == "diagnosis":
        table = diagnosis_table(table, options.source)
    found = arrays(table, curves, options.cluster, options.source)
    readers = [_only(disease, slice(int(ai_first), None)) for disease in found]
    design = name_design(readers, list(curves)[int(ai_first) :])
    if ai_first:
        _check_ai(found, curves[0], options.source)
    _check_present(found, curves, options)
    _check_classes(found, curves, options)
    values, joint = joint_covariance(found, options.sampling, options.endpoint, int(ai_first))
    mean, spread = macro_average(values, joint)
    return Study(tuple(curves), tuple(found), design, values, joint, mean, spread)


def reader_modalities(table: pd.DataFrame, ai: str | None) -> list[Curve]:
    """The (reader, modality) pairs that occur, without the AI: modality by modality, in order of name."""
    rows = np.unique(combined(table, ("reader", "modality")), return_index=True)[1]
    pairs = zip(*(table[name].iloc[rows].astype(str) for name in ("reader", "modality")), strict=True)
    found = [(reader, modality) for reader, modality in pairs if reader != ai]
    return sorted(found, key=lambda curve: (natural_key(curve[1]), natural_key(curve[0])))


def _only(disease: Crossed, curves: slice) -> Crossed:
    return Crossed(disease.disease, disease.cases, disease.truth, disease.scores[curves], disease.units)


def _check_ai(diseases: Sequence[Crossed], ai: Curve, source: str) -> None:
    """UltraFMError when the AI lacks a case that a reader rated."""
    for disease in diseases:
        holes = np.flatnonzero(np.isnan(disease.scores[0]))
        if holes.size:
            found = f"{holes.size} cases without a rating by {ai[0]!r}, the first {disease.cases[holes[0]]!r}"
            raise UltraFMError(f"{source}, disease {disease.disease!r}", found, "a rating of the AI for every case")


def _check_classes(diseases: Sequence[Crossed], curves: Sequence[Curve], options: Options) -> None:
    """UltraFMError when a reader's own cases of a disease are of one class only."""
    if options.endpoint.kind == "diagnosis":
        return
    for disease in diseases:
        seen = ~np.isnan(disease.scores)
        ill, well = (seen & disease.truth).any(axis=1), (seen & ~disease.truth).any(axis=1)
        for reader, modality in [curve for curve, both in zip(curves, ill & well, strict=True) if not both]:
            found = f"reader {reader!r} (modality {modality!r}) with cases of one class only"
            where = f"{options.source}, disease {disease.disease!r}"
            raise UltraFMError(where, found, "diseased and healthy cases for every reader")


def _check_present(diseases: Sequence[Crossed], curves: Sequence[Curve], options: Options) -> None:
    """UltraFMError when a reader rated no case of one of the diseases."""
    for disease in diseases:
        for (reader, modality), row in zip(curves, disease.scores, strict=True):
            if np.isnan(row).all():
                found = f"reader {reader!r} (modality {modality!r}) without a rating"
                where = f"{options.source}, disease {disease.disease!r}"
                mend = "leave the reader out; if one of the readers is the AI, name it with --ai"
                raise UltraFMError(where, found, "every reader to have rated cases of every disease", mend)
