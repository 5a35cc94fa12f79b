"""Who read what: the design of a study by name, and its ratings as arrays.

Fully crossed: every reader reads every case in every modality. Split-plot: readers or cases are divided, and each part
is crossed in itself. Incomplete: anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.names import natural_order
from ultrafm.readers.ratings import cluster_units

CROSSED, SPLIT, INCOMPLETE = "fully crossed", "split-plot", "incomplete"
Curve = tuple[str, str]


@dataclass(frozen=True)
class Crossed:
    """The ratings of one disease as arrays: every curve (a reader with a modality) rated every case.

    cases: (K,) text, sorted; truth: (K,) bool; scores: (C, K), NaN where a curve did not rate a case (never in a
    crossed design); units: (K,) text, the patient of each case where cases are clustered, else the case itself.
    """

    disease: str
    cases: NDArray[np.object_]
    truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    units: NDArray[np.object_]


@dataclass(frozen=True)
class Design:
    """The name of a design, what is divided in it, and how many readings a fully crossed one would have more."""

    name: str
    divided: str | None
    missing: int
    first_missing: str | None


def arrays(
    table: pd.DataFrame, curves: Sequence[Curve], cluster: str | None = None, source: str = "ratings"
) -> list[Crossed]:
    """Arrays of each disease, in order of name, with one row of scores per curve (reader, modality).

    cluster: the column whose values bind cases together, such as patient; None when cases are independent. Raises
    UltraFMError for an unknown or partly empty cluster column.
    """
    units = table["case"] if cluster is None else cluster_units(table, cluster, source)
    readers, modalities = (table[name].cat for name in ("reader", "modality"))
    places = np.full((len(readers.categories), len(modalities.categories)), -1)
    for number, (reader, modality) in enumerate(curves):
        places[readers.categories.get_loc(reader), modalities.categories.get_loc(modality)] = number
    curve = places[readers.codes, modalities.codes]
    diseases = table["disease"].cat
    found = []
    for number, disease in enumerate(diseases.categories):
        rows = np.flatnonzero((diseases.codes.to_numpy() == number) & (curve >= 0))
        if rows.size:
            found.append(_one_disease(str(disease), table, rows, curve[rows], units, len(curves)))
    return found


def cross(
    table: pd.DataFrame, curves: Sequence[Curve], cluster: str | None = None, source: str = "ratings"
) -> list[Crossed]:
    """`arrays` of a fully crossed study. Raises UltraFMError naming the first reader x case that is missing."""
    found = arrays(table, curves, cluster, source)
    for disease in found:
        first = first_hole(disease, curves)
        if first:
            missing = int(np.isnan(disease.scores).sum())
            raise UltraFMError(
                f"{source}, disease {disease.disease!r}",
                f"{missing} missing rating{'s' * (missing > 1)}, the first by {first}",
                "every reader to have rated every case in every modality",
                "add the rating or leave the case (or the reader) out; "
                "if one of the readers is the AI, name it with --ai",
            )
    return found


def first_hole(disease: Crossed, curves: Sequence[Curve]) -> str | None:
    """The first reading that is missing, in words; None when there is none."""
    holes = np.isnan(disease.scores)
    if not holes.any():
        return None
    curve, case = np.argwhere(holes)[0]
    reader, modality = curves[curve]
    return f"reader {reader!r} (modality {modality!r}) of case {disease.cases[case]!r}"


def name_design(diseases: Sequence[Crossed], curves: Sequence[Curve]) -> Design:
    """Which design the arrays show; several diseases make one design, the least orderly of theirs."""
    readers, modalities = natural_order(curve[0] for curve in curves), natural_order(curve[1] for curve in curves)
    missing = sum(_missing(disease, len(readers) * len(modalities)) for disease in diseases)
    if not missing:
        return Design(CROSSED, None, 0, None)
    divided = [_divided(disease, curves) for disease in diseases]
    first = next(filter(None, (first_hole(disease, curves) for disease in diseases)), None) or _first_absent(curves)
    if None in divided or len(set(divided)) > 1:
        return Design(INCOMPLETE, None, missing, first)
    return Design(SPLIT, divided[0], missing, first)


def _first_absent(curves: Sequence[Curve]) -> str | None:
    """The first reader who has no reading at all in one of the modalities, in words."""
    readers, modalities = natural_order(curve[0] for curve in curves), natural_order(curve[1] for curve in curves)
    absent = ((reader, modality) for modality in modalities for reader in readers if (reader, modality) not in curves)
    return next((f"reader {reader!r}, who has none in modality {modality!r}" for reader, modality in absent), None)


def paired(curves: Sequence[Curve]) -> NDArray[np.intp]:
    """Places of the curves whose readers have every modality."""
    modalities = Counter(reader for reader, _ in curves)
    most = len({modality for _, modality in curves})
    return np.flatnonzero([modalities[reader] == most for reader, _ in curves])


def _missing(disease: Crossed, cells: int) -> int:
    """How many readings a fully crossed design has more than this one."""
    return cells * disease.cases.size - int((~np.isnan(disease.scores)).sum())


def _divided(disease: Crossed, curves: Sequence[Curve]) -> str | None:
    """What a split-plot design divides, or None where the holes follow no plan."""
    seen = ~np.isnan(disease.scores)
    readers, modalities = [curve[0] for curve in curves], [curve[1] for curve in curves]
    if seen.all():
        nested = len(set(readers)) == len(curves) and len(set(modalities)) > 1
        return "readers within modalities" if nested else None
    if not _same_or_apart(seen):
        return None
    if _same_within(seen, readers) and _all_pairs(curves):
        return "readers and cases in blocks" if _shared(seen, readers) else "cases within readers"
    if _same_within(seen, modalities) and _all_pairs(curves):
        return "cases within modalities"
    return None


def _same_or_apart(seen: NDArray[np.bool_]) -> bool:
    """Whether any two curves rated the same cases or have no case in common."""
    common = seen.astype(np.int64) @ seen.T.astype(np.int64)
    sizes = np.diag(common)
    return bool(((common == 0) | ((common == sizes[:, None]) & (common == sizes[None, :]))).all())


def _same_within(seen: NDArray[np.bool_], names: Sequence[str]) -> bool:
    """Whether all curves of one name (a reader, a modality) rated the same cases."""
    first = dict(zip(reversed(names), seen[::-1], strict=True))
    return all((row == first[name]).all() for name, row in zip(names, seen, strict=True))


def _shared(seen: NDArray[np.bool_], readers: Sequence[str]) -> bool:
    """Whether two different readers rated the same cases."""
    return any((seen[a] == seen[b]).all() for a in range(len(readers)) for b in range(a) if readers[a] != readers[b])


def _all_pairs(curves: Sequence[Curve]) -> bool:
    """Whether every reader has every modality."""
    return len(curves) == len({curve[0] for curve in curves}) * len({curve[1] for curve in curves})


def _one_disease(
    disease: str, table: pd.DataFrame, rows: NDArray[np.intp], curve: NDArray[np.intp], units: pd.Series, curves: int
) -> Crossed:
    """One disease as arrays, NaN where a reading is missing."""
    codes = table["case"].cat.codes.to_numpy()[rows]
    names = table["case"].cat.categories.to_numpy(dtype=object)
    used = np.flatnonzero(np.bincount(codes, minlength=names.size))
    place = np.full(names.size, -1)
    place[used] = np.arange(used.size)
    column = place[codes]
    scores = np.full((curves, used.size), np.nan)
    scores[curve, column] = table["rating"].to_numpy()[rows]
    first = np.empty(used.size, dtype=np.intp)
    first[column[::-1]] = rows[::-1]
    cases = names[used]
    unit_names = units.cat.categories.to_numpy(dtype=object)[units.cat.codes.to_numpy()[first]]
    owned = cases if units is table["case"] else unit_names
    return Crossed(disease, cases, table["truth"].to_numpy()[first] == 1, scores, owned)
