"""What federation costs beyond training: seconds and memory of a round, against sites and size of the model.

python -m tests.bench_federation            all of it, writes reports/bench/federation.json
python -m tests.bench_federation --memory   only the peak memory with ViT-B (a quarter of an hour)
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import LocalGrid, PoolGrid
from ultrafm.federation.plan import Federation
from ultrafm.federation.server_optimizer import adam
from ultrafm.federation.vector import WEIGHTS, as_views, load_vector, to_vector
from ultrafm.files import write_json
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.study import REPOSITORY

REFERENCE = "tests.bench_federation:app"
STEP = 4  # images that a site trains on in a round
FIVE_MILLION = Recipe(image_size=64, patch_size=8, width=256, depth=6, heads=4, decoder_width=128, decoder_depth=2)
PAPER = Recipe(image_size=224, patch_size=16, width=768, depth=12, heads=12, decoder_width=512, decoder_depth=8)
app = ClientApp()


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """A site with images for so many rounds."""
    images = STEP * int(context.node_config["rounds"])
    metrics = MetricRecord({"images": images, "grey": images / 2, "squares": images / 3})
    names = ConfigRecord({"site": str(context.node_config["site"])})
    return Message(RecordDict({"metrics": metrics, "names": names}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """What a site does with the weights that it is sent, training left out, or replaced by matrix products."""
    here = weights_of(len(from_record(message.content["arrays"])[WEIGHTS]))
    load_vector(here, from_record(message.content["arrays"])[WEIGHTS])
    burn(int(context.node_config.get("products", 0)))
    metrics = MetricRecord({"images": STEP, "loss": 1.0, "round": message.content["plan"]["round"]})
    return Message(RecordDict({"arrays": to_record({WEIGHTS: here.numpy()}), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """No validation images."""
    metrics = MetricRecord({"images": 0, "loss": 0.0, "round": message.content["plan"]["round"]})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


MEMORY: dict[int, torch.Tensor] = {}


def weights_of(length: int) -> torch.Tensor:
    """The one vector of weights that a process of sites holds."""
    return MEMORY.setdefault(length, torch.zeros(length))


def burn(products: int) -> None:
    """Stands for training: so many products of matrices."""
    matrix = torch.ones(512, 512)
    for _ in range(products):
        matrix = (matrix @ matrix) * 1e-3


def rounds_of(
    sites: int, recipe: Recipe, rounds: int, folder: Path, workers: int = 1, products: int = 0
) -> list[float]:
    """Seconds of each round of a pass but the first and the last, with Adam at the server."""
    nodes = [{"site": f"site_{number:03d}", "products": products, "rounds": rounds} for number in range(sites)]
    grid = LocalGrid(REFERENCE, nodes) if workers == 1 else PoolGrid(REFERENCE, nodes, workers)
    ends: list[float] = []

    def note(_number: int, _loss: float) -> None:
        ends.append(time.perf_counter())

    try:
        names = [one["site"] for one in nodes]
        drive(grid, names, folder, recipe, Federation(1, rounds, site_batch_size=STEP), 0, on_round=note)
    finally:
        grid.close()
    return np.diff(ends[:-1]).tolist()


def bare_rounds(sites: int, recipe: Recipe, rounds: int, products: int = 0) -> list[float]:
    """The same without an engine: copy the weights to a site, and add up what it changed in double precision; Adam."""
    model = build_model(recipe, 0)
    here, old, state, seconds = as_views(model), to_vector(model), {}, []
    for number in range(1, rounds + 1):
        start, total = time.perf_counter(), np.zeros(len(old))
        for _ in range(sites):
            load_vector(here, old)
            burn(products)
            total += (here.numpy().astype(np.float64) - old) * STEP
        new, state = adam({WEIGHTS: old}, {WEIGHTS: total / (sites * STEP)}, state, 1e-3, number)
        old = new[WEIGHTS]
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def bench_engine(sites: int = 16, rounds: int = 6, repeats: int = 3) -> dict[str, Any]:
    """Overhead of the in-process engine over a bare loop, at five million weights: seconds a site and round."""
    pairs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as place:
            ours = statistics.median(rounds_of(sites, FIVE_MILLION, rounds, Path(place)))
        pairs.append((ours, statistics.median(bare_rounds(sites, FIVE_MILLION, rounds))))
    ours, bare = (statistics.median(column) for column in zip(*pairs))
    return {
        "weights": len(to_vector(build_model(FIVE_MILLION, 0))), "sites": sites, "seconds_per_round": ours,
        "bare_seconds_per_round": bare, "overhead_per_site": (ours - bare) / sites,
    }  # fmt: skip


def bench_pool(sites: int = 8, rounds: int = 4, products: int = 350) -> dict[str, Any]:
    """Two workers beside one process and a bare loop, where a site works for about a second."""
    torch.set_num_threads(1)
    found = {}
    for name, workers in (("one_process", 1), ("two_workers", 2)):
        with tempfile.TemporaryDirectory() as place:
            found[name] = statistics.median(rounds_of(sites, FIVE_MILLION, rounds, Path(place), workers, products))
    found["bare_loop"] = statistics.median(bare_rounds(sites, FIVE_MILLION, rounds, products))
    return found | {"speed_up_over_bare_loop": found["bare_loop"] / found["two_workers"]}


def bench_scale() -> dict[str, Any]:
    """Seconds of a round against sites and weights, training left out."""
    sizes = {"laptop": Recipe(depth=4), "five_million": FIVE_MILLION}
    found: dict[str, Any] = {}
    for name, recipe in sizes.items():
        for sites in (16, 64, 256):
            with tempfile.TemporaryDirectory() as place:
                seconds = statistics.median(rounds_of(sites, recipe, 4, Path(place)))
            found[f"{name}_{sites}_sites"] = {"seconds_per_round": seconds, "per_site": seconds / sites}
    return found


def bench_memory(counts: tuple[int, ...] = (2, 16)) -> dict[str, Any]:
    """Peak memory in MiB of a process that is coordinator and all sites, with the paper's ViT-B, over three rounds.

    The sites' part of it, one copy of the weights, is in both.
    """
    found = {}
    for sites in counts:
        command = [sys.executable, "-m", "tests.bench_federation", "--one", str(sites)]
        found[f"{sites}_sites"] = json.loads(subprocess.check_output(command, cwd=REPOSITORY, text=True))
    peaks = [one["peak_mib"] for one in found.values()]
    return found | {"growth": max(peaks) / min(peaks)}


def peak_of(sites: int) -> dict[str, float]:
    """Run three rounds with ViT-B and tell this process's peak memory, and seconds of the second round."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        seconds = rounds_of(sites, PAPER, 3, Path(place))
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return {"peak_mib": peak / 1024, "seconds_per_round": seconds[-1]}


def bench_conversion() -> dict[str, float]:
    """Weights into Flower's records and out of them, beside Flower's own way."""
    record = to_record({WEIGHTS: to_vector(build_model(FIVE_MILLION, 0))})
    pairs = []
    for _ in range(9):
        start = time.perf_counter()
        to_record(from_record(record))
        middle = time.perf_counter()
        ArrayRecord(record.to_torch_state_dict())
        pairs.append((middle - start, time.perf_counter() - middle))
    ours, theirs = (statistics.median(column) for column in zip(*pairs))
    return {"seconds": ours, "seconds_of_flowers_own": theirs}


def bench_federation() -> dict[str, Any]:
    """All of it; see the functions."""
    return {
        "engine": bench_engine(), "pool": bench_pool(), "scale": bench_scale(), "conversion": bench_conversion(),
        "memory": bench_memory(),
    }  # fmt: skip


def main() -> None:
    """Run one part or all, print it, and keep all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", type=int)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(peak_of(options.one)))
    elif options.memory:
        print(json.dumps(bench_memory(), indent=2))
    else:
        torch.set_num_threads(1)
        found = bench_federation()
        write_json(REPOSITORY / "reports" / "bench" / "federation.json", found)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
