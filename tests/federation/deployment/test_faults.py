"""Live faults: a site that fails for good, another site's key, a coordinator that ends; over TLS, on the loopback."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager

import pytest
from waiting import wait_for

from ultrafm.cli import main
from ultrafm.federation.deployment.coordinate import read_progress
from ultrafm.federation.deployment.demo import build_stage
from ultrafm.federation.deployment.follow import describe_status
from ultrafm.federation.deployment.nginx import find_nginx
from ultrafm.federation.deployment.processes import require_free_port
from ultrafm.files import read_json

pytestmark = pytest.mark.slow
NO_NGINX = find_nginx() is None


@contextmanager
def standing(folder, sites, **training):
    """A stage that a test sets up; everything on it is ended."""
    stage = build_stage(folder, not NO_NGINX, sites, **training)
    try:
        yield stage
    finally:
        stage.family.end()


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def in_and_online(stage, count):
    """Have so many sites joined, and are still there? A site that knocks is online for a moment too."""
    joined = sum(any(line.startswith("joined ") for line in stage.said(site)) for site in stage.sites)
    return joined >= count and stage.online() == count


def process_of(stage, *words):
    return next(one for one in stage.family.members() if all(word in " ".join(one.cmdline()) for word in words))


def test_a_run_that_drops_faults_ends_without_a_dead_site_and_one_whose_store_is_damaged(tmp_path, capsys):
    """The ServerApp is killed besides, and starts again without the dead site."""
    with standing(tmp_path, 3, passes=4, on_fault="drop", least_sites=1) as stage:
        change(stage.plan_file, "reply_minutes: 5.0", "reply_minutes: 0.3")
        change(stage.plan_file, "wait_minutes: 3.0", "wait_minutes: 0.2")
        sound, dead, damaged = stage.sites
        stage.wait_ready(stage.start_coordinator())
        for site in stage.sites:
            stage.start_site(site)
        joined = wait_for(lambda: stage.online() == 3, 90)
        run = stage.start_run()
        begun = wait_for(lambda: read_progress(stage.plan).get("round", 0) >= 1, 120)
        process_of(stage, "federation site", str(stage.site_file(dead))).kill()
        for path in (stage.site_folder(damaged) / "curated" / damaged / "store").rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
        on = wait_for(lambda: read_progress(stage.plan).get("round", 0) >= 2, 180)
        process_of(stage, "flwr-serverapp").kill()
        ended = wait_for(lambda: run.poll() is not None, 240)
        said, code = stage.said("run"), main(["federation", "status", str(stage.plan_file)])
        status = capsys.readouterr().out.splitlines()
    assert joined and begun and on and ended, said[-5:]
    assert run.returncode == 0 and any("submitted again (1 of 5)" in line for line in said), said
    assert read_progress(stage.plan)["digest"] and code == 1 and f"{dead}: OFFLINE" in status
    told = [line.removeprefix("incident: ") for line in status if line.startswith("incident: ")]
    assert all(line.endswith("; dropped") or "; asked again" in line for line in told), told
    assert any(
        line.startswith("round 2, ") and f"{dead}: no reply, no reply within 18 s; dropped" in line for line in told
    )
    rounds = {site: {int(line.split(",")[0][6:]) for line in told if f", {site}: " in line} for site in stage.sites}
    assert rounds[sound] == set() and rounds[dead] >= {2, 3, 4} and rounds[damaged] >= {2, 3, 4}, told
    history = read_json(stage.plan.folder / "history.json")
    assert [row["site"] for row in history if row["pass"] == 4 and row["images"]] == [sound]


def test_a_site_with_another_sites_key_is_refused_and_told_so(tmp_path):
    """While the other one is there it does not get in; when it got in, the run stops before a model is sent."""
    with standing(tmp_path, 2) as stage:
        one, other = stage.sites
        for site, key in ((one, other), (other, one)):
            shutil.copy(stage.site_folder(key) / f"{key}.key", stage.site_folder(site) / "wrong.key")
        change(stage.site_file(one), f"key: {one}.key", "key: wrong.key")
        stage.wait_ready(stage.start_coordinator())
        stage.start_site(other)
        there = wait_for(lambda: in_and_online(stage, 1), 60)
        stage.start_site(one)
        refused = wait_for(lambda: any("another site uses it" in line for line in stage.said(one)), 60)
        alone = stage.online()
        process_of(stage, "federation site", str(stage.site_file(other))).terminate()
        change(stage.site_file(other), f"key: {other}.key", "key: wrong.key")
        left = wait_for(lambda: "leaving" in stage.said(other), 20)
        stage.start_site(other)
        both = wait_for(lambda: in_and_online(stage, 2), 90)
        run = stage.start_run()
        ended = wait_for(lambda: run.poll() is not None, 120)
        said, (status, well) = stage.said("run"), describe_status(stage.plan_file)
        heard = [stage.said(site)[-3:] for site in stage.sites]
    assert (there, refused, alone, left, both, ended) == (True, True, 1, True, True, True), heard
    words = "uses a key that belongs to another site,"
    assert run.returncode == 1 and (f"{one} {words} {other}" in said[-1] or f"{other} {words} {one}" in said[-1]), said
    assert not well and any("belongs to another site" in line for line in status if line.startswith("error: "))
    logs = [stage.site_folder(site) / "federation" / "audit.jsonl" for site in stage.sites]
    assert {json.loads(line)["type"] for log in logs for line in log.read_text().splitlines()} == {"query.describe"}


@pytest.mark.skipif(NO_NGINX, reason="nginx is not installed (apt-get install nginx-light)")
def test_a_coordinator_with_nginx_ends_within_seconds_and_its_sites_tell_it(tmp_path):
    """Its ports are free at once: the same command starts again, and the sites find back."""
    with standing(tmp_path, 1) as stage:
        [site] = stage.sites
        coordinator = stage.start_coordinator()
        stage.wait_ready(coordinator)
        stage.start_site(site)
        there = wait_for(lambda: in_and_online(stage, 1), 60)
        os.kill(coordinator.pid, signal.SIGTERM)
        begun = time.monotonic()
        code = coordinator.wait(30)
        seconds = time.monotonic() - begun
        for port in (stage.plan.port, stage.plan.file.control_port):
            require_free_port(port, "here")
        own = [one for one in stage.family.members() if str(stage.plan_file.parent) in " ".join(one.cmdline())]
        away = wait_for(
            lambda: f"the coordinator {stage.plan.file.address} does not answer" in stage.said(site)[-1], 30
        )
        stage.start_coordinator()
        back = wait_for(lambda: f"the coordinator {stage.plan.file.address} answers again" in stage.said(site)[-1], 60)
        again = wait_for(lambda: stage.online() == 1, 60)
    assert there and code == 0 and seconds < 10 and away and back and again, (seconds, stage.said(site)[-3:])
    assert own == []
