"""Secure sums over TLS, with sites as processes of their own: the weights of one process and of workers, bit by bit."""

import json
import os
import signal
import time

import pytest
import torch

from ultrafm.federation.deployment.coordinate import digest_of, read_progress
from ultrafm.federation.deployment.demo import build_stage
from ultrafm.federation.deployment.nginx import find_nginx
from ultrafm.federation.driver import federate

pytestmark = pytest.mark.slow
KINDS = {"query.describe", "query.keys", "query.shares", "train", "query.consent", "query.unmask", "evaluate"}


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    return condition()


def events_of(stage, site):
    log = stage.site_folder(site) / "federation" / "audit.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_over_tls_in_one_process_and_by_workers_the_weights_are_the_same(tmp_path):
    """A SuperNode is killed when its site has sent its masked numbers of the first round, and comes back."""
    training = {"guarded": False, "secure_aggregation": True, "adaptive": "kept"}
    stage = build_stage(tmp_path, find_nginx() is not None, sites=3, passes=2, **training)
    victim = stage.sites[1]
    try:
        stage.wait_ready(stage.start_coordinator())
        for site in stage.sites:
            stage.start_site(site)
        run = stage.start_run()
        masked = wait_for(lambda: any(one["type"] == "train" for one in events_of(stage, victim)), 300)
        assert masked, stage.said("run")[-5:]
        node = next(
            one for one in stage.family.members()
            if "flower-supernode" in " ".join(one.cmdline()[:3]) and victim in " ".join(one.cmdline())
        )  # fmt: skip
        os.kill(node.pid, signal.SIGKILL)
        ended = wait_for(lambda: run.poll() is not None, 600)
        assert ended and run.returncode == 0, stage.said("run")[-5:]
        digest = read_progress(stage.plan)["digest"]
    finally:
        stage.family.end()
    assert digest == stage.digest_in_one_process()
    plan = stage.plan
    torch.set_num_threads(1)
    pooled = federate(
        tmp_path / "together", stage.sites, tmp_path / "pool", plan.recipe, plan.federation, plan.file.seed, workers=2
    )
    assert digest_of(pooled.model) == digest
    events = events_of(stage, stage.sites[0])
    assert {one["type"] for one in events} == KINDS
    sent = [one["content"] for one in events if one["type"] == "train" and one["event"] == "sent"]
    assert len(sent) == 2 and all(set(one["arrays"]) == {"masked"} and set(one["metrics"]) == {"round"} for one in sent)
    held = json.loads((stage.site_folder(stage.sites[0]) / "federation/state/secure/held.json").read_text())
    assert held["secrets"] is None and "experimental until reviewed outside" in "\n".join(stage.said(stage.sites[0]))
