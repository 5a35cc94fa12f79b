"""What training again from other seeds tells: a mean, its range, and differences with intervals over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t


def seeds_table(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Mean of each choice over seeds with its range, and the mean paired difference from the reference, greatest first.

    `table`: columns choices, seed, estimate. The difference's 95 % interval is Student's over seeds: how it would vary
    were training repeated on the same images. A choice that lacks a seed is left out.
    """
    wide = table.pivot_table(index="choices", columns="seed", values="estimate", sort=False)
    wide = wide.dropna()
    difference = wide.sub(wide.loc[reference], axis=1)
    seeds = wide.shape[1]
    half = t.ppf(0.975, seeds - 1) * difference.std(axis=1, ddof=1) / seeds**0.5 if seeds > 1 else np.nan
    found = pd.DataFrame({"seeds": seeds, "mean": wide.mean(axis=1), "lowest": wide.min(axis=1)})
    found = found.assign(highest=wide.max(axis=1), difference=difference.mean(axis=1))
    found = found.assign(difference_low=found.difference - half, difference_high=found.difference + half)
    found.loc[reference, ["difference", "difference_low", "difference_high"]] = np.nan
    return found.sort_values("mean", ascending=False).reset_index()
