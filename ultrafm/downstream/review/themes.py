"""Failure themes: which properties of a picture go with errors, with intervals by patient and Holm's correction.

An association is no cause: sites differ in device, patients and difficulty at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from ultrafm.downstream.review.intervals import LEVEL, mean_interval
from ultrafm.downstream.review.properties import KINDS, NUMBERS
from ultrafm.reporting.records import FEWEST_PATIENTS

LEAST_IMAGES = 5  # of a site, organ, ..., to be looked at
COLUMNS = ["property", "difference", "ci_low", "ci_high", "p", "holm_p", "n", "n_patients", "wrong_patients"]


def failure_themes(
    errors: np.ndarray, truth: np.ndarray, patients: np.ndarray, properties: pd.DataFrame
) -> pd.DataFrame:
    """One row per property (and per site, organ, ...): by how much wrong pictures differ from right ones (COLUMNS).

    errors: (N,) 1 where the call was wrong, 0 where right (or any number that is larger where a picture went worse,
    such as 1 - Dice). truth: (N,) classes; the comparison is inside classes, so that what is usual for diseased
    pictures is not taken for what makes them hard. properties: what `picture_properties` gives, N rows in this order.

    difference: standardised, in standard deviations of the property inside the class: the coefficient of the error
    in a regression of the property on error and class; for a number as error, of one standard deviation of it. Its
    interval and p come from the clustered sandwich estimator over patients (Student's t, patients - 1 degrees of
    freedom); holm_p is corrected for all rows of the table (Holm 1979). None where fewer than FEWEST_PATIENTS patients
    have an error, or the property does not vary.
    """
    errors = np.asarray(errors, dtype=float)
    names = np.asarray(patients).astype(str)
    rows = [
        {"property": name} | _difference(errors, np.asarray(truth), names, values)
        for name, values in _numeric(properties)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    known = table["p"].notna().to_numpy()
    if known.any():
        table.loc[known, "holm_p"] = multipletests(table.loc[known, "p"].astype(float), method="holm")[1]
    order = table["p"].astype(float).fillna(2).argsort(kind="stable")
    return table.iloc[order].reset_index(drop=True)


def theme_sentences(themes: pd.DataFrame, what: str, level: float = 0.05) -> list[str]:
    """Plain sentences on a table of `failure_themes`; `what` went wrong ("wrong calls", "poor outlines")."""
    tested = themes[themes["p"].notna()]
    if tested.empty:
        return [f"Too few patients with {what} to say what goes with them."]
    found = tested[tested["holm_p"].astype(float) < level]
    if found.empty:
        most = tested.iloc[0]
        told = f"{most['property']}, {_words(most)}; Holm p = {float(most['holm_p']):.2f}"
        return [f"No property goes with {what} beyond chance ({len(tested)} looked at; nearest: {told})."]
    return [f"{what[0].upper()}{what[1:]}: {_sentence(row)}" for _, row in found.iterrows()]


def dice_by(dice: np.ndarray, patients: np.ndarray, values: np.ndarray, parts: int = 3) -> pd.DataFrame:
    """Mean Dice in `parts` equally large parts of the pictures by a property, lowest first, with intervals by patient.

    Pictures with equal values stay together, so that a property with few values may give fewer parts. Columns part,
    from, to, estimate, ci_low, ci_high, n, n_patients; pictures without a value are left out.
    """
    values, known = np.asarray(values, dtype=float), ~np.isnan(np.asarray(values, dtype=float))
    if not known.any():
        return pd.DataFrame(columns=["part", "from", "to", "estimate", "ci_low", "ci_high", "n", "n_patients"])
    edges = np.quantile(values[known], np.arange(1, parts) / parts)
    part = np.where(known, np.searchsorted(edges, values, side="left"), -1)
    rows = []
    for number in sorted(set(part[known])):
        inside = part == number
        found = mean_interval(np.asarray(dice)[inside], np.asarray(patients)[inside])
        rows.append(
            {"part": number + 1, "from": values[inside].min(), "to": values[inside].max(), "estimate": found.estimate}
            | {"ci_low": found.low, "ci_high": found.high, "n": found.n, "n_patients": found.patients}
        )
    return pd.DataFrame(rows)


def _numeric(properties: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each property as numbers (N,); one of words as one indicator for each word with enough pictures."""
    for name, words in NUMBERS.items():
        if name in properties:
            yield words, properties[name].to_numpy(dtype=float)
    for name, words in KINDS.items():
        counts = properties[name].value_counts() if name in properties else {}
        if len(counts) < 2:
            continue
        wanted = sorted(word for word, count in counts.items() if count >= LEAST_IMAGES)
        for value in wanted[len(counts) == 2 :]:  # of two words one says it all
            yield value if name == "site" else f"{words} {value}", (properties[name] == value).to_numpy(dtype=float)


def _difference(errors: np.ndarray, truth: np.ndarray, patients: np.ndarray, values: np.ndarray) -> dict[str, object]:
    known = ~np.isnan(values)
    errors, truth, patients, values = errors[known], truth[known], patients[known], values[known]
    wrong = len(set(patients[errors > 0]))
    row = {"difference": None, "ci_low": None, "ci_high": None, "p": None, "holm_p": None, "n": int(known.sum())}
    row |= {"n_patients": len(set(patients)), "wrong_patients": wrong}
    classes = (truth[:, None] == np.unique(truth)[None]).astype(float)
    spread = _inside(values, classes).std() if len(values) else 0.0
    varies = len(values) and spread > 1e-9 and _inside(errors, classes).std() > 1e-9
    if not varies or min(wrong, len(set(patients[errors < errors.max()]))) < FEWEST_PATIENTS:
        return row
    scaled = errors if set(np.unique(errors)) <= {0.0, 1.0} else errors / errors.std()
    groups = np.unique(patients, return_inverse=True)[1]
    fit = OLS(values / spread, np.column_stack([scaled, classes])).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    low, high = fit.conf_int(1 - LEVEL)[0]
    return row | {"difference": float(fit.params[0]), "ci_low": low, "ci_high": high, "p": float(fit.pvalues[0])}


def _inside(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Values minus the mean of their class."""
    return values - classes @ (classes.T @ values / classes.sum(axis=0))


def _words(row: pd.Series) -> str:
    return f"{row['difference']:+.2f} SD [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]".replace("-", "−")


def _sentence(row: pd.Series) -> str:
    side = "more" if row["difference"] > 0 else "less"
    name = str(row["property"])
    subject = f"{side} of them from {name}" if name not in NUMBERS.values() else f"{side} {name}"
    holm = float(row["holm_p"])
    told = (
        f"{row['wrong_patients']} of {row['n_patients']} patients"
        if row["wrong_patients"] < row["n_patients"]
        else (f"{row['n_patients']} patients")
    )
    return f"{subject} ({_words(row)}, Holm p {'< 0.001' if holm < 0.001 else f'= {holm:.3f}'}; {told})."
