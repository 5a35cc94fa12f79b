"""Benchmarks of the phantom: pictures beside the bare convolution, and a whole archive beside its decoding."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ultrafm.manifests import choose_source, load_sites
from ultrafm.manifests.schema import PhantomSource, SiteManifest
from ultrafm.phantom import write_archive
from ultrafm.phantom.acoustics import beam_of, blur_across, blur_along, gaussian_scatterers
from ultrafm.phantom.grid import geometry_of, sampling_of
from ultrafm.phantom.patients import draw_patient, take_photo
from ultrafm.seeds import spawn
from ultrafm.study import REPOSITORY

PATIENTS, REPEATS = 24, 7


def bench_phantom() -> dict:
    """B-mode pictures at 128 and 256 pixels on one core, for each kind of probe; then an archive with its files."""
    sites = {manifest.site: manifest for manifest in load_sites(REPOSITORY / "data_manifests")}
    chosen = ("site_01_palm_breast", "site_07_jade_liver", "site_10_lavender_heart")
    speeds = {
        f"{side}_pixels": {name: pictures_per_second(sites[name], side) for name in chosen} for side in (128, 256)
    }
    return speeds | {"archive": archive_growth(sites[chosen[0]])}


def pictures_per_second(manifest: SiteManifest, side: int) -> dict[str, float]:
    """Pictures a second, all included but the file; and how many times longer that takes than its convolution alone.

    The convolution (noise to speckle, in both directions) is what no simulation of this kind can leave out.
    """
    manifest = manifest.model_copy(update={"modalities": ("B-mode",)})
    source = sized(choose_source(manifest, "phantom")[1], side)
    patients = [draw_patient(manifest, source, 0, number) for number in range(1, PATIENTS + 1)]
    geometry, beam = geometry_of(source.device), beam_of(source.device)
    field = gaussian_scatterers(spawn(0, "bench phantom"), sampling_of(source.device))

    def pictures() -> None:
        for patient in patients:
            take_photo(manifest, source, 0, patient, 0)

    def convolutions() -> None:
        for _patient in patients:
            blur_along(blur_across(field, beam, geometry), beam, geometry.depth_mm / 10 / (len(field) - 1))

    ours, least = (np.array(column) for column in zip(*(timed(pictures, convolutions) for _ in range(REPEATS))))
    return {"pictures_per_second": float(PATIENTS / np.median(ours)), "ratio": float(np.median(ours / least))}


def sized(source: PhantomSource, side: int) -> PhantomSource:
    """The source with square pictures of `side` pixels."""
    device = source.device.model_copy(update={"picture_width": side, "picture_height": side})
    return source.model_copy(update={"device": device})


def timed(*work: Callable[[], None]) -> list[float]:
    """Seconds of each, one after the other."""
    seconds = []
    for one in work:
        start = time.perf_counter()
        one()
        seconds.append(time.perf_counter() - start)
    return seconds


def archive_growth(manifest: SiteManifest) -> dict[str, dict[str, float]]:
    """Seconds per picture to write a site's archive, beside only decoding the files; growth with pictures."""
    source = choose_source(manifest, "phantom")[1]
    return dict(one_archive(manifest, source, share) for share in (0.1, 0.3))


def one_archive(manifest: SiteManifest, source: PhantomSource, share: float) -> tuple[str, dict[str, float]]:
    """How many pictures an archive has, and what it costs."""
    with tempfile.TemporaryDirectory() as place:
        (simulated,) = timed(lambda: write_archive(manifest, source, Path(place) / "archive", 0, share))
        files = sorted(Path(place).rglob("images/*.png"))
        (decoding,) = timed(lambda: [decode_only(path) for path in files])
    ratio = simulated / decoding
    return f"{len(files)}_pictures", {
        "simulate_seconds_per_picture": simulated / len(files), "ratio_to_decoding": ratio
    }  # fmt: skip


def decode_only(path: Path) -> None:
    """Decode one file; a planted broken one counts as an attempt."""
    try:
        Image.open(path).load()
    except OSError:
        return


if __name__ == "__main__":
    print(bench_phantom())
