"""Readings collected elsewhere as a ratings table: wide and long tables with other names, the forms of R packages.

Every function checks what it made as `check_ratings` does, and returns a table that `analyse` takes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.names import texts
from ultrafm.readers.ratings import OPTIONAL, REQUIRED, check_ratings

TRUTH = "truth"  # iMRMC's name of the reader whose scores are the reference standard
# Column maps of long forms: our name -> theirs.
FORMS: dict[str, dict[str, str]] = {
    "mrmcaov": {"modality": "treatment"},
    "imrmc": {"reader": "readerID", "modality": "modalityID", "case": "caseID", "rating": "score"},
}


def from_long(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    fixed: Mapping[str, str] | None = None,
    positive: str | None = None,
    source: str = "table",
) -> pd.DataFrame:
    """A ratings table from a long one, a row per reading, whose columns have other names.

    columns: {our name: their column}, for names that differ; fixed: {our name: value} for columns that are not there,
    such as one modality for all. positive: the word of the truth column that means diseased; without it 0 and 1 or the
    usual words (normal, abnormal ...) are expected. Raises UltraFMError for a name or column that does not exist.
    """
    known = (*REQUIRED, *OPTIONAL)
    for ours, theirs in columns.items():
        if ours not in known:
            found = repr(ours) + nearest(ours, known)
            raise UltraFMError(f"{source}, column map", found, f"one of {', '.join(known)}")
        if theirs not in table.columns:
            names = [str(name) for name in table.columns]
            found = repr(theirs) + nearest(theirs, names)
            raise UltraFMError(f"{source}, column map of {ours!r}", found, f"one of {', '.join(names)}")
    taken = set(columns.values())
    kept = [name for name in table.columns if name not in taken and name not in columns]
    made = table[kept].copy()
    for ours, theirs in columns.items():
        made[ours] = table[theirs]
    for name, value in (fixed or {}).items():
        made[name] = value
    if "truth" in made and positive is not None:
        made["truth"] = _truth(made["truth"], positive, source)
    return check_ratings(made, source)


def from_wide(
    table: pd.DataFrame,
    readings: Mapping[str, tuple[str, str]],
    columns: Mapping[str, str] | None = None,
    positive: str | None = None,
    source: str = "table",
) -> pd.DataFrame:
    """A ratings table from a wide one: a row per case, a column per reader and modality.

    readings: {their column: (reader, modality)}; columns: {our name: their column} for case, truth, disease, patient
    and site where they are named otherwise. An empty cell is a reading that was not made. Raises UltraFMError for a
    column that does not exist.
    """
    missing = [name for name in readings if name not in table.columns]
    if missing or not readings:
        names = [str(name) for name in table.columns]
        found = f"{missing[0]!r}{nearest(missing[0], names)}" if missing else "no column of ratings"
        raise UltraFMError(f"{source}, wide columns", found, f"one of {', '.join(names)}")
    about = table.drop(columns=list(readings))
    parts = []
    for column, (reader, modality) in readings.items():
        made = about.assign(reader=reader, modality=modality, rating=table[column])
        parts.append(made[(made["rating"].notna()) & (made["rating"].astype(str) != "")])
    return from_long(pd.concat(parts, ignore_index=True), columns or {}, positive=positive, source=source)


def from_imrmc(table: pd.DataFrame, source: str = "table") -> pd.DataFrame:
    """A ratings table from iMRMC's: readerID, caseID, modalityID, score, the truth being rows of the reader "truth".

    Raises UltraFMError for columns that lack, and for a case without a row of truth.
    """
    names = FORMS["imrmc"]
    lacking = [name for name in names.values() if name not in table.columns]
    if lacking:
        raise UltraFMError(source, f"no column {lacking[0]!r}", ", ".join(names.values()))
    readers, cases = texts(table["readerID"]), texts(table["caseID"])
    standard = readers.str.lower().isin([TRUTH, "-1"])
    truth = dict(zip(cases[standard], table.loc[standard, "score"], strict=True))
    rows = table[~standard].assign(truth=cases[~standard].map(truth))
    lost = rows["truth"].isna()
    if lost.any() or not truth:
        found = f"case {cases[~standard][lost].iloc[0]!r} without truth" if lost.any() else "no row of truth"
        raise UltraFMError(source, found, f"a row with readerID {TRUTH!r} for every case")
    return from_long(rows, names, source=source)


def to_imrmc(ratings: pd.DataFrame) -> pd.DataFrame:
    """iMRMC's form of a ratings table of one disease. Raises UltraFMError for several diseases."""
    table = check_ratings(ratings)
    if table["disease"].nunique() > 1:
        raise UltraFMError("export", f"{table['disease'].nunique()} diseases", "the rows of one disease")
    back = {theirs: table[ours] for ours, theirs in FORMS["imrmc"].items()}
    cases = table.drop_duplicates("case")
    standard = {"readerID": TRUTH, "modalityID": TRUTH, "caseID": cases["case"], "score": cases["truth"].astype(float)}
    return pd.concat([pd.DataFrame(standard), pd.DataFrame(back)], ignore_index=True)[list(FORMS["imrmc"].values())]


def from_rjafroc(diseased: pd.DataFrame, healthy: pd.DataFrame, source: str = "table") -> pd.DataFrame:
    """A ratings table from RJafroc's two sheets of ROC data: TP (diseased cases) and FP (healthy ones).

    Each has ReaderID, ModalityID, CaseID and one column of ratings (TP_Rating or LL_Rating, FP_Rating or NL_Rating).
    Raises UltraFMError for a sheet without such a column, and for a case that is marked more than once.
    """
    parts = []
    for sheet, kind, truth in ((diseased, ("TP_Rating", "LL_Rating"), 1), (healthy, ("FP_Rating", "NL_Rating"), 0)):
        rating = next((name for name in kind if name in sheet.columns), None)
        if rating is None:
            raise UltraFMError(source, f"the columns {', '.join(map(str, sheet.columns))}", f"a column {kind[0]!r}")
        columns = {"reader": "ReaderID", "modality": "ModalityID", "case": "CaseID", "rating": rating}
        lacking = [name for name in columns.values() if name not in sheet.columns]
        if lacking:
            raise UltraFMError(source, f"no column {lacking[0]!r}", ", ".join(columns.values()))
        parts.append(pd.DataFrame({ours: sheet[theirs] for ours, theirs in columns.items()}).assign(truth=truth))
    return check_ratings(pd.concat(parts, ignore_index=True), source)


def _truth(column: pd.Series, positive: str, source: str) -> pd.Series:
    """Truth as 0 and 1 from a word that means diseased."""
    words = texts(column).astype(str).str.lower()
    if positive.lower() not in set(words):
        found = repr(positive) + nearest(positive, words.unique())
        raise UltraFMError(f"{source}, word for diseased", found, f"one of {', '.join(sorted(set(words)))}")
    return (words == positive.lower()).astype(int)
