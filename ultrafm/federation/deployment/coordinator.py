"""What the coordinator's command does: a SuperLink that is kept running, the plan's sites registered, a public door."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ultrafm.federation.deployment.agreement import BYTES_PER_WEIGHT, count_weights
from ultrafm.federation.deployment.control import Control, SuperLinkAway, register_sites
from ultrafm.federation.deployment.keys import AUTHORITY, SERVER, SERVER_KEY
from ultrafm.federation.deployment.nginx import nginx_command, nginx_folder, write_nginx
from ultrafm.federation.deployment.plans import Plan, allowed_keys, check_certificates, read_plan
from ultrafm.federation.deployment.processes import (
    COORDINATOR_LOCK,
    Family,
    Kept,
    environment_for,
    only_one,
    program,
    require_free_port,
    require_space,
    stoppable,
)

LEAST_SPACE = 200_000_000  # bytes
LOOK_SECONDS = 0.5


def run_coordinator(path: Path, with_nginx: bool, tell: Callable[[str], None]) -> None:
    """Serve a plan until interrupted; nothing is left running then. Raises UltraFMError for what has to be mended."""
    plan = read_plan(path)
    keys = allowed_keys(plan)
    check_certificates(plan)
    with only_one(plan.folder / COORDINATOR_LOCK, "coordinator"), stoppable():
        require_space(plan.folder, space_needed(plan))
        require_free_port(plan.file.control_port, plan.document.place(("control_port",)))
        configuration = write_nginx(plan)
        command = nginx_command(configuration) if with_nginx else None
        if command:
            require_free_port(plan.port, plan.document.place(("address",)))
        tell(f"nginx configuration: {configuration}")
        family = Family()
        try:
            serve(plan, keys, family, command, tell)
        except KeyboardInterrupt:
            tell("ending")
        finally:
            family.end()


def space_needed(plan: Plan) -> int:
    """Bytes of disk for messages of one round, checkpoints with the optimizer's state, and the finished encoder.

    Where answers are joined by a robust rule, they wait on the disk once more.
    """
    waiting = 2 if plan.federation.aggregation == "mean" else 3
    return LEAST_SPACE + count_weights(plan.recipe) * BYTES_PER_WEIGHT * (waiting * len(plan.sites) + 12)


def serve(
    plan: Plan, keys: dict[str, bytes], family: Family, nginx: list[str] | None, tell: Callable[[str], None]
) -> None:
    """Keep SuperLink and nginx running."""
    kept = [Kept(lambda: start_superlink(plan, family), "SuperLink", tell)]
    register_when_up(plan, keys, kept[0], tell)
    if nginx:
        kept.append(Kept(lambda: start_nginx(plan, family, nginx), "nginx", tell))
        tell(f"published at {plan.file.address}: Flower's fleet path, nothing else")
    else:
        tell(f"SuperLink on {plan.control} only; sites reach it through nginx (--nginx starts one)")
    tell("ready")
    while True:
        for process in kept:
            process.look()
        time.sleep(LOOK_SECONDS)


def start_superlink(plan: Plan, family: Family) -> subprocess.Popen[bytes]:
    """Flower's SuperLink on the loopback: TLS, known keys only, no installation of packages, a database on disk."""
    home = plan.folder / "superlink"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    host, port = plan.control.split(":")
    command = [
        program("flower-superlink"), "--host", host, "--port", port, "--enable-supernode-auth",
        "--disable-runtime-dependency-installation", "--database", str(home / "state.db"),
        "--ssl-ca-certfile", str(plan.keys / AUTHORITY), "--ssl-certfile", str(plan.keys / SERVER),
        "--ssl-keyfile", str(plan.keys / SERVER_KEY),
    ]  # fmt: skip
    return family.start(command, home / "superlink.log", environment_for(home))


def start_nginx(plan: Plan, family: Family, command: list[str]) -> subprocess.Popen[bytes]:
    """nginx in the foreground."""
    return family.start(command, nginx_folder(plan) / "output.log", environment_for(plan.folder / "superlink"))


def register_when_up(plan: Plan, keys: dict[str, bytes], superlink: Kept, tell: Callable[[str], None]) -> None:
    """Wait until the SuperLink answers, then register the sites of the plan."""
    with Control(plan) as control:
        while True:
            superlink.look()
            try:
                changes = register_sites(control, keys)
                break
            except SuperLinkAway:
                time.sleep(LOOK_SECONDS)
    for change in changes:
        tell(change)
    tell(f"{len(keys)} sites may join: {', '.join(keys)}")
