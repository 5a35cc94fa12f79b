"""Twenty kills at random moments of a deployment: the weights are those of the federation in one process."""

import signal
import time
from contextlib import suppress
from functools import partial

import numpy as np
import psutil
import pytest
from waiting import wait_for

from ultrafm.federation.deployment.coordinate import read_progress
from ultrafm.federation.deployment.demo import build_stage
from ultrafm.federation.deployment.follow import lives
from ultrafm.federation.deployment.nginx import find_nginx

pytestmark = pytest.mark.slow
VICTIMS = {  # what is killed, how often, words of its command line, is it a site's?
    "SuperLink": (4, "flower-superlink", False),
    "coordinator's command": (2, "federation coordinator", False),
    "ServerApp": (4, "flwr-serverapp", False),
    "run's command": (2, "federation run", False),
    "SuperNode": (2, "flower-supernode", True),
    "ClientApp": (4, "guard serve", True),
    "site's command": (2, "federation site", True),
}
KILLS = 20
LONGEST_PAUSE = 10.0  # seconds
AFTER_A_ROUND = 0.15  # share of the kills before which a round must have been done since the last kill
LOOK_SECONDS = 4.0


class People:
    """They start a command again when it has ended; but for a run that is finished."""

    def __init__(self, stage):
        sites = {site: partial(stage.start_site, site) for site in stage.sites}
        self.starts = {"coordinator": stage.start_coordinator, **sites, "run": stage.start_run}
        self.processes = {name: start() for name, start in self.starts.items()}
        self.looked = time.monotonic()

    @property
    def finished(self):
        return self.processes["run"].poll() == 0

    def look(self):
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for name, process in self.processes.items():
            if process.poll() is not None and not (name == "run" and self.finished):
                self.processes[name] = self.starts[name]()


def victims_and_moments(generator, sites):
    """Twenty (victim, site, must a round be done first, pause in seconds)."""
    every = [kind for kind, (count, *_how) in VICTIMS.items() for _time in range(count)]
    return [
        (kind, generator.choice(sites), generator.random() < AFTER_A_ROUND, generator.uniform(0.0, LONGEST_PAUSE))
        for kind in generator.permutation(every)
    ]


def find(stage, kind, site):
    """The living process that is to be killed, if there is one. A ClientApp is the child of the site's task server."""
    _count, command, at_site = VICTIMS[kind]
    words = [command, str(stage.site_folder(site) if at_site else "")]
    for one in stage.family.members():
        with suppress(psutil.Error):
            line = " ".join(one.cmdline())
            is_task = kind != "ClientApp" or one.parent().cmdline() == one.cmdline()
            if is_task and all(word in line for word in words):
                return one
    return None


def round_of(stage):
    return read_progress(stage.plan).get("round", 0)


def kill(stage, people, kind, site):
    """Kill it as soon as it lives; whether that was done before the run was finished."""
    while not people.finished:
        people.look()
        if (process := find(stage, kind, site)) is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
                return wait_for(lambda killed=process.pid: not lives(killed), 10)
        time.sleep(0.02)
    return False


def test_twenty_kills_at_random_moments_change_nothing(tmp_path):
    """Sites keep moments and what rounding lost, so that a round that counted twice would show."""
    plan = {"passes": 5, "shares": 3, "adaptive": "kept", "compression": "int8"}
    stage = build_stage(tmp_path, find_nginx() is not None, sites=2, **plan)
    moments = victims_and_moments(np.random.default_rng(20), stage.sites)
    people, hit = People(stage), []
    try:
        begun = wait_for(lambda: round_of(stage) >= 1, 180, people.look)
        for kind, site, after_a_round, pause in moments:
            before = round_of(stage)
            if after_a_round:
                wait_for(lambda least=before: round_of(stage) > least, 180, people.look)
            wait_for(lambda: False, pause, people.look)
            if kill(stage, people, kind, site):
                hit.append((round_of(stage), kind))
        ended = wait_for(lambda: people.finished, 300, people.look)
        last = {name: stage.said(name)[-4:] for name in people.processes}
    finally:
        stage.family.end()
    assert begun and ended, (hit, last)
    assert len(hit) == KILLS and len({number for number, _kind in hit}) >= 4, hit
    assert read_progress(stage.plan)["digest"] == stage.digest_in_one_process()
