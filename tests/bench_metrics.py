"""Benchmarks of the metrics: the patient bootstrap of AUROC beside sorting anew in each replicate, and masks.

The limit: 2,000 replicates of one curve on 10,000 images, draws and interval with them, in under 2 seconds on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.metrics import Cases, auroc, auroc_bootstrap, draw_patients, interval, overlap
from ultrafm.seeds import spawn

LIMIT_SECONDS = 2.0
PLAIN = 20  # replicates of the reference, whose time is scaled up


def made_cases(images: int) -> Cases:
    """Three images a patient, a third of the patients diseased, scores with ties."""
    generator = spawn(0, "bench metrics", round=images)
    patients = np.arange(images) // 3
    truth = (patients % 3 == 0).astype(int)
    scores = np.round(generator.normal(size=(1, images)) + truth, 3)
    return Cases(scores, truth, np.array([f"a/{patient:06d}" for patient in patients]))


def bootstrap_interval(cases: Cases, replicates: int) -> None:
    """Draws of patients, replicates and interval: all that a number in a report costs."""
    draws = draw_patients(cases.patients, replicates, spawn(0, "bench draws"), cases.truth)
    interval(auroc_bootstrap([cases], draws), np.ones(1))


def plain_bootstrap(cases: Cases, replicates: int) -> None:
    """The same by scikit-learn, one replicate after the other, each sorting its own images."""
    generator = spawn(0, "bench plain")
    _, codes = np.unique(cases.patients, return_inverse=True)
    members = np.split(np.arange(codes.size), np.flatnonzero(np.diff(codes)) + 1)
    for _ in range(replicates):
        drawn = np.concatenate([members[place] for place in generator.integers(0, len(members), len(members))])
        roc_auc_score(cases.truth[drawn], cases.scores[0, drawn])


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Least processor time of three runs: other programs on the machine do not count."""
    found = []
    for _ in range(3):
        start = time.process_time()
        work(*arguments)
        found.append(time.process_time() - start)
    return min(found)


def bench_metrics() -> dict:
    """Bootstrap by images and by replicates, its reference, DeLong's interval, and the measures of masks."""
    cases = made_cases(10_000)
    ours, plain = seconds(bootstrap_interval, cases, 2000), seconds(plain_bootstrap, cases, PLAIN) * 2000 / PLAIN
    by_images = {str(count): seconds(bootstrap_interval, made_cases(count), 2000) for count in (1250, 2500, 5000)}
    by_replicates = {str(count): seconds(bootstrap_interval, cases, count) for count in (250, 500, 1000)}
    return {
        "bootstrap_2000x10000": {
            "seconds": ours, "limit_seconds": LIMIT_SECONDS, "within_limit": ours < LIMIT_SECONDS,
            "plain_seconds": plain, "ratio": ours / plain,
        },
        "seconds_by_images_2000_replicates": by_images | {"10000": ours},
        "seconds_by_replicates_10000_images": by_replicates | {"2000": ours},
        "delong_10000_seconds": seconds(lambda: interval(auroc([cases]), np.ones(1))),
        "masks_64_milliseconds_each": 1000 * seconds(overlap, *made_masks(50)) / 50,
    }  # fmt: skip


def made_masks(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two discs on 64 x 64 pixels for each of `count` images."""
    generator = spawn(0, "bench masks")
    down, across = np.mgrid[:64, :64]
    centre, radius = generator.integers(16, 48, (2, count, 2)), generator.integers(5, 14, (2, count, 1, 1))
    away = np.hypot(down - centre[:, :, :1, None], across - centre[:, :, 1:, None])
    first, second = (away < radius).astype(np.uint8)
    return first, second


if __name__ == "__main__":
    for name, values in bench_metrics().items():
        print(name, values)
