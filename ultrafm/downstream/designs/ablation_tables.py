"""What the ablation of pre-training says in numbers: every arm, every choice alone, and the repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.ablation import CHOICES, DRAWS, RANDOM, Arm
from ultrafm.downstream.metrics import auroc, interval
from ultrafm.downstream.records import diagnosis_records, macro_comparison
from ultrafm.errors import UltraFMError


def ablation_table(records: Sequence[Mapping[str, Any]], arms: Sequence[Arm]) -> pd.DataFrame:
    """Macro AUROC of every arm, and its paired difference from the reference, with 95 % intervals, best first.

    Columns choices, seed, estimate, ci_low, ci_high, difference, difference_low, difference_high, images.
    """
    by_name = {arm.name: arm for arm in arms}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records:
        name = row["method"].split("/", 1)[1]
        if row["task"] != "macro_average" or row["metric"] != "auroc" or name not in (*by_name, RANDOM):
            continue
        arm = by_name.get(name)
        here = rows.setdefault((name, row["images"]), {"choices": arm.choices if arm else RANDOM})
        here |= {"seed": arm.seed if arm else None, "images": row["images"], "fold": row["fold"]}
        names = ("difference", "difference_low", "difference_high")
        if row["comparator"] is None:
            names = ("estimate", "ci_low", "ci_high")
        here |= dict(zip(names, (row["estimate"], row["ci_low"], row["ci_high"])))
    if not rows:
        raise UltraFMError("ablation", "no macro average", "a task that can be evaluated")
    if len({images for _name, images in rows}) > 1:
        raise UltraFMError("ablation", "tasks of real and of simulated images", "one kind", "use a study of one kind")
    return pd.DataFrame(rows.values()).sort_values("estimate", ascending=False).reset_index(drop=True)


def repeat_records(
    scores: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    arms: Sequence[Arm],
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """Records of the repeats: every arm, and its difference from the reference of the same seed (the first arm's)."""
    records = []
    for seed in dict.fromkeys(arm.seed for arm in arms):
        names = [arm.name for arm in arms if arm.seed == seed]
        rows = scores[scores["encoder"].isin(names)]
        records += diagnosis_records(rows, described, generator, DRAWS, "ablation_repeats", names[0])
    return records


def main_effects(scores: pd.DataFrame, described: Mapping[str, Mapping[str, Any]], arms: Sequence[Arm]) -> pd.DataFrame:
    """Each choice alone: mean AUROC of the arms that share an option, and its difference from the first option's.

    Paired over patients, with 95 % intervals clustered by patient. Columns choice, option, arms, mean, difference, low,
    high; the first option of each choice has no difference.
    """
    words = {arm.name: dict(zip(CHOICES, arm.choices.split(", "))) for arm in arms}
    kept = scores[scores["encoder"].isin(words)]
    compared = macro_comparison(kept, described)
    estimates = auroc(compared.cases, compared.weights)
    rows = []
    for choice in CHOICES:
        options = list(dict.fromkeys(words[arm.name][choice] for arm in arms))
        means = {
            option: np.array([words[name][choice] == option for name in compared.encoders], float) for option in options
        }
        means = {option: share / share.sum() for option, share in means.items()}
        for option in options:
            row = {"choice": choice, "option": option, "arms": int((means[option] > 0).sum())}
            row["mean"] = float(means[option] @ estimates.values)
            if option != options[0]:
                found = interval(estimates, means[option] - means[options[0]])
                row |= {"difference": found.estimate, "low": found.low, "high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)
