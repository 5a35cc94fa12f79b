"""How well the features of an encoder tell the site: what a model could lean on where sites differ in their cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import record

FOLDS, FEWEST = 5, 2  # of the cross-validation; patients of a site without which it is not asked for
PENALTY = 1e-2  # of the probe (scikit-learn's C); not chosen, so that no choice flatters it
Z95 = 1.96
COLUMNS = ("task", "accuracy", "low", "high", "chance", "sites", "patients", "images", "why")


@dataclass(frozen=True)
class ToldSite:
    """Balanced accuracy over patients with its 95 % interval, and what guessing would reach: 1 / sites."""

    accuracy: float
    low: float
    high: float
    chance: float
    sites: int
    patients: int


def site_from_features(
    features: np.ndarray, sites: np.ndarray, patients: np.ndarray, generator: np.random.Generator
) -> ToldSite:
    """How well a linear probe tells the site of patients whom it was not fitted on.

    features (N, F), sites and patients (N,) names. Five folds by patient; a patient is given to the site with the
    greatest mean probability over its images. Balanced accuracy is the mean over sites of the share of its patients
    that are given to it, so that large sites do not count for more; its interval is normal, from the binomial variance
    of each site's share, with one patient added on either side (Agresti and Caffo 2000), so that no share is certain.

    Raises UltraFMError for fewer than two sites, and for one with fewer than two patients.
    """
    names, counts = np.unique([site for site, _ in set(zip(sites, patients))], return_counts=True)
    if len(names) < 2 or counts.min() < FEWEST:
        counted = [f"{name}: {count} patients" for name, count in zip(names, counts)]
        found = f"one site only ({counted[0]})" if len(names) == 1 else ", ".join(counted)
        raise UltraFMError("site from features", found, f"at least two sites, each with {FEWEST} patients")
    given = _given_sites(features, sites, patients, min(FOLDS, int(counts.min())), generator)
    right = given.groupby("site")["right"].agg(["sum", "size"])
    shares = right["sum"] / right["size"]
    careful = (right["sum"] + 1) / (right["size"] + 2)
    error = float(np.sqrt((careful * (1 - careful) / right["size"]).sum())) / len(names)
    accuracy = float(shares.mean())
    low, high = np.clip([accuracy - Z95 * error, accuracy + Z95 * error], 0, 1)
    return ToldSite(accuracy, float(low), float(high), 1 / len(names), len(names), len(given))


def _given_sites(
    features: np.ndarray, sites: np.ndarray, patients: np.ndarray, folds: int, generator: np.random.Generator
) -> pd.DataFrame:
    """A row a patient: its site, and whether it was given to it."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=int(generator.integers(2**31)))
    parts = []
    for fit, held in splitter.split(features, sites, patients):
        mean, deviation = features[fit].mean(axis=0), features[fit].std(axis=0)
        scaled = (features - mean) / np.where(deviation > 1e-8, deviation, 1.0)
        model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000).fit(scaled[fit], sites[fit])
        shares = pd.DataFrame(model.predict_proba(scaled[held]), columns=model.classes_)
        whole = shares.groupby([sites[held], patients[held]]).mean()
        there = whole.index.get_level_values(0)
        parts.append(pd.DataFrame({"site": there, "right": whole.idxmax(axis=1).to_numpy() == there}))
    return pd.concat(parts, ignore_index=True)


def site_table(
    tasks: Mapping[str, TaskData], features: Mapping[str, np.ndarray], generator: np.random.Generator
) -> pd.DataFrame:
    """How well the sites of each task are told from `features` (task -> (N, F)); inside a task the organ is the same.

    Columns COLUMNS; why it was not asked, or "". All images of the task take part, whatever their fold: no label is
    read.
    """
    rows = []
    for name, data in tasks.items():
        row: dict[str, Any] = {"task": name, "images": "simulated" if data.simulated else "real", "why": ""}
        try:
            sites = data.table["site"].to_numpy(dtype=str)
            row |= site_from_features(features[name], sites, data.patients.astype(str), generator).__dict__
        except UltraFMError as error:
            row["why"] = error.found
        rows.append(row)
    return pd.DataFrame(rows, columns=[*COLUMNS])


def site_records(table: pd.DataFrame, method: str) -> list[dict[str, Any]]:
    """The accuracies of `site_table` as records; method: whose features, as "linear_probe/federated"."""
    return [
        record(
            section="controls", task=row.task, method=method, metric="site_balanced_accuracy", estimate=row.accuracy,
            ci_low=row.low, ci_high=row.high, ci_method=f"normal over patients; chance is {row.chance:.3f}",
            n_patients=int(row.patients), images=row.images,
        )
        for row in table[table["why"] == ""].itertuples()
    ]  # fmt: skip
