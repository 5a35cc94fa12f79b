"""`ultrafm federation`: keys, coordinator, site, run and status of a federation over hospitals."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_federation(commands) -> None:
    """The commands of a deployment and their options; docs/hospital.md walks through them."""
    federation = commands.add_parser(
        "federation", help="pre-train over hospitals: keys, coordinator, site, run, status"
    )
    actions = federation.add_subparsers(required=True, metavar="ACTION")
    add_keys(actions)
    coordinator = actions.add_parser(
        "coordinator", help="serve a plan until interrupted: SuperLink, sites' keys, nginx"
    )
    add_plan(coordinator)
    coordinator.add_argument(
        "--nginx", action="store_true", help="also start nginx with the configuration that is written"
    )
    coordinator.set_defaults(run=run_coordinator_command)
    site = actions.add_parser("site", help="show what would leave this site, ask, and join until interrupted")
    site.add_argument("site", type=Path, help="the site's file, a .yaml file")
    site.add_argument("--accept", action="store_true", help="accept what is shown, for an unattended start")
    site.set_defaults(run=run_site_command)
    run = actions.add_parser("run", help="submit a run of a plan and follow it; continues from its checkpoint")
    add_plan(run)
    run.add_argument(
        "--restarts", type=int, default=5, help="how often a run that died is submitted again (default: 5)"
    )
    run.set_defaults(run=run_run)
    told = "sites online, round, losses, incidents; exit 1 when a site is missing or the last run failed"
    status = actions.add_parser("status", help=told)
    add_plan(status)
    status.set_defaults(run=run_status)
    demo = actions.add_parser("demo", help="coordinator and four simulated sites on this machine, in two minutes")
    demo.set_defaults(run=run_demo)


def add_keys(actions) -> None:
    """`ultrafm federation keys coordinator` and `keys site`."""
    keys = actions.add_parser("keys", help="make keys; none is ever overwritten")
    whose = keys.add_subparsers(required=True, metavar="WHOSE")
    coordinator = whose.add_parser("coordinator", help="an authority and a server certificate; sites need ca.crt")
    coordinator.add_argument("--host", required=True, help="name or number under which sites reach the coordinator")
    coordinator.add_argument("--out", type=Path, required=True, help="folder for the files")
    coordinator.set_defaults(run=run_keys_coordinator)
    site = whose.add_parser("site", help="a site's key pair; the .pub file goes to the coordinator")
    site.add_argument("--site", required=True, help="id of the site, as in the plan")
    site.add_argument("--out", type=Path, required=True, help="folder for the files")
    site.set_defaults(run=run_keys_site)


def add_plan(command: argparse.ArgumentParser) -> None:
    """The plan."""
    command.add_argument("plan", type=Path, help="the plan of the federation, a .yaml file")


def tell(line: str) -> None:
    """Print a line at once, also into a pipe or a service's log."""
    print(line, flush=True)


def ask(question: str) -> str:
    """The answer of the person at the terminal. Raises UltraFMError where there is none, as in a service."""
    from ultrafm.errors import UltraFMError

    try:
        return input(question)
    except (EOFError, RuntimeError):  # a closed input; none at all
        tell("")
        mend = "answer at a terminal, or start with --accept if what is shown is accepted"
        raise UltraFMError("question", "nobody at the terminal", "an answer; nothing was sent", mend) from None


def run_keys_coordinator(options: argparse.Namespace) -> int:
    """Make the coordinator's keys and say which file goes where."""
    from ultrafm.federation.deployment.keys import make_coordinator_keys

    for path in make_coordinator_keys(options.host, options.out):
        tell(f"{path}: {'for every site' if path.name == 'ca.crt' else 'stays here'}")
    return 0


def run_keys_site(options: argparse.Namespace) -> int:
    """Make a site's keys and say which file goes where."""
    import re

    from ultrafm.errors import UltraFMError
    from ultrafm.federation.deployment.keys import make_site_keys

    if not re.fullmatch(r"[a-z0-9_]+", options.site):
        raise UltraFMError("--site", repr(options.site), "small letters, digits and _, as in the site's manifest")
    private, public = make_site_keys(options.site, options.out)
    tell(f"{private}: stays here, and nobody else may read it")
    tell(f"{public}: send it to the coordinator, and compare it by telephone")
    return 0


def run_coordinator_command(options: argparse.Namespace) -> int:
    """Serve a plan until interrupted."""
    from ultrafm.federation.deployment.coordinator import run_coordinator

    run_coordinator(options.plan, options.nginx, tell)
    return 0


def run_site_command(options: argparse.Namespace) -> int:
    """Join until interrupted."""
    from ultrafm.federation.deployment.join import run_site

    run_site(options.site, options.accept, ask, tell)
    return 0


def run_run(options: argparse.Namespace) -> int:
    """Submit a run and follow it; 0 when the model is finished."""
    from ultrafm.federation.deployment.follow import run_plan

    return 0 if run_plan(options.plan, options.restarts, tell) else 1


def run_status(options: argparse.Namespace) -> int:
    """Print how a federation stands; 0 when all is well."""
    from ultrafm.federation.deployment.follow import describe_status

    lines, well = describe_status(options.plan)
    for line in lines:
        tell(line)
    return 0 if well else 1


def run_demo(options: argparse.Namespace) -> int:
    """Run the demonstration; 0 when the weights equal those of the federation in one process."""
    from ultrafm.federation.deployment.demo import run_demonstration

    return 0 if run_demonstration(tell) else 1
