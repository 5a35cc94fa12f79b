"""Federations side by side: each trained alike from several seeds, judged by the loss on validation pictures.

No test fold is read. Every trial is kept in a folder of its own; what is finished is not trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.curation import load_pictures
from ultrafm.errors import UltraFMError, nearest
from ultrafm.federation.arms import Workplace
from ultrafm.federation.attacks import REFERENCE
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import LocalGrid, start_worker
from ultrafm.federation.heterogeneity import deal_anew
from ultrafm.federation.incidents import RoundFailed
from ultrafm.federation.plan import Federation
from ultrafm.files import hash_text, read_json, write_json
from ultrafm.pretraining.central import pretrain_centrally
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import image_losses
from ultrafm.pretraining.scans import scans_of
from ultrafm.progress import progress
from ultrafm.reporting.records import record
from ultrafm.reporting.repeats import seeds_table
from ultrafm.seeds import spawn, spawn_torch
from ultrafm.workers import worker_pool

POOLED = "pooled"


@dataclass(frozen=True)
class Trial:
    """One training. `changes` are those of the base federation, by field.

    alone: "pooled" or the one site that is trained on instead. deal: see `heterogeneity.DEALS`. attack: what the first
    site does, see `attacks.ATTACKS`; "" for an honest one.
    """

    name: str
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)
    alone: str = ""
    deal: str = "as scanned"
    attack: str = ""

    def folder(self, place: Workplace, sites: Sequence[str]) -> str:
        """A folder's name of its own, the same for the same training of these sites."""
        facts = asdict(self)
        del facts["name"]
        around = [place.recipe.settings(), asdict(place.federation), [*sites]]
        return f"seed-{self.seed}_{hash_text(repr([sorted(facts.items()), *around]))[:12]}"


def read_changes(text: str) -> dict[str, Any]:
    """ "adaptive reset, shares 1" as changes of a `Federation`; values are read as the field's own kind.

    Raises UltraFMError for a word that is no field or cannot be read.
    """
    base = Federation(passes=1)
    known = {one.name for one in fields(Federation)}
    changes: dict[str, Any] = {}
    for words in filter(None, text.strip().split(",")):
        name, _, value = words.strip().partition(" ")
        if name not in known or not value:
            expected = f"a field of Federation and a value, such as 'shares 1'{nearest(name, known)}"
            raise UltraFMError("setting", repr(words), expected)
        kind = type(getattr(base, name))
        try:
            changes[name] = {"yes": True, "no": False}[value] if kind is bool else kind(value)
        except (KeyError, ValueError) as error:
            expected = "yes or no" if kind is bool else f"a value of kind {kind.__name__}"
            raise UltraFMError(f"setting {name}", repr(value), expected) from error
    replace(base, **changes)
    return changes


def run_trials(
    place: Workplace, trials: Sequence[Trial], sites: list[str], grey_scale: GreyScale, workers: int
) -> pd.DataFrame:
    """Train every trial, `workers` at a time; one row each, with name and seed, and what came out.

    loss: mean over all sites' validation pictures under the same masks for all trials. site_loss: as the sites of the
    federation measured it, each with the weights that it keeps for itself. Both are in units of each patch's variance,
    and missing where training stopped (`stopped` says why). dropped: answers that were. megabytes: of weights, sent by
    the sites.
    """
    unique = {trial.folder(place, sites): trial for trial in trials}
    jobs = [(place, trial, sites, grey_scale) for trial in unique.values()]
    found = {}
    bar = progress(total=len(jobs), unit="training", title=f"{len(jobs)} trainings")
    with bar, worker_pool(max(workers, 1), start_worker) as pool:
        for folder, outcome in zip(unique, pool.map(run_trial, jobs)):
            found[folder] = outcome
            bar.update()
    return pd.DataFrame(
        [{"name": trial.name, "seed": trial.seed, **found[trial.folder(place, sites)]} for trial in trials]
    )


def run_trial(job: tuple[Workplace, Trial, list[str], GreyScale]) -> dict[str, Any]:
    """One trial's outcome, from its file when it is there."""
    place, trial, sites, grey_scale = job
    folder = place.folder / "trials" / trial.folder(place, sites)
    if (folder / "outcome.json").exists():
        return read_json(folder / "outcome.json")
    curated = deal_anew(
        place.curated, sites, folder / "dealt", trial.deal, spawn(trial.seed, "dealing pictures", trial.deal)
    )
    try:
        outcome = (
            train_alone(place, trial, sites, grey_scale, folder)
            if trial.alone
            else train_together(place, trial, sites, curated, folder)
        )
    except RoundFailed as error:
        outcome = {"loss": None, "site_loss": None, "stopped": str(error), "dropped": 0, "megabytes": None}
    write_json(folder / "outcome.json", outcome)
    return outcome


