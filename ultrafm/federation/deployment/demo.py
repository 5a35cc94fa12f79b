"""The demonstration: a coordinator and four simulated sites on this machine, as processes that share nothing but TLS.

Every site has its own folder, keys and images. In the end the weights must equal, bit by bit, those of the federation
in one process.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from ultrafm import __version__
from ultrafm.curation import Places, Wish, curate_sites
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.control import Control, SuperLinkAway
from ultrafm.federation.deployment.coordinate import digest_of, read_progress
from ultrafm.federation.deployment.join import AUDIT_FILE
from ultrafm.federation.deployment.keys import AUTHORITY, make_coordinator_keys, make_site_keys
from ultrafm.federation.deployment.nginx import find_nginx
from ultrafm.federation.deployment.plans import Plan, read_plan
from ultrafm.federation.deployment.processes import Family, environment_for, free_port, stoppable
from ultrafm.federation.driver import federate
from ultrafm.manifests import load_sites
from ultrafm.study import REPOSITORY

SITES = 4
PATIENTS_SHARE = 0.15
IMAGE_SIZE = 32
PASSES = 2
READY_SECONDS = 120.0


@dataclass
class Stage:
    """A federation on this machine below `folder`: who is on it, and the processes of its commands."""

    folder: Path
    sites: list[str]
    through_nginx: bool
    family: Family = field(default_factory=Family)

    @property
    def plan_file(self) -> Path:
        """The coordinator's plan."""
        return self.folder / "coordinator" / "plan.yaml"

    @property
    def plan(self) -> Plan:
        """The coordinator's plan, read."""
        return read_plan(self.plan_file)

    def site_folder(self, site: str) -> Path:
        """Where a site keeps everything."""
        return self.folder / site

    def site_file(self, site: str) -> Path:
        """The site's own file."""
        return self.site_folder(site) / "site.yaml"

    def log(self, name: str) -> Path:
        """What a command printed: that of "coordinator", "run" or a site."""
        return self.folder / f"{name}.log"

    def command(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `ultrafm federation WORDS`; what it prints goes to its log."""
        command = [sys.executable, "-m", "ultrafm", "federation", *words]
        return self.family.start(command, self.log(name), environment_for(self.folder / "home") | environment)

    def start_coordinator(self) -> subprocess.Popen[bytes]:
        """Start the coordinator, with nginx if this stage has one."""
        return self.command("coordinator", "coordinator", str(self.plan_file), *["--nginx"] * self.through_nginx)

    def start_site(self, site: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a site, unattended, with some variables more in its environment."""
        return self.command(site, "site", str(self.site_file(site)), "--accept", **environment)

    def start_run(self) -> subprocess.Popen[bytes]:
        """Submit a run and follow it."""
        return self.command("run", "run", str(self.plan_file))

    def wait_ready(self, coordinator: subprocess.Popen[bytes]) -> None:
        """Return when the coordinator serves. Raises UltraFMError with its last words when it does not."""
        deadline = time.monotonic() + READY_SECONDS
        while "ready" not in self.said("coordinator"):
            if coordinator.poll() is not None or time.monotonic() > deadline:
                raise UltraFMError("coordinator", (self.said("coordinator") or ["nothing"])[-1], "that it is ready")
            time.sleep(0.2)

    def said(self, name: str) -> list[str]:
        """The lines that a command has printed so far."""
        log = self.log(name)
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def online(self) -> int:
        """How many sites are online."""
        try:
            with Control(self.plan) as control:
                return sum(node.online for node in control.nodes())
        except SuperLinkAway:
            return 0

    def digest_in_one_process(self) -> str:
        """The digest of the weights when the same plan is run in this process, over the same stores."""
        together = self.folder / "together"
        together.mkdir()
        for site in self.sites:
            (together / site).symlink_to(self.site_folder(site) / "curated" / site)
        threads, plan = torch.get_num_threads(), self.plan
        torch.set_num_threads(1)
        try:
            made = federate(
                together, self.sites, self.folder / "in_process", plan.recipe, plan.federation, plan.file.seed
            )
        finally:
            torch.set_num_threads(threads)
        return digest_of(made.model)


def build_stage(folder: Path, through_nginx: bool, sites: int = SITES, **training: Any) -> Stage:
    """Keys, plan, and simulated sites that are curated on the spot, each in its own folder.

    `training`: fields of `Federation`, as in a plan. Every site has the public keys of all, as the coordinator has.
    """
    manifests = load_sites(REPOSITORY / "data_manifests")[:sites]
    stage = Stage(folder, [manifest.site for manifest in manifests], through_nginx)
    port = free_port()
    control = free_port() if through_nginx else port
    make_coordinator_keys("localhost", folder / "coordinator" / "keys")
    plan = {
        "name": "demonstration", "ultrafm": __version__, "address": f"localhost:{port}", "control_port": control,
        "network": {"size": "micro", "image_size": IMAGE_SIZE}, "training": {"passes": PASSES} | training,
        "seed": 7, "wait_minutes": 3.0, "reply_minutes": 5.0,
        "sites": [{"site": site, "key": f"keys/{site}.pub"} for site in stage.sites],
    }  # fmt: skip
    stage.plan_file.write_text(yaml.safe_dump(plan, sort_keys=False))
    for manifest in manifests:
        own = stage.site_folder(manifest.site)
        _private, public = make_site_keys(manifest.site, own)
        for other in (folder / "coordinator", *(stage.site_folder(one) for one in stage.sites)):
            (other / "keys").mkdir(parents=True, exist_ok=True)
            shutil.copy(public, other / "keys")
        shutil.copy(folder / "coordinator" / "keys" / AUTHORITY, own)
        shutil.copy(stage.plan_file, own)
        places = Places(own / "curated", own / "archives", own / "work", own / "registry")
        curate_sites([manifest], places, Wish("phantom", 7, IMAGE_SIZE, PATIENTS_SHARE))
        told = {"site": manifest.site, "plan": "plan.yaml", "key": f"{manifest.site}.key", "curated": "curated"}
        stage.site_file(manifest.site).write_text(yaml.safe_dump(told, sort_keys=False))
    return stage


def run_demonstration(tell: Callable[[str], None]) -> bool:
    """Run it; whether the digests are equal. Leaves no process and no file, also when it is interrupted."""
    begun = time.monotonic()
    with stoppable(), tempfile.TemporaryDirectory(prefix="ultrafm-federation-demo-") as place:
        through_nginx = find_nginx() is not None
        tell("simulating and curating four sites")
        stage = build_stage(Path(place), through_nginx)
        try:
            return show(stage, begun, tell)
        finally:
            stage.family.end()
            tell(f"ended; nothing is left ({time.monotonic() - begun:.0f} s)")


def show(stage: Stage, begun: float, tell: Callable[[str], None]) -> bool:
    """The demonstration itself."""
    coordinator = stage.start_coordinator()
    stage.wait_ready(coordinator)
    how = (
        "through nginx, which publishes the fleet path only" if stage.through_nginx else "without nginx: not installed"
    )
    tell(f"coordinator is ready ({how})")
    for site in stage.sites:
        stage.start_site(site)
    tell(f"{len(stage.sites)} sites start; each shows what will leave it, and writes down that it accepts")
    run = stage.start_run()
    told = 0
    while (ended := run.poll()) is None or told < len(stage.said("run")):
        lines = stage.said("run")
        for line in lines[told:]:
            tell(f"run: {line}")
        told = len(lines)
        time.sleep(0.2)
    if ended:
        for name in ("coordinator", *stage.sites):
            tell(f"{name} said last: {(stage.said(name) or ['nothing'])[-1]}")
        return False
    first = stage.sites[0]
    audit = (stage.site_folder(first) / "federation" / AUDIT_FILE).read_text().splitlines()
    tell(f"{first} wrote {len(audit)} lines into its log, such as: {audit[-1]}")
    apart, together = read_progress(stage.plan)["digest"], stage.digest_in_one_process()
    tell(f"digest over {len(stage.sites)} sites:     {apart}")
    tell(f"digest in one process:  {together}")
    tell("the same weights" if apart == together else "NOT the same weights")
    return apart == together
