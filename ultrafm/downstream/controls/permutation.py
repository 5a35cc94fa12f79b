"""Label permutation: the whole pipeline again on labels that were dealt anew, which must find nothing.

Labels are exchanged between whole patients of one site. What is still told from them afterwards comes from the
pipeline: a leak of patients between folds, a choice made on test images, or sites that differ in their share of cases.
Its limit: a leak whose copies have names of their own is not found so, because copies get other labels; the check of
leaks at load finds those by their pixels (`tasks.leaks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from ultrafm.downstream.auc import placements
from ultrafm.downstream.designs.choosing import choose_penalty
from ultrafm.downstream.methods.probe import fit_probe
from ultrafm.downstream.tasks import TaskData, Turn, turns
from ultrafm.errors import UltraFMError
from ultrafm.progress import progress
from ultrafm.reporting.records import record

TRIES = 50  # to deal labels so that every fold that is fitted or predicted has both classes
Ask = Callable[[np.ndarray, np.ndarray, Turn], np.ndarray]


@dataclass(frozen=True)
class Permuted:
    """AUROC with the labels as they are, and with permuted ones (P,)."""

    task: str
    auroc: float
    permuted: np.ndarray
    patients: int
    images: str

    @property
    def p_value(self) -> float:
        """One-sided: the share of label sets, the true one among them, with at least the true one's AUROC."""
        return float((1 + (self.permuted >= self.auroc - 1e-12).sum()) / (1 + len(self.permuted)))

    @property
    def mean_interval(self) -> tuple[float, float]:
        """95 % interval (Student) of the mean over permutations; (NaN, NaN) for fewer than two."""
        count = len(self.permuted)
        if count < 2:
            return float("nan"), float("nan")
        half = t.ppf(0.975, count - 1) * self.permuted.std(ddof=1) / np.sqrt(count)
        return float(self.permuted.mean() - half), float(self.permuted.mean() + half)

    @property
    def warning(self) -> str:
        """What is wrong with the pipeline, or ""."""
        low = self.mean_interval[0]
        if low > 0.5:
            return (
                f"Warning: with permuted labels the pipeline still ranks better than chance (mean {low:.3f} or more)."
            )
        return ""


def permutation_test(
    data: TaskData, features: np.ndarray, permutations: int, generator: np.random.Generator, ask: Ask | None = None
) -> Permuted:
    """The AUROC of the task with its labels and with `permutations` others, each by the whole pipeline.

    features: (N, F), which no label has touched. ask: scores of `turn.predict` from features, answers (N,) and turn;
    the linear probe with its choice of penalty, unless another is given. AUROCs are over all predicted images, averaged
    over answers. Raises UltraFMError when labels cannot be permuted.
    """
    asked, truth = ask or _probe, data.answer_truth
    found = [
        pipeline_auroc(data, features, permute_patients(data, truth, generator), asked)
        for _one in progress(range(permutations), total=permutations, title=f"permute {data.task.name}", unit="set")
    ]
    images = "simulated" if data.simulated else "real"
    patients = len(set(data.patients))
    return Permuted(data.task.name, pipeline_auroc(data, features, truth, asked), np.array(found), patients, images)


def pipeline_auroc(data: TaskData, features: np.ndarray, answers: np.ndarray, ask: Ask) -> float:
    """AUROC of the predicted images of all turns, averaged over answers (N, A)."""
    aurocs = []
    for column in answers.T:
        asked = [(turn.predict, ask(features, column, turn)) for turn in turns(data)]
        rows, scores = (np.concatenate(parts) for parts in zip(*asked))
        aurocs.append(float(placements(scores, column[rows]).aucs[0]))
    return float(np.mean(aurocs))


def permute_patients(data: TaskData, answers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(N, A) answers exchanged between whole patients of one site.

    A patient gets the answers of another one's images, in their order and over again where it has more images. Dealt
    anew until every part that is fitted or predicted has both classes of every answer; raises UltraFMError when that
    does not come about.
    """
    patients, sites = data.patients.astype(str), data.table["site"].to_numpy(dtype=str)
    rows = {name: np.flatnonzero(patients == name) for name in np.unique(patients)}
    by_site = [[name for name in rows if sites[rows[name][0]] == site] for site in np.unique(sites)]
    predicted = np.concatenate([turn.predict for turn in turns(data)])
    parts = [turn.train for turn in turns(data)] + [predicted]
    for _try in range(TRIES):
        dealt = np.zeros_like(answers)
        for names in by_site:
            for name, donor in zip(names, generator.permutation(names)):
                dealt[rows[name]] = answers[np.resize(rows[donor], len(rows[name]))]
        if all(0 < dealt[part, column].mean() < 1 for part in parts for column in range(answers.shape[1])):
            return dealt
    raise UltraFMError(
        f"permuted labels of task {data.task.name}", f"{TRIES} deals with one class in a fold", "more patients"
    )


def permutation_table(found: Mapping[str, Permuted]) -> pd.DataFrame:
    """A row a task: task, auroc, p, permuted_mean, mean_low, mean_high, lowest, highest, permutations, warning."""
    columns = ("task", "auroc", "p", "permuted_mean", "mean_low", "mean_high", "lowest", "highest")
    return pd.DataFrame(
        [
            {"task": name, "auroc": one.auroc, "p": one.p_value, "permuted_mean": float(one.permuted.mean())}
            | dict(zip(("mean_low", "mean_high"), one.mean_interval))
            | {"lowest": float(one.permuted.min()), "highest": float(one.permuted.max())}
            | {"permutations": len(one.permuted), "warning": one.warning}
            for name, one in found.items()
        ],
        columns=[*columns, "permutations", "warning"],
    )


def permutation_records(found: Mapping[str, Permuted], method: str) -> list[dict[str, Any]]:
    """Mean AUROC under permuted labels and the p-value of the true ones, as records."""
    rows = []
    for name, one in found.items():
        low, high = one.mean_interval
        common = {"section": "controls", "task": name, "method": method, "images": one.images}
        common |= {"n": len(one.permuted), "n_patients": one.patients}
        limits = {"ci_low": low, "ci_high": high, "ci_method": "Student over permutations"} if low == low else {}
        mean = float(one.permuted.mean())
        rows += [
            record(**common, metric="auroc_permuted_labels", estimate=mean, **limits),
            record(**common, metric="permutation_p", estimate=one.p_value),
        ]
    return rows


def _probe(features: np.ndarray, answers: np.ndarray, turn: Turn) -> np.ndarray:
    penalty = choose_penalty(features, answers[:, None], turn)
    return fit_probe(features[turn.train], answers[turn.train], penalty).score(features[turn.predict])
