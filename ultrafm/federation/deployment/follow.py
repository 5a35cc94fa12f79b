"""Submitting a run and following it at the coordinator, and telling how a federation stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.control import Control, SuperLinkAway
from ultrafm.federation.deployment.coordinate import ENCODER, PROGRESS, incidents, read_progress, require_same_plan
from ultrafm.federation.deployment.plans import Plan, allowed_keys, check_certificates, read_plan
from ultrafm.federation.deployment.processes import COORDINATOR_LOCK, is_held, stoppable

LOOK_SECONDS = 1.0
START_SECONDS = 120.0  # for a ServerApp to show that it runs
AWAY_SECONDS = 300.0  # for a SuperLink to come back


def run_plan(path: Path, restarts: int, tell: Callable[[str], None]) -> bool:
    """Submit a run of a plan and follow it; when its process dies, submit again, at most `restarts` times.

    Returns whether the model is finished; an interrupt stops the run, which keeps its checkpoint. Raises UltraFMError
    when the coordinator's command does not run, or a run was begun with another plan.
    """
    plan = read_plan(path)
    allowed_keys(plan)
    check_certificates(plan)
    require_same_plan(plan)
    with Control(plan) as control, stoppable():
        for attempt in range(restarts + 1):
            follower = Follower(plan, control, submit(plan, control), tell)
            try:
                ending = follower.follow()
            except KeyboardInterrupt:
                follower.stop()
                raise
            if ending != "died":
                return ending == "finished"
            if attempt < restarts:
                tell(f"the run's process died; submitted again ({attempt + 1} of {restarts}), from its checkpoint")
    tell("the run's process died too often: see superlink/superlink.log in the plan's folder")
    return False


def submit(plan: Plan, control: Control) -> int:
    """Start a run, as soon as the SuperLink answers; returns its number."""
    (plan.folder / PROGRESS).unlink(missing_ok=True)
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return control.start_run(plan)
        except SuperLinkAway:
            if time.monotonic() > deadline or not is_held(plan.folder / COORDINATOR_LOCK):
                mend = f"`ultrafm federation coordinator {plan.path}` in another terminal, or as a service"
                raise UltraFMError("SuperLink", f"nobody at {plan.control}", "a running coordinator", mend) from None
            time.sleep(LOOK_SECONDS)


class Follower:
    """Tells what a run does until it ends, one line for each thing that is new."""

    def __init__(self, plan: Plan, control: Control, run: int, tell: Callable[[str], None]) -> None:
        self._plan, self._control, self._run, self._tell = plan, control, run, tell
        self._told: set[str] = set()
        self._begun = time.monotonic()
        self._away: float | None = None

    def follow(self) -> str:
        """ "finished"; "failed" for an error that another attempt would meet again; or "died"."""
        while True:
            progress = read_progress(self._plan)
            self._tell_progress(progress)
            if progress.get("state") == "finished":
                self._tell(f"finished: {self._plan.folder / ENCODER}, digest of the weights {progress['digest'][:16]}")
                return "finished"
            if progress.get("state") == "failed":
                self._tell(f"failed: {progress['error']}")
                return "failed"
            if reason := self._death(progress):
                self._once(f"{reason}")
                self.stop()
                return "died"
            time.sleep(LOOK_SECONDS)

    def _once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

    def _tell_progress(self, progress: Mapping[str, Any]) -> None:
        if missing := progress.get("missing"):
            self._once(f"waiting for {', '.join(missing)}")
        for note in progress.get("notes", []):
            self._once(note)
        if begun := progress.get("begun"):
            self._once(f"goes on after round {begun} of {progress['rounds']}")
        for number, loss in progress.get("losses", {}).items():
            if int(number) <= begun:
                continue
            left = f"; {describe_seconds(progress['seconds_left'])} left" if int(number) == progress["round"] else ""
            line = f"round {number} of {progress['rounds']}: loss {loss:.4f}"
            if line not in self._told:
                self._told.add(line)
                self._tell(line + left)

    def _death(self, progress: Mapping[str, Any]) -> str:
        """Why the run cannot go on, or nothing."""
        if progress and not lives(progress["process"]):
            return "the ServerApp is gone"
        if progress:
            return ""
        try:
            state = self._control.run_state(self._run)
        except SuperLinkAway:
            self._once("the SuperLink does not answer")
            self._away = self._away or time.monotonic()
            return "" if time.monotonic() - self._away < AWAY_SECONDS else "the SuperLink stayed away"
        except UltraFMError as error:  # a SuperLink without the database of the one that took the run
            return str(error)
        self._away = None
        if state.status == "finished":
            return f"the run ended before it began: {state.details or state.ending}"
        return "" if time.monotonic() - self._begun < START_SECONDS else "the ServerApp did not start"

    def stop(self) -> None:
        """Stop what may be left of the run, so that Flower gives its sites free."""
        try:
            self._control.stop_run(self._run)
        except (SuperLinkAway, UltraFMError):
            return


def lives(process: int) -> bool:
    """Is there a process of this number on this machine? One that ended and was not fetched yet does not count."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def describe_seconds(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def describe_status(path: Path) -> tuple[list[str], bool]:
    """How a federation stands, in lines, and whether it is well: all sites online, and no run failed or interrupted."""
    plan = read_plan(path)
    keys = allowed_keys(plan)
    try:
        with Control(plan) as control:
            online = {node.key for node in control.nodes() if node.online}
        lines = [f"{site}: {'online' if key in online else 'OFFLINE'}" for site, key in keys.items()]
        well = all(key in online for key in keys.values())
    except SuperLinkAway:
        lines, well = [f"the coordinator does not run: nobody at {plan.control}"], False
    progress = read_progress(plan)
    if progress:
        state = progress["state"]
        if state in ("waiting", "running") and not lives(progress["process"]):
            state = "interrupted"
        well = well and state not in ("failed", "interrupted")
        lines.append(f"run: {state}, round {progress['round']} of {progress['rounds']}")
        lines += [f"round {number}: loss {loss:.4f}" for number, loss in list(progress["losses"].items())[-5:]]
        lines += [f"error: {progress['error']}"] * bool(progress["error"])
        lines += [f"note: {note}" for note in progress["notes"][-5:]]
    lines += [f"incident: {one}" for one in incidents(plan)]
    return lines, well
