"""Benchmarks: `make bench` writes reports/bench/*.json with medians, each beside a reference measured in the same run.

Machines are noisy, so what counts is the ratio to the reference, and how a cost grows.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tests.bench_phantom import bench_phantom
from tests.bench_pretraining import bench_pretraining
from ultrafm.files import write_json
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.seeds import spawn
from ultrafm.study import REPOSITORY

if TYPE_CHECKING:
    from flwr.app import Message


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


def bench_federation() -> dict:
    """Seconds that a round costs beyond training, for each site and in all, with Adam at the server.

    Beside it: only copying the weights to double precision, which no aggregation can leave out; Flower's own conversion
    of the same weights, there and back; and saving the state after the round.
    """
    from flwr.app import ArrayRecord, ConfigRecord

    from ultrafm.federation.arrays import from_record, to_record
    from ultrafm.federation.driver import save_round
    from ultrafm.federation.grid import identify_process
    from ultrafm.federation.schedule import Schedule
    from ultrafm.federation.server_optimizer import adam
    from ultrafm.federation.strategy import StreamingAverage
    from ultrafm.federation.vector import WEIGHTS, to_vector

    identify_process()
    weights = to_vector(build_model(Recipe(depth=4), 0))
    record = to_record({WEIGHTS: weights})
    result = {}
    for sites in (4, 16):
        names = {node: f"site_{node}" for node in range(2, 2 + sites)}
        strategy = StreamingAverage(names, Schedule(sites, passes=99), optimize=adam)

        def one_round(strategy: StreamingAverage = strategy) -> None:
            asked = strategy.configure_train(1, record, ConfigRecord({}), None)
            strategy.aggregate_train(1, (reply_untrained(message, weights) for message in asked))

        def copies(sites: int = sites) -> None:
            for _ in range(sites):
                {name: value.astype(np.float64) for name, value in from_record(record).items()}

        ours, copying, ratio = side_by_side(one_round, copies)
        result[f"{sites}_sites"] = {
            "seconds_per_round": ours, "seconds_per_site": ours / sites, "copy_seconds_per_site": copying / sites,
            "ratio": ratio,
        }  # fmt: skip
    quick, flower, ratio = side_by_side(
        lambda: to_record(from_record(record)), lambda: ArrayRecord(record.to_torch_state_dict()), repeats=15
    )
    result["conversion"] = {"seconds": quick, "seconds_of_flowers_own": flower, "ratio": ratio}
    with tempfile.TemporaryDirectory() as place:
        saved, copied, ratio = side_by_side(
            lambda: save_round(Path(place), record, strategy.state, {"round": 1}, ends_pass=False),
            lambda: {name: value.copy() for name, value in from_record(record).items()},
        )
    result["saving"] = {"seconds": saved, "copy_seconds": copied, "ratio": ratio}
    return result


def reply_untrained(message: Message, weights: np.ndarray) -> Message:
    """What a site does with the weights that it is sent, training left out."""
    from flwr.app import Message, MetricRecord, RecordDict

    from ultrafm.federation.arrays import from_record, to_record
    from ultrafm.federation.vector import WEIGHTS, load_vector

    load_vector(weights, from_record(message.content["arrays"])[WEIGHTS])
    arrays = to_record({WEIGHTS: weights})
    metrics = MetricRecord({"images": 1, "loss": 0.0})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def bench_curation() -> dict:
    """The whole chain, and its parts: scan area, scan conversion, text, decoding."""
    from tests.bench_curation import bench_memory, bench_throughput
    from tests.bench_decoding import bench_decoding
    from tests.bench_geometry import bench_geometry
    from tests.bench_text import bench_text

    parts = (bench_throughput, bench_memory, bench_geometry, bench_text, bench_decoding)
    return {part.__name__.removeprefix("bench_"): part() for part in parts}


def bench_readers() -> dict:
    """AI against 9 readers on 200 and 2,000 cases, beside sorting all ratings, which every rank statistic must do."""
    import pandas as pd

    from ultrafm.readers import analyse

    result = {}
    for cases in (200, 2000):
        generator = spawn(0, "bench readers")
        truth = generator.random(cases) < 0.4
        names = ["AI", *(f"reader {number}" for number in range(1, 10))]
        rows = [
            pd.DataFrame(
                {
                    "reader": name,
                    "modality": "standalone" if name == "AI" else "unaided",
                    "case": range(cases),
                    "truth": truth.astype(int),
                    "rating": truth + generator.normal(size=cases),
                }
            )
            for name in names
        ]
        table = pd.concat(rows, ignore_index=True)
        ratings = table["rating"].to_numpy().reshape(len(names), cases)
        ours, sorting, ratio = side_by_side(
            lambda table=table: analyse(table, ai="AI", cluster=None, covariance="delong", margin=None, by=None),
            lambda ratings=ratings: np.sort(ratings, axis=1),
        )
        result[f"{cases}_cases"] = {"seconds": ours, "sort_seconds": sorting, "ratio": ratio}
    return result


def main() -> None:
    """Run all benchmarks, one file each."""
    torch.set_num_threads(1)
    for name, work in (
        ("pretraining", bench_pretraining),
        ("federation", bench_federation),
        ("phantom", bench_phantom),
        ("curation", bench_curation),
        ("readers", bench_readers),
    ):
        found = work()
        write_json(OUT / f"{name}.json", found)
        print(name, found)


if __name__ == "__main__":
    main()
