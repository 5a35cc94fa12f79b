"""Three sites of striped pictures, federated by two workers: `python -m tests.federation.striped FOLDER`.

Prints a line per round, and at the end a digest of the weights. A test kills it.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from ultrafm.federation import client_app, site
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import LocalGrid, PoolGrid, start_worker
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import to_vector
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import as_scans

REFERENCE = "tests.federation.striped:app"
SITES = ["site_01_a", "site_02_b", "site_03_c"]
RECIPE = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1, batch_size=4)
FEDERATION = Federation(
    passes=8, shares=3, sites_per_round=2, site_batch_size=2, adaptive="kept", server_optimizer="momentum",
    server_rate=0.5, compression="int8", local_weights="to_pixels*",
)  # fmt: skip
app = client_app.app


def striped(_curated, name, fold):
    """Stripes of another angle at each site."""
    number = SITES.index(name)
    count = {"train": 12 + 6 * number, "validation": 2}[fold]
    y, x = np.mgrid[:32, :32]
    waves = np.sin((x * np.cos(number) + y * np.sin(number)) / 2 + np.arange(count)[:, None, None])
    return as_scans(((waves + 1) * 127).astype(np.uint8), np.ones((count, 32, 32), bool))


site.site_scans = striped  # also in the workers, which import this module for its application


def main(folder: Path, workers: int = 2) -> None:
    """Run or go on, and tell the digest."""
    start_worker()
    nodes = [{"site": name, "curated": "", "folder": str(folder / name)} for name in SITES]
    grid = PoolGrid(REFERENCE, nodes, workers) if workers > 1 else LocalGrid(REFERENCE, nodes)
    try:
        made = drive(
            grid, SITES, folder, RECIPE, FEDERATION, 5, on_round=lambda number, _loss: print(number, flush=True)
        )
    finally:
        grid.close()
    print("digest", hashlib.sha256(to_vector(made.model).tobytes()).hexdigest(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(*sys.argv[2:] or [2]))
