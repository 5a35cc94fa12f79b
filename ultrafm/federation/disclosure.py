"""What leaves a site, counted. What can be told from it is measured in `leakage`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.federation.compression import expected_arrays
from ultrafm.federation.plan import Federation
from ultrafm.federation.secure.traffic import secure_traffic
from ultrafm.federation.vector import to_vector
from ultrafm.pretraining.model import MaskedAutoencoder

Row = tuple[str, str, int, int]  # from whom, what, times, bytes


def traffic_table(model: MaskedAutoencoder, sites: int, federation: Federation) -> pd.DataFrame:
    """What travels between coordinator and sites, in bytes: shared weights in float32, trained ones as compressed.

    A site takes part in as many rounds as there are passes and shares of a pass, and is asked for a validation loss
    before training and after every pass; with privacy never. In a deployment it also tells the licence of its images,
    in a few words.
    """
    shared = len(to_vector(model, federation.local_patterns))
    weights = shared * np.dtype(np.float32).itemsize
    trained = sum(
        np.dtype(kind).itemsize * shape[0] for kind, shape in expected_arrays(shared, federation.compression).values()
    )
    rounds = federation.passes // federation.local_epochs * federation.shares
    checks = rounds // federation.shares + 1
    rows = [("coordinator to site", "global weights, to train", rounds, weights)]
    if federation.secure_aggregation:
        in_a_round = len(federation.schedule(sites, seed=0).sites_of(1))
        rows += secure_rows(secure_traffic(in_a_round, shared), weights, rounds)
    else:
        rows += [("site to coordinator", "trained weights", rounds, trained)]
    rows += (
        private_rows(federation, rounds) if federation.is_private else open_rows(federation, weights, rounds, checks)
    )
    table = pd.DataFrame(rows, columns=["from", "what", "times for each site", "bytes each time"])
    return table.assign(**{"bytes in all": table["times for each site"] * table["bytes each time"] * sites})


def open_rows(federation: Federation, weights: int, rounds: int, checks: int) -> list[Row]:
    """What goes besides trained weights where there is no differential privacy."""
    numbers = ("image count, mean loss and round (3 numbers)", rounds + checks)
    if federation.secure_aggregation:  # of training only the round: the others are in the masked sum
        numbers = ("image count and mean loss of validation (3 numbers)", checks)
    return [
        ("coordinator to site", "global weights, to validate", checks, weights),
        ("site to coordinator", *numbers, 24),
        ("site to coordinator", "image count and grey sums (3 numbers)", 1, 24),
    ]


def private_rows(federation: Federation, rounds: int) -> list[Row]:
    """What goes besides trained weights with differential privacy: no validation, no loss, no grey value."""
    count = "patient count" if federation.is_at_sites else "image count"
    rows = [] if federation.secure_aggregation else [f"{count} and round, nothing in place of a loss"]
    return [
        *(("site to coordinator", what, rounds, 24) for what in rows),
        ("site to coordinator", f"{count}, nothing in place of grey sums", 1, 24),
    ]


def secure_rows(stages: pd.DataFrame, weights: int, rounds: int) -> list[Row]:
    """The five stages of a secure round, without the weights that are counted already, without what is empty."""
    rows: list[Row] = []
    for one in stages[stages["stage"] != "plain round"].itertuples():
        to_site = one.bytes_to - weights * (one.stage == "masked")
        rows += [("coordinator to site", f"stage {one.stage}: keys, shares or signatures", rounds, to_site)] * bool(
            to_site
        )
        rows += [("site to coordinator", f"stage {one.stage}: {one.purpose}", rounds, one.bytes_from)]
    return rows
