"""Benchmarks of the reader statistics, each beside a plain NumPy kernel that does nothing but the arithmetic.

The analysis checks nothing anew here: the table was checked when it was loaded, which is timed apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from ultrafm.readers.analyse import analyse_checked
from ultrafm.readers.covariance import Sampling, joint_covariance
from ultrafm.readers.design import Crossed
from ultrafm.readers.plan import Plan
from ultrafm.readers.ratings import check_ratings
from ultrafm.seeds import spawn


def crossed_table(readers: int, modalities: int, cases: int) -> pd.DataFrame:
    """Ratings of a crossed study, binormal, 40% diseased."""
    generator = spawn(0, "bench readers", f"{readers} {modalities}", cases)
    truth = (generator.random(cases) < 0.4).astype(int)
    parts = [
        pd.DataFrame(
            {
                "reader": f"r{reader}", "modality": str(modality), "case": np.arange(cases), "truth": truth,
                "rating": truth + generator.normal(size=cases),
            }
        )
        for modality in range(modalities)
        for reader in range(readers)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def plain_kernel(scores: np.ndarray, truth: np.ndarray, modalities: int) -> tuple[float, float]:
    """DeLong's covariance and the random-reader test of (I * J, K) scores, with nothing around it."""
    m, n = int(truth.sum()), int((~truth).sum())
    v10, v01 = np.empty((len(scores), m)), np.empty((len(scores), n))
    for place, row in enumerate(scores):
        ill, well = row[truth], row[~truth]
        low, high = np.sort(well), np.sort(ill)
        v10[place] = (np.searchsorted(low, ill) + np.searchsorted(low, ill, "right")) / (2 * n)
        v01[place] = 1 - (np.searchsorted(high, well) + np.searchsorted(high, well, "right")) / (2 * m)
    aucs, covariance = v10.mean(axis=1), np.cov(v10) / m + np.cov(v01) / n
    if modalities == 1:
        return float(aucs.mean()), float(covariance.mean())
    readers = len(scores) // modalities
    difference = aucs[:readers] - aucs[readers:]
    contrast = np.hstack([np.eye(readers), -np.eye(readers)])
    spread = contrast @ covariance @ contrast.T
    shared = (spread.sum() - np.trace(spread)) / (readers * (readers - 1))
    return float(difference.mean()), float(difference.var(ddof=1) / readers + max(shared, 0))


def plain_bootstrap(scores: np.ndarray, truth: np.ndarray, codes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """AUROCs (C, B) of weighted cases by the full kernel of pairs; draws: (U, B)."""
    weights = draws[codes]
    ill, well = weights[truth], weights[~truth]
    found = []
    for row in scores:
        pairs = (row[truth][:, None] > row[~truth]) + 0.5 * (row[truth][:, None] == row[~truth])
        found.append((ill * (pairs @ well)).sum(axis=0) / (ill.sum(axis=0) * well.sum(axis=0)))
    return np.array(found)


def measured(ours: Callable[[], object], plain: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median milliseconds of both, taken in turn, the least of ours, and the median of the ratios."""
    ours(), plain()
    times = np.empty((repeats, 2))
    for row in times:
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        plain()
        row[:] = middle - start, time.perf_counter() - middle
    ours_s, plain_s = np.median(times, axis=0)
    return {
        "milliseconds": 1000 * float(ours_s), "least_milliseconds": 1000 * float(times[:, 0].min()),
        "plain_milliseconds": 1000 * float(plain_s), "ratio": float(np.median(times[:, 0] / times[:, 1])),
    }  # fmt: skip


def bench_readers() -> dict:
    """Two modalities of 12 readers on 1,000 cases; 10 readers on 100,000; 2,000 bootstraps of 300 cases x 19 curves."""
    return {
        "2x12x1000": _analysis(12, 2, 1000, 15),
        "1x10x100000": _analysis(10, 1, 100_000, 3),
        "bootstrap_2000x300x19": _bootstrap(),
    }


def _analysis(readers: int, modalities: int, cases: int, repeats: int) -> dict[str, float]:
    """The whole analysis with its dictionary, and how long checking the table takes."""
    table = crossed_table(readers, modalities, cases)
    start = time.perf_counter()
    checked = check_ratings(table)
    checking = time.perf_counter() - start
    scores = table["rating"].to_numpy().reshape(-1, cases)
    truth = table["truth"].to_numpy()[:cases] == 1
    found = measured(lambda: analyse_checked(checked, Plan()), lambda: plain_kernel(scores, truth, modalities), repeats)
    return found | {"check_milliseconds": 1000 * checking}


def _bootstrap() -> dict[str, float]:
    """Covariance of 19 curves from 2,000 draws of 150 patients with two cases each."""
    generator = spawn(0, "bench bootstrap")
    truth = np.arange(300) % 5 < 2
    scores = truth + generator.normal(size=(19, 300))
    codes = np.arange(300) // 2
    names = np.array([f"c{case:03}" for case in range(300)], dtype=object)
    units = np.array([f"p{code:03}" for code in codes], dtype=object)
    disease = Crossed("all", names, truth, scores, units)
    draws = generator.multinomial(150, np.full(150, 1 / 150), 2000).T.astype(float)
    return measured(
        lambda: joint_covariance([disease], Sampling("bootstrap", 2000, spawn(0, "bench draws"))),
        lambda: plain_bootstrap(scores, truth, codes, draws),
        5,
    )


if __name__ == "__main__":
    for name, values in bench_readers().items():
        print(name, {key: round(value, 2) for key, value in values.items()})
