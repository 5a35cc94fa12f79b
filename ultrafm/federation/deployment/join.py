"""What a site's command does: show and ask, knock at the coordinator, then keep a SuperNode running."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ultrafm.federation.deployment.agreement import BYTES_PER_WEIGHT, count_weights, ensure_acceptance
from ultrafm.federation.deployment.guard import AUDIT, task_server, write_commands
from ultrafm.federation.deployment.keys import read_private_key
from ultrafm.federation.deployment.knock import knock_until_in
from ultrafm.federation.deployment.plans import JoiningSite, allowed_keys, read_site
from ultrafm.federation.deployment.processes import (
    Family,
    Kept,
    environment_for,
    free_port,
    only_one,
    program,
    require_space,
    stoppable,
)
from ultrafm.federation.deployment.watch import Watch
from ultrafm.federation.secure.keys import ROSTER, SIGNING_KEY, write_roster

LEAST_SPACE = 100_000_000  # bytes
LOOK_SECONDS = 0.5
AUDIT_FILE, NODE_LOG, STATE = "audit.jsonl", "supernode.log", "state"


def run_site(path: Path, accept: bool, ask: Callable[[str], str], tell: Callable[[str], None]) -> None:
    """Join the federation until interrupted; nothing is left running then. Raises UltraFMError for what to mend."""
    site = read_site(path)
    key = read_private_key(site.key, site.place("key"))
    with only_one(site.folder / "site.lock", f"site {site.file.site}"), stoppable():
        copies = 8 if site.plan.federation.secure_aggregation else 6
        require_space(site.folder, LEAST_SPACE + copies * BYTES_PER_WEIGHT * count_weights(site.plan.recipe))
        acceptance = ensure_acceptance(site, accept, ask, tell)
        home = site.folder / "supernode"
        family, commands = Family(), write_commands(home / "commands")
        watch = Watch(site.folder / AUDIT_FILE, home / NODE_LOG, site.plan.file.address, tell)

        def start() -> subprocess.Popen[bytes]:
            knock_until_in(site.plan.file.address, str(site.authority), key, tell)
            watch.joined()
            tell(f"joined {site.plan.file.address} as {site.file.site}; log: {site.folder / AUDIT_FILE}")
            return start_supernode(site, acceptance, commands, family)

        try:
            tasks = Kept(lambda: start_tasks(site, commands, family), "task server", tell)
            node = Kept(start, "SuperNode", tell)
            while True:
                tasks.look()
                node.look()
                watch.look()
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            tell("leaving")
        finally:
            family.end()


def node_config(site: JoiningSite, acceptance: Path) -> str:
    """The node's configuration in Flower's notation, which is TOML."""
    values = {
        "site": site.file.site, "curated": str(site.curated), "folder": str(site.folder / STATE),
        "audit": str(site.folder / AUDIT_FILE), "acceptance": str(acceptance),
    }  # fmt: skip
    if site.plan.federation.secure_aggregation:
        write_roster(site.folder / "roster.json", allowed_keys(site.plan))
        values |= {SIGNING_KEY: str(site.key), ROSTER: str(site.folder / "roster.json")}
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + "\n"


def start_tasks(site: JoiningSite, commands: Path, family: Family) -> subprocess.Popen[bytes]:
    """The process that runs the ClientApp for each message that the SuperNode hands over."""
    return family.start(task_server(commands), site.folder / "supernode" / "tasks.log", environment_of(site, commands))


def environment_of(site: JoiningSite, commands: Path) -> dict[str, str]:
    """The environment of the site's processes."""
    return environment_for(site.folder / "supernode", commands) | {AUDIT: str(site.folder / AUDIT_FILE)}


def start_supernode(site: JoiningSite, acceptance: Path, commands: Path, family: Family) -> subprocess.Popen[bytes]:
    """Flower's SuperNode, with a home and with task commands of its own; it installs nothing."""
    home = site.folder / "supernode"
    for own in (home, site.folder / STATE):  # of state, moments and kept answers tell what a masked update does not
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = home / "node.toml"
    configuration.write_text(node_config(site, acceptance), encoding="utf-8")
    command = [
        program("flower-supernode"), "--superlink", site.plan.file.address, "--root-certificates", str(site.authority),
        "--auth-supernode-private-key", str(site.key), "--host", "127.0.0.1", "--port", str(free_port()),
        "--node-config", str(configuration),
    ]  # fmt: skip
    return family.start(command, home / NODE_LOG, environment_of(site, commands))
