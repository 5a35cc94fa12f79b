"""One encoder for each site, pre-trained at that site alone: what every hospital would have without the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ultrafm.progress import progress
from ultrafm.workers import worker_pool


def pretrain_each_site(
    curated: Path, pretrained: Path, folder: Path, workers: int, sites: Sequence[str] | None = None
) -> dict[str, Path]:
    """Site -> folder of its encoder, below `folder`; the study's step 20 lies in `pretrained`, its stores in `curated`.

    Network, first weights, grey normalisation, schedule and the number of pictures seen are those of the study's other
    encoders, so each takes as long as "pooled" did. `sites`: which ones, else all that have training images. A finished
    encoder is not trained again, and one that was interrupted goes on. Shows a progress bar.
    """
    from ultrafm.federation.arms import count_training_images

    asked = list(sites or count_training_images(curated))
    jobs = [(curated, pretrained, folder, site) for site in asked]
    bar = progress(total=len(jobs), unit="site", title=f"pre-train at {len(jobs)} sites")
    with bar, nullcontext() if workers <= 1 else worker_pool(min(workers, len(jobs))) as pool:
        made = {}
        for site, place in zip(asked, (pool.map if pool else map)(_pretrain, jobs)):
            made[site] = place
            bar.update()
    return made


def _pretrain(job: tuple[Path, Path, Path, str]) -> Path:
    from ultrafm.federation.arms import count_training_images, open_workplace, pretrain_arm

    curated, pretrained, folder, site = job
    place, grey_scale, sites = open_workplace(curated, pretrained)
    pictures = sum(count_training_images(curated).values())
    pretrain_arm(replace(place, folder=folder), site, [site], sites, grey_scale, pictures)
    return folder / "encoders" / site
