"""What protection costs: one federation without any, with secure aggregation, with differential privacy, with both.

All start from the same weights and see the same patients; what differs is what leaves a site. Time and bytes are
measured, and the encoders are kept, to be judged by what they are worth downstream.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ultrafm.federation.arms import Workplace, agree_on_grey_scale, keep_encoder
from ultrafm.federation.driver import federate
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.accounting import noise_for
from ultrafm.federation.privacy.views import site_roster
from ultrafm.files import read_json, write_json
from ultrafm.pretraining.recipe import build_model
from ultrafm.progress import progress
from ultrafm.reporting.figures import interval_plot
from ultrafm.reporting.records import record

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas.io.formats.style import Styler

NOTHING, RANDOM = "nothing", "random"


def protected_plans(
    place: Workplace, sites: Sequence[str], budgets: Sequence[float], both: float, delta: float, clip: float
) -> dict[str, Federation]:
    """The plans to compare, by name: nothing; secure aggregation; privacy of patients at each of the `budgets`; both.

    `both`: the epsilon of the one that has secure aggregation too. Noise is the least with which no site spends more
    than its epsilon at `delta`; it comes from the seed, so that a run repeats (simulated images only).
    """
    secure = {"secure_aggregation": True, "guarded": False}
    plans = {NOTHING: place.federation, "secure aggregation": replace(place.federation, **secure)}
    for epsilon in dict.fromkeys([*budgets, both]):
        private = replace(
            place.federation, privacy="patients", epsilon=epsilon, delta=delta, clip=clip, secure_noise=False,
            noise=noise_for_sites(place, sites, epsilon, delta),
        )  # fmt: skip
        if epsilon in budgets:
            plans[f"privacy, epsilon {epsilon:g}"] = private
        if epsilon == both:
            last = replace(private, **secure)
    return plans | {f"both, epsilon {both:g}": last}


def noise_for_sites(place: Workplace, sites: Sequence[str], epsilon: float, delta: float) -> float:
    """The least noise with which no site spends more than `epsilon` over the whole training."""
    steps = {
        -(-len(site_roster(str(place.curated), site)) // place.federation.site_batch_size) for site in sites
    }  # of a pass; a patient is in each with one over so many
    return max(noise_for(epsilon, delta, 1 / of_pass, of_pass * place.federation.passes) for of_pass in steps)


def train_plans(
    place: Workplace, plans: Mapping[str, Federation], sites: list[str]
) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Train under each plan, one after the other in this process, so that seconds can be compared; resumes.

    Returns a row a plan (see `train_plan`), and the folder of each encoder, that of the untrained network too.
    """
    rows, encoders = [], {}
    for name, federation in progress(plans.items(), total=len(plans), title="protections", unit="training"):
        at = replace(place, folder=place.folder / name.replace(", ", "_").replace(" ", "-"), federation=federation)
        rows.append({"protection": name, **train_plan(at, sites)})
        encoders[name] = at.folder / "encoders" / "federated"
    untrained, grey_scale = build_model(place.recipe, place.seed), agree_on_grey_scale(place, sites)
    encoders[RANDOM] = keep_encoder(place, RANDOM, untrained, grey_scale, [])
    return pd.DataFrame(rows), encoders


def train_plan(place: Workplace, sites: list[str]) -> dict[str, Any]:
    """One training: its noise, rounds, seconds a round, and bytes to and from a site each time that it takes part.

    Bytes are those of weights, masked or not: keys, shares and signatures of secure sums come on top, see
    `secure.traffic`, and are a few kB.
    Seconds are those of all work in this one process, sites' and coordinator's; of a training that was interrupted and
    went on they are unknown (None).
    """
    finished = place.folder / "costs.json"
    if finished.exists():
        return read_json(finished)
    interrupted, begun = place.folder.exists(), time.perf_counter()
    made = federate(place.curated, sites, place.folder / "federated", place.recipe, place.federation, place.seed)
    seconds = time.perf_counter() - begun
    keep_encoder(place, "federated", made.model, made.grey_scale, sites)
    rounds = place.federation.schedule(len(sites), place.seed).rounds
    asked = place.federation.passes // place.federation.local_epochs * place.federation.shares * len(sites)
    trained = [row for row in made.history if row["pass"] > 0]
    costs = {
        "noise": place.federation.noise, "rounds": rounds, "seconds_a_round": None if interrupted else seconds / rounds,
        "bytes_to_a_site": sum(row["bytes_sent"] for row in trained) / asked,
        "bytes_from_a_site": sum(row["bytes_received"] for row in trained) / asked,
    }  # fmt: skip
    write_json(finished, costs)
    return costs


def cost_table(costs: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The costs with what each encoder is worth: its macro-averaged AUROC by a linear probe, with 95 % interval.

    Columns of `train_plan`, and auroc, low, high; difference, difference_low, difference_high from "nothing".
    """
    found: dict[str, dict[str, float]] = {}
    for one in records:
        if one["task"] != "macro_average" or one["metric"] != "auroc":
            continue
        names = ("difference", "difference_low", "difference_high") if one["comparator"] else ("auroc", "low", "high")
        values = (one["estimate"], one["ci_low"], one["ci_high"])
        found.setdefault(one["method"].split("/", 1)[1], {}).update(zip(names, values))
    worth = pd.DataFrame.from_dict(found, orient="index").rename_axis("protection").reset_index()
    untrained = pd.DataFrame({"protection": [RANDOM]})
    return pd.concat([costs, untrained], ignore_index=True).merge(worth, on="protection", how="left")


def worth_figure(table: pd.DataFrame, images: str) -> Figure:
    """AUROC of each encoder with its interval."""
    title = f"What the encoder is worth ({images} images)"
    return interval_plot(table, "auroc", "low", "high", "protection", None, title, "AUROC, linear probe, validation")


def cost_style(table: pd.DataFrame) -> Styler:
    """The table of costs for people."""
    shown = pd.DataFrame(
        {
            "protection": table["protection"],
            "noise": table["noise"].map(lambda one: f"{one:.2f}" if one > 0 else ""),
            "seconds a round": table["seconds_a_round"].map(lambda one: "" if pd.isna(one) else f"{one:.2f}"),
            "MB of weights to a site a round, validation too": table["bytes_to_a_site"].map(_megabytes),
            "MB of weights from a site a round": table["bytes_from_a_site"].map(_megabytes),
            "AUROC": [_with_interval(*one) for one in table[["auroc", "low", "high"]].itertuples(index=False)],
            "less nothing": [
                _with_interval(*one)
                for one in table[["difference", "difference_low", "difference_high"]].itertuples(index=False)
            ],
        }
    )
    return shown.style.hide(axis="index")


def _megabytes(count: float) -> str:
    return "" if pd.isna(count) else f"{count / 1e6:.2f}"


def _with_interval(estimate: float, low: float, high: float) -> str:
    if pd.isna(estimate):
        return ""
    return f"{estimate:.3f}" if pd.isna(low) else f"{estimate:.3f} [{low:.3f}, {high:.3f}]"


def cost_records(costs: pd.DataFrame, images: str) -> list[dict[str, Any]]:
    """Bytes of weights to and from a site each time that it takes part, as records; seconds differ from run to run."""
    return [
        record(
            section="privacy", task="cost_of_protection", method=row.protection, metric=f"bytes_{way}_a_site",
            estimate=getattr(row, f"bytes_{way}_a_site"), unit="bytes", images=images,
        )
        for row in costs.itertuples()
        for way in ("to", "from")
    ]  # fmt: skip
