"""Three sites of striped pictures whose patients have one to four images each, in place of stores on disk."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ultrafm.federation import site
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy import at_site
from ultrafm.federation.privacy.views import Roster
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, as_scans

SITES = ["site_01_a", "site_02_b", "site_03_c"]
RECIPE = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1, batch_size=4)
IMAGES = {"site_01_a": [1, 2, 4, 1], "site_02_b": [2] * 6, "site_03_c": [3, 1, 1, 1, 1, 1, 2, 2]}
PRIVATE = Federation(
    passes=2, shares=2, site_batch_size=2, privacy="patients", noise=1.0, clip=0.5, delta=0.01, secure_noise=False,
)  # fmt: skip


def striped(_curated: str, name: str, fold: str) -> Scans:
    """Stripes of another angle at each site."""
    number, count = SITES.index(name), {"train": sum(IMAGES[name]), "validation": 2}[fold]
    y, x = np.mgrid[:32, :32]
    waves = np.sin((x * np.cos(number) + y * np.sin(number)) / 2 + np.arange(count)[:, None, None])
    return as_scans(((waves + 1) * 127).astype(np.uint8), np.ones((count, 32, 32), bool))


def patients(_curated: str, name: str, simulated: bool = True) -> Roster:
    """Whose stripes they are."""
    ends = np.cumsum([0, *IMAGES[name]])
    rows = {f"{name} {number}": np.arange(*ends[number : number + 2]) for number in range(len(IMAGES[name]))}
    return Roster(rows, simulated)


def put_in_place(put: Callable[[Any, str, Any], None], simulated: bool = True) -> None:
    """Let sites of this process see the stripes; `put` sets an attribute."""
    for room in (site, at_site):
        put(room, "site_scans", striped)
        put(room, "site_roster", partial(patients, simulated=simulated))
