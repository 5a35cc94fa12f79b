"""What leaves a site, counted. What can be told from it is measured in `leakage`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.federation.compression import expected_arrays
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import to_vector
from ultrafm.pretraining.model import MaskedAutoencoder


def traffic_table(model: MaskedAutoencoder, sites: int, federation: Federation) -> pd.DataFrame:
    """What travels between coordinator and sites, in bytes: shared weights in float32, trained ones as compressed.

    A site takes part in as many rounds as there are passes and shares of a pass, and is asked for a validation loss
    before training and after every pass.
    """
    shared = len(to_vector(model, federation.local_patterns))
    weights = shared * np.dtype(np.float32).itemsize
    trained = sum(
        np.dtype(kind).itemsize * shape[0] for kind, shape in expected_arrays(shared, federation.compression).values()
    )
    rounds, checks = federation.passes * federation.shares, federation.passes + 1
    rows = [
        ("coordinator to site", "global weights, to train", rounds, weights),
        ("site to coordinator", "trained weights", rounds, trained),
        ("coordinator to site", "global weights, to validate", checks, weights),
        ("site to coordinator", "image count, mean loss and round (3 numbers)", rounds + checks, 24),
        ("site to coordinator", "image count and grey sums (3 numbers)", 1, 24),
    ]
    table = pd.DataFrame(rows, columns=["from", "what", "times for each site", "bytes each time"])
    return table.assign(**{"bytes in all": table["times for each site"] * table["bytes each time"] * sites})
