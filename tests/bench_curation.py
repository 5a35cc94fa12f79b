"""Benchmarks of curation: pictures per second of the whole chain, a second run, and memory over many pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ultrafm.manifests.schema import FolderSource, SiteManifest
from ultrafm.seeds import spawn

PICTURES, FEW, MANY = 500, 1_000, 20_000


def made_site() -> tuple[SiteManifest, FolderSource]:
    """A site whose folder holds pictures named 00000.jpg, ten of each patient."""
    source = FolderSource.model_validate(
        {
            "kind": "folder", "publisher": "Bench", "country": "not stated", "licence": "CC0-1.0", "citation": "none",
            "table": None, "patient_pattern": r"(\d+)\d\.",
            "deidentification": {"pseudonyms": "public", "sign_off": False},
        }
    )  # fmt: skip
    manifest = SiteManifest.model_validate(
        {
            "schema_version": 1, "site": "site_01_bench", "title": "Bench", "organs": ["liver"],
            "modalities": ["B-mode"], "scan_modes": ["convex"], "probe": "made", "split": {"rule": "patients"},
            "sources": {"local": source},
        }
    )  # fmt: skip
    return manifest, source


def fan_picture(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """A convex scan of speckle on black (height, width) uint8."""
    coarse = generator.integers(30, 200, (height // 4 + 1, width // 4 + 1), dtype=np.uint8)
    speckle = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = np.mgrid[:height, :width]
    radius = np.hypot(columns - width / 2, rows + 0.2 * height)
    angle = np.arctan2(columns - width / 2, rows + 0.2 * height)
    inside = (radius > 0.3 * height) & (radius < 1.12 * height) & (np.abs(angle) < 0.55)
    return np.where(inside, speckle, 0).astype(np.uint8)


def write_pictures(folder: Path, count: int, height: int, width: int, ending: str) -> list[Path]:
    """`count` different pictures in a new folder."""
    folder.mkdir(parents=True)
    generator = spawn(0, "bench curation")
    paths = [folder / f"{number:05d}.{ending}" for number in range(count)]
    for path in paths:
        Image.fromarray(fan_picture(height, width, generator)).save(path, quality=90)
    return paths


def bench_throughput() -> dict:
    """The whole chain on JPEG pictures of 600 x 800, one process, beside decoding alone (the least that must be done);
    then the same again, unchanged, and with one file more."""
    from ultrafm.curation import curate_site

    manifest, source = made_site()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = write_pictures(folder / "archive", PICTURES, 600, 800, "jpg")
        curate_site(manifest, source, folder / "warm", folder / "archive", 0, 64)
        seconds = {}
        for name in ("first", "unchanged", "one_file_more"):
            if name == "one_file_more":
                generator = spawn(1, "bench curation")
                Image.fromarray(fan_picture(600, 800, generator)).save(folder / "archive" / "99990.jpg", quality=90)
            start = time.perf_counter()
            curate_site(manifest, source, folder / "out", folder / "archive", 0, 64)
            seconds[name] = time.perf_counter() - start
        start = time.perf_counter()
        for path in paths:
            with Image.open(path) as picture:
                picture.load()
        decode = time.perf_counter() - start
    return {
        "pictures": PICTURES, "pictures_per_second": PICTURES / seconds["first"],
        "seconds_per_1000": 1000 * seconds["first"] / PICTURES, "ratio_to_decoding": seconds["first"] / decode,
        "unchanged_share_of_first": seconds["unchanged"] / seconds["first"],
        "one_file_more_share_of_first": seconds["one_file_more"] / seconds["first"],
    }  # fmt: skip


def bench_memory() -> dict:
    """Peak memory of curating 1,000 and 20,000 small pictures, each in a process of its own, and how the time grows."""
    found = {}
    for count in (FEW, MANY):
        with tempfile.TemporaryDirectory() as place:
            write_pictures(Path(place) / "archive", count, 96, 128, "png")
            command = [sys.executable, "-m", "tests.bench_curation", place]
            as_by_command = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
            output = subprocess.run(command, check=True, capture_output=True, text=True, env=as_by_command).stdout
            found[f"{count}_pictures"] = json.loads(output.splitlines()[-1])
    few, many = (found[f"{count}_pictures"] for count in (FEW, MANY))
    return found | {"ratio_of_memory": many["peak_mib"] / few["peak_mib"]}


def curate_alone(place: Path) -> dict:
    """Curate the folder in this process; seconds and peak memory."""
    import resource

    from ultrafm.curation import curate_site

    manifest, source = made_site()
    start = time.perf_counter()
    summary = curate_site(manifest, source, place / "out", place / "archive", 0, 64)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"kept": summary.flow["kept"], "seconds": time.perf_counter() - start, "peak_mib": peak}


if __name__ == "__main__":
    print(json.dumps(curate_alone(Path(sys.argv[1]))))
