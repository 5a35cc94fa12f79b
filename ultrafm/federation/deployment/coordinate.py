"""A run at the coordinator: wait for the sites, drive the rounds, keep the encoder; progress stands in a file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from ultrafm.curation.sheets.licences import carried
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.agreement import layout_of
from ultrafm.federation.deployment.plans import Plan, allowed_keys
from ultrafm.federation.deployment.processes import only_one
from ultrafm.federation.deployment.sites_grid import SitesGrid
from ultrafm.federation.driver import Pretrained, common_grey_scale, describe_settings, drive, round_config
from ultrafm.federation.encoder import site_numbers, write_encoder
from ultrafm.federation.plan import SiteDescription
from ultrafm.federation.vector import to_vector
from ultrafm.files import read_json, write_json
from ultrafm.pretraining.checkpoint import newest_facts
from ultrafm.pretraining.model import MaskedAutoencoder

PROGRESS, LOSSES, HISTORY, ENCODER, CHECKPOINTS = (
    "progress.json", "losses.json", "history.json", "encoder", "checkpoints",
)  # fmt: skip
WAIT_SECONDS = 1.0
NOTES_KEPT = 50


class Progress:
    """What a run tells of itself while it goes on, for `run` and `status`: one JSON file, always whole.

    The losses of rounds stand in a file of their own as well, so that a run which goes on after round `begun` still
    tells those of before.
    """

    def __init__(self, folder: Path, rounds: int, begun: int = 0) -> None:
        self._folder = folder
        losses = read_json(folder / LOSSES) if (folder / LOSSES).is_file() else {}
        self._told: dict[str, Any] = {
            "state": "waiting", "process": os.getpid(), "begun": begun, "round": begun, "rounds": rounds,
            "losses": {number: loss for number, loss in losses.items() if int(number) <= begun}, "missing": [],
            "seconds_left": None, "notes": [], "error": "", "digest": "",
        }  # fmt: skip
        self.set()

    def set(self, **values: Any) -> None:
        """Change some of the values."""
        self._told |= values
        write_json(self._folder / PROGRESS, self._told)

    def add_round(self, number: int, loss: float, seconds_left: float) -> None:
        """Add a round that is done."""
        losses = self._told["losses"] | {str(number): loss}
        write_json(self._folder / LOSSES, losses)
        self.set(round=number, losses=losses, seconds_left=round(seconds_left, 1))

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
        before = newest_facts(plan.folder / CHECKPOINTS) or {"round": 0, "sites": []}
        progress = Progress(plan.folder, rounds, before["round"])
        try:
            known = {node: description["site"] for node, description in before["sites"]}
            sites = SitesGrid(grid, allowed_keys(plan), progress.note, plan.file.reply_minutes * 60, known)
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
            mend = (
                "start `ultrafm federation site` there, with the site's own key (with another site's key it counts as "
                "that one), or take the site out of the plan at all sites"
            )
            found = f"{', '.join(missing)} not online after {plan.file.wait_minutes:g} minutes"
            raise UltraFMError("federation", found, "every site of the plan", mend)
        time.sleep(WAIT_SECONDS)
    progress.set(state="running", missing=missing)


def run_rounds(grid: SitesGrid, plan: Plan, rounds: int, progress: Progress) -> None:
    """All rounds that are left, then the encoder, its history and the digest of the weights."""
    clock = Clock(rounds)

    def on_round(number: int, loss: float) -> None:
        progress.add_round(number, loss, clock.left(number))

    checkpoints = plan.folder / CHECKPOINTS
    made = drive(
        grid, plan.sites, checkpoints, plan.recipe, plan.federation, plan.file.seed,
        timeout=plan.file.reply_minutes * 60, on_round=on_round, begin_anew=False, licences=True,
    )  # fmt: skip
    write_json(plan.folder / HISTORY, made.history)
    keep_encoder(plan, made)
    progress.set(state="finished", round=rounds, seconds_left=0, digest=digest_of(made.model))


def require_same_plan(plan: Plan) -> None:
    """Raises UltraFMError when a run was begun with another plan, before any site is waited for.

    Images that changed at a site are found only when it answers: here they are those of the begun run.
    """
    if (facts := newest_facts(plan.folder / CHECKPOINTS)) is None:
        return
    known = {node: SiteDescription(**fields) for node, fields in facts["sites"]}
    federation, seed = plan.federation, plan.file.seed
    rounds = federation.schedule(len(plan.sites), seed).rounds
    weights = layout_of(plan.recipe, federation.local_patterns)
    config = round_config(plan.recipe, federation, rounds, common_grey_scale(known), weights, seed)
    before = [one.site for one in known.values()]
    if before != plan.sites or facts["settings"] != describe_settings(config, federation, known):
        other = f" with the sites {', '.join(before)}" * (before != plan.sites)
        told = f"a plan other than that of the run in {plan.folder / CHECKPOINTS}, at round {facts['round']}{other}"
        mend = "undo the change of the plan, or move that folder away to begin anew"
        raise UltraFMError(str(plan.path), told, "the plan of the begun run", mend)


def digest_of(model: MaskedAutoencoder) -> str:
    """SHA-256 of all weights."""
    return hashlib.sha256(to_vector(model).tobytes()).hexdigest()


def keep_encoder(plan: Plan, made: Pretrained) -> None:
    """Write the encoder with its model card, which tells the licences as the sites told them."""
    licences = [{"site": one.site, "images": one.images, **one.licence} for one in made.sites]
    about = {
        "arm": "federated", "sites": plan.sites, "seed": plan.file.seed, "licences": carried(licences),
        "numbers": site_numbers({one.site: one.images for one in made.sites}, made.history, plan.federation.passes),
    }  # fmt: skip
    write_encoder(plan.folder / ENCODER, made.model, made.grey_scale, plan.recipe, plan.federation, about)


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
