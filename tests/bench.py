"""Benchmarks: `make bench` writes reports/bench/*.json with medians, each beside a reference measured in the same run.

Machines are noisy, so what counts is the ratio to the reference, and how a cost grows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from tests.bench_federation import bench_federation
from tests.bench_metrics import bench_metrics
from tests.bench_phantom import bench_phantom
from tests.bench_pretraining import bench_pretraining
from tests.bench_privacy import bench_privacy
from tests.bench_readers import bench_readers
from tests.bench_secure import bench_secure
from ultrafm.files import write_json
from ultrafm.study import REPOSITORY

OUT = REPOSITORY / "reports" / "bench"


def side_by_side(
    first: Callable[[], object], second: Callable[[], object], repeats: int = 5
) -> tuple[float, float, float]:
    """Medians of both, taken in turn, and the median of the ratios first / second."""
    first(), second()
    pairs = []
    for _ in range(repeats):
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        pairs.append((middle - start, time.perf_counter() - middle))
    return (*(statistics.median(column) for column in zip(*pairs)), statistics.median(a / b for a, b in pairs))


def bench_curation() -> dict:
    """The whole chain, and its parts: scan area, scan conversion, text, decoding."""
    from tests.bench_curation import bench_memory, bench_throughput
    from tests.bench_decoding import bench_decoding
    from tests.bench_geometry import bench_geometry
    from tests.bench_text import bench_text

    parts = (bench_throughput, bench_memory, bench_geometry, bench_text, bench_decoding)
    return {part.__name__.removeprefix("bench_"): part() for part in parts}


def main() -> None:
    """Run all benchmarks, one file each."""
    torch.set_num_threads(1)
    for name, work in (
        ("pretraining", bench_pretraining),
        ("federation", bench_federation),
        ("privacy", bench_privacy),
        ("secure", bench_secure),
        ("phantom", bench_phantom),
        ("curation", bench_curation),
        ("readers", bench_readers),
        ("metrics", bench_metrics),
    ):
        found = work()
        write_json(OUT / f"{name}.json", found)
        print(name, found)


if __name__ == "__main__":
    main()
