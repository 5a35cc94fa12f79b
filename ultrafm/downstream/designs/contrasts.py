"""Numbers of a design: AUROC of each curve, and differences between curves, with intervals over patients and draws.

A curve is one encoder under one condition in one draw of labels. All curves of a task answer for the same images, so
differences are paired over patients; encoders share their draws, so they are paired over draws too.

Where draws repeat, the estimate is the mean over R draws, and two variances are added: that of the mean over patients
(clustered DeLong, as for one curve) and that of the mean over draws, the sample variance of the R values divided by R.
What varies with both counts in both, so the sum is a little too wide rather than too narrow. The interval takes
Student's t, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 1946, 2:110), R - 1 for the draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import t as student

from ultrafm.downstream.metrics import Cases, Estimates, Interval, auroc, interval
from ultrafm.downstream.metrics.cases import LEVEL
from ultrafm.downstream.tasks import patient_names
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import FEWEST_PATIENTS


@dataclass(frozen=True)
class Curves:
    """C curves over the same images: `names`, C rows that say which each is, their `estimates`, and what is behind."""

    names: pd.DataFrame
    estimates: Estimates
    images: int
    patients: int

    def places(self, wanted: Mapping[str, object]) -> np.ndarray:
        """The numbers of the curves whose names are `wanted`, in the order of their draws."""
        found = self.names
        for column, value in wanted.items():
            found = found[found[column] == value]
        return found.sort_values("repeat").index.to_numpy()


def curves_of(
    table: pd.DataFrame, conditions: Sequence[str], parts: Sequence[str] = ("task", "answer")
) -> Curves:  # fmt: skip
    """The AUROC of every encoder under every one of these `conditions`, averaged over the `parts` of the table.

    table: rows of predictions in which all curves answer for the same images. parts: columns within whose values
    cases are ranked: by default the answers of each task; with "site" too, scores of different sites are never put
    side by side. Tasks weigh alike, and so do the parts of a task. Raises UltraFMError when a curve lacks an image.
    """
    table = table if "repeat" in table else table.assign(repeat=0)
    keys = ["encoder", *conditions, "repeat"]
    names = table[keys].drop_duplicates().reset_index(drop=True)
    found = [(rows["task"].iloc[0], _cases(rows, keys, names)) for _, rows in table.groupby([*parts], sort=True)]
    counts = Counter(task for task, _ in found)
    weights = np.array([1 / counts[task] for task, _ in found])
    estimates = auroc([cases for _, cases in found], weights)
    images = len(table[["task", "image_id"]].drop_duplicates())
    return Curves(names, estimates, images, len(set(patient_names(table))))


def contrast(curves: Curves, wanted: Mapping[str, object], other: Mapping[str, object] | None = None) -> Interval:
    """The AUROC of the `wanted` curves, averaged over draws, or its difference from the `other` ones, with interval.

    Raises UltraFMError when there is no such curve, or the draws of the two are not the same.
    """
    plus = curves.places(wanted)
    minus = curves.places(other) if other is not None else plus[:0]
    if not len(plus) or (other is not None and len(minus) != len(plus)):
        found = f"{len(plus)} curves {dict(wanted)} and {len(minus)} curves {dict(other or {})}"
        raise UltraFMError("comparison of curves", found, "at least one, and as many draws of both")
    weights = np.zeros(len(curves.names))
    weights[plus] += 1 / len(plus)
    weights[minus] -= 1 / len(plus)
    if curves.patients < FEWEST_PATIENTS:
        return Interval(
            float(weights @ curves.estimates.values), None, None, f"not defined: too few patients ({curves.patients})"
        )
    values = curves.estimates.values[plus] - (curves.estimates.values[minus] if len(minus) else 0.0)
    return drawn_interval(curves.estimates, weights, values)


def drawn_interval(estimates: Estimates, weights: np.ndarray, values: np.ndarray) -> Interval:
    """`weights` @ AUROCs with an interval over patients and, with several `values` (one a draw), over draws too."""
    if len(values) == 1 or estimates.reason:
        return interval(estimates, weights)
    of_patients = float(weights @ estimates.covariance @ weights)
    of_draws = float(np.var(values, ddof=1) / len(values))
    total, estimate = of_patients + of_draws, float(values.mean())
    if total < 1e-18:
        return Interval(estimate, None, None, "not defined: no spread between patients or draws")
    freedom = (len(values) - 1) * (total / max(of_draws, 1e-18)) ** 2
    half = float(student.ppf(0.5 + LEVEL / 2, min(freedom, 1e9)) * np.sqrt(total))
    method = f"{estimates.method} and {len(values)} draws"
    if np.any(weights < 0):
        return Interval(estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), method)
    if not 0 < estimate < 1:
        return Interval(estimate, max(estimate - half, 0.0), min(estimate + half, 1.0), method)
    low, high = expit(logit(estimate) + np.array([-half, half]) / (estimate * (1 - estimate)))
    return Interval(estimate, float(low), float(high), f"{method}, logit")


def _cases(rows: pd.DataFrame, keys: Sequence[str], names: pd.DataFrame) -> Cases:
    """The images of one part in the order of their names, scored by every curve of `names`."""
    wide = rows.pivot(index="image_id", columns=[*keys], values="score")
    wide = wide.reindex(columns=pd.MultiIndex.from_frame(names[[*keys]]))
    if wide.isna().any(axis=None):
        missing = wide.columns[wide.isna().any()][0]
        found = f"images without a score by {dict(zip(keys, missing))}"
        raise UltraFMError(f"task {rows['task'].iloc[0]}", found, "the same images for all curves")
    first = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
    return Cases(wide.to_numpy(dtype=float).T, first["truth"].to_numpy(dtype=int), patient_names(first).astype(str))
