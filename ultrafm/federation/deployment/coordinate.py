"""A run at the coordinator: wait for the sites, drive the rounds, keep the encoder; progress stands in a file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from ultrafm.curation.sheets.licences import strictest
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.plans import Plan, allowed_keys
from ultrafm.federation.deployment.processes import only_one
from ultrafm.federation.deployment.sites_grid import SitesGrid
from ultrafm.federation.driver import Pretrained, drive
from ultrafm.federation.vector import to_vector
from ultrafm.files import read_json, write_json
from ultrafm.pretraining.checkpoint import newest_facts
from ultrafm.pretraining.exchange.autoencoder import FILE as AUTOENCODER
from ultrafm.pretraining.exchange.autoencoder import save_autoencoder
from ultrafm.pretraining.exchange.card import write_card
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import save_encoder

PROGRESS, HISTORY, ENCODER, CHECKPOINTS = "progress.json", "history.json", "encoder", "checkpoints"
WAIT_SECONDS = 1.0
NOTES_KEPT = 50


class Progress:
    """What a run tells of itself while it goes on, for `run` and `status`: one JSON file, always whole."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self._path = folder / PROGRESS
        self._told: dict[str, Any] = {
            "state": "waiting", "process": os.getpid(), "round": 0, "rounds": rounds, "losses": {}, "missing": [],
            "seconds_left": None, "notes": [], "error": "", "digest": "",
        }  # fmt: skip
        self.set()

    def set(self, **values: Any) -> None:
        """Change some of the values."""
        self._told |= values
        write_json(self._path, self._told)

    def note(self, line: str) -> None:
        """Add a line on what happened to a site."""
        self.set(notes=[*self._told["notes"], line][-NOTES_KEPT:])


class Clock:
    """How long the rounds that are left will take, by the mean of those of this run."""

    def __init__(self, rounds: int) -> None:
        self._rounds, self._begun, self._done = rounds, time.monotonic(), 0

    def left(self, number: int) -> float:
        """Seconds left after round `number`."""
        self._done += 1
        return (time.monotonic() - self._begun) / self._done * (self._rounds - number)


def coordinate(grid: Grid, plan: Plan) -> None:
    """Drive a plan over the sites behind `grid` to its end. Raises UltraFMError, which the progress file tells too."""
    with only_one(plan.folder / "run.lock", "run of this plan"):
        rounds = plan.federation.schedule(len(plan.sites), plan.file.seed).rounds
        progress = Progress(plan.folder, rounds)
        try:
            sites = SitesGrid(grid, allowed_keys(plan), progress.note, plan.file.reply_minutes * 60)
            wait_for_sites(sites, plan, progress)
            run_rounds(sites, plan, rounds, progress)
        except Exception as error:
            progress.set(state="failed", error=str(error) if isinstance(error, UltraFMError) else repr(error))
            raise


def wait_for_sites(grid: SitesGrid, plan: Plan, progress: Progress) -> None:
    """Return when every site is online; where a begun run drops faults, when enough are and the time is over.

    Raises UltraFMError that names the missing ones when too few are there after the plan's `wait_minutes`.
    """
    deadline = time.monotonic() + plan.file.wait_minutes * 60
    begun = newest_facts(plan.folder / CHECKPOINTS) is not None
    fewest = plan.federation.least_sites if begun and plan.federation.on_fault == "drop" else len(plan.sites)
    told: list[str] = []
    while missing := grid.missing():
        if missing != told:
            progress.set(missing=missing)
            told = missing
        if time.monotonic() > deadline:
            if len(plan.sites) - len(missing) >= fewest:
                break
            mend = "start `ultrafm federation site` there, or take the site out of the plan at all sites"
            found = f"{', '.join(missing)} not online after {plan.file.wait_minutes:g} minutes"
            raise UltraFMError("federation", found, "every site of the plan", mend)
        time.sleep(WAIT_SECONDS)
    progress.set(state="running", missing=missing)


def run_rounds(grid: SitesGrid, plan: Plan, rounds: int, progress: Progress) -> None:
    """All rounds that are left, then the encoder, its history and the digest of the weights."""
    clock, losses = Clock(rounds), {}

    def on_round(number: int, loss: float) -> None:
        losses[str(number)] = loss
        progress.set(round=number, losses=losses, seconds_left=round(clock.left(number), 1))

    checkpoints = plan.folder / CHECKPOINTS
    made = drive(
        grid, plan.sites, checkpoints, plan.recipe, plan.federation, plan.file.seed,
        timeout=plan.file.reply_minutes * 60, on_round=on_round, begin_anew=False,
    )  # fmt: skip
    write_json(plan.folder / HISTORY, made.history)
    keep_encoder(plan, made)
    progress.set(state="finished", round=rounds, seconds_left=0, digest=digest_of(made.model))


def digest_of(model: MaskedAutoencoder) -> str:
    """SHA-256 of all weights."""
    return hashlib.sha256(to_vector(model).tobytes()).hexdigest()


def keep_encoder(plan: Plan, made: Pretrained) -> None:
    """Write the encoder as a timm folder with a model card, and beside it the whole autoencoder, if it is complete.

    Sites tell counts and losses and not their licences, so that the card says that these have to be cleared.
    """
    description = {
        "arm": "federated", "sites": plan.sites, "recipe": plan.recipe.settings(),
        "federation": asdict(plan.federation), "seed": plan.file.seed,
        "licences": {"sites": [], **strictest(["licence unclear"])},
        "numbers": site_numbers(plan, made.history),
    }  # fmt: skip
    save_encoder(made.model, plan.folder / ENCODER, made.grey_scale, description)
    if not plan.federation.local_weights:
        save_autoencoder(made.model, plan.folder / ENCODER / AUTOENCODER)
    write_card(plan.folder / ENCODER)


def site_numbers(plan: Plan, history: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each site's images of a pass, and its validation loss after the last one."""
    last = [row for row in history if row["pass"] == plan.federation.passes]
    return {
        row["site"]: {"images": row["images"]}
        | ({} if row["validation_loss"] is None else {"validation_loss": round(row["validation_loss"], 4)})
        for row in last
    }


def read_progress(plan: Plan) -> Mapping[str, Any]:
    """What the newest run of a plan told last; empty when there was none."""
    path = plan.folder / PROGRESS
    return read_json(path) if path.is_file() else {}


def incidents(plan: Plan) -> list[str]:
    """What the newest checkpoint tells of incidents, one line each."""
    facts = newest_facts(plan.folder / CHECKPOINTS) or {}
    return [
        f"round {one['round']}, {one['site']}: {one['kind']}, {one['found']}; {one['action']}"
        for one in facts.get("incidents", [])
    ]