def train_together(place: Workplace, trial: Trial, sites: list[str], curated: Path, folder: Path) -> dict[str, Any]:
    """A federation in this process, whose first site may attack."""
    federation = replace(place.federation, **trial.changes)
    nodes = [{"site": site, "curated": str(curated), "folder": str(folder / site)} for site in sites]
    nodes[0]["attack"] = trial.attack
    made = drive(LocalGrid(REFERENCE, nodes), sites, folder, place.recipe, federation, trial.seed)
    rows = [row for row in made.history if row["pass"] == federation.passes and row["validation_loss"] is not None]
    images = [row["validation_images"] for row in rows]
    return {
        "loss": mean_loss(place, made.model, sites, made.grey_scale),
        "site_loss": float(np.average([row["validation_loss"] for row in rows], weights=images)) if rows else None,
        "stopped": "", "dropped": len(made.incidents),
        "megabytes": sum(row["bytes_received"] for row in made.history) / 1e6,
    }  # fmt: skip


def train_alone(
    place: Workplace, trial: Trial, sites: list[str], grey_scale: GreyScale, folder: Path
) -> dict[str, Any]:
    """All pictures in one place, or those of one site, and as many picture-steps as the federation's."""
    pictures = len(load_pictures(place.curated, sites, ["train"]).images)
    training = load_pictures(place.curated, sites if trial.alone == POOLED else [trial.alone], ["train"])
    model, _history = pretrain_centrally(
        "trial", folder, place.recipe, scans_of(training), scans_of(load_pictures(place.curated, sites, [])),
        grey_scale, place.federation.passes, pictures, trial.seed,
    )  # fmt: skip
    loss = mean_loss(place, model, sites, grey_scale)
    return {"loss": loss, "site_loss": None, "stopped": "", "dropped": 0, "megabytes": 0.0}


def mean_loss(place: Workplace, model: Any, sites: list[str], grey_scale: GreyScale) -> float:
    """The mean loss on all validation pictures, under masks that are the same for all trials."""
    held_out = scans_of(load_pictures(place.curated, sites, ["validation"]))
    masks = spawn_torch(place.seed, "trial masks")
    return float(image_losses(model, held_out, grey_scale, place.recipe, masks).mean())


def every_place(sites: list[str], seeds: Sequence[int]) -> list[Trial]:
    """The base federation, all pictures pooled, and each site alone, from each seed."""
    return [
        Trial(name, seed, alone="" if name == "federated" else name)
        for name in ("federated", POOLED, *sites)
        for seed in seeds
    ]


def every_setting(settings: Sequence[str], deals: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """Each setting ("name: changes"), on pictures dealt in each way, from each seed."""
    named = dict(_named(text) for text in settings)
    return [
        Trial(f"{name}, {deal}" if len(deals) > 1 else name, seed, changes, deal=deal)
        for deal in deals
        for name, changes in named.items()
        for seed in seeds
    ]


def every_attack(attacks: Sequence[str], rules: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """Each rule ("name: changes") without and with each attack of the first site, from each seed."""
    named = dict(_named(text) for text in rules)
    return [
        Trial(f"{name}, {attack or 'all honest'}", seed, changes, attack=attack)
        for attack in ("", *attacks)
        for name, changes in named.items()
        for seed in seeds
    ]


def _named(text: str) -> tuple[str, dict[str, Any]]:
    name, colon, changes = text.partition(":")
    if not colon:
        raise UltraFMError("setting", repr(text), "a name, a colon, and changes, such as 'FedAvg: adaptive reset'")
    return name.strip(), read_changes(changes)


def compare(outcomes: pd.DataFrame, reference: str, column: str = "loss") -> pd.DataFrame:
    """Mean loss of each name over seeds, and the difference from `reference`, smallest first (see `seeds_table`).

    Raises UltraFMError when a training has no loss, since it stopped.
    """
    if (stopped := outcomes[outcomes[column].isna()]).size:
        found = f"{stopped['name'].iloc[0]}, seed {stopped['seed'].iloc[0]}: {stopped['stopped'].iloc[0] or 'no loss'}"
        raise UltraFMError("trials", found, "trainings that came to their end")
    table = outcomes.rename(columns={"name": "choices", column: "estimate"})[["choices", "seed", "estimate"]]
    return seeds_table(table.astype({"estimate": float}), reference).iloc[::-1].reset_index(drop=True)


def trial_records(compared: pd.DataFrame, question: str, reference: str, images: str) -> list[dict[str, Any]]:
    """Mean losses and their differences from the reference, as records."""
    common = {
        "section": "federation", "task": question, "metric": "normalised_squared_error", "fold": "validation",
        "unit": "patch variance", "images": images,
    }  # fmt: skip
    records = []
    for row in compared.itertuples():
        records.append(record(
            **common, method=row.choices, estimate=row.mean, ci_low=row.lowest, ci_high=row.highest,
            ci_method=f"range over {row.seeds} seeds", n=int(row.seeds),
        ))  # fmt: skip
        if row.choices != reference:
            records.append(record(
                **common, method=row.choices, comparator=reference, estimate=row.difference,
                ci_low=row.difference_low, ci_high=row.difference_high, ci_method="Student over seeds",
                n=int(row.seeds),
            ))  # fmt: skip
    return records
