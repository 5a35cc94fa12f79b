"""The command `ultrafm`. Heavy rooms are imported when they are needed."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ultrafm import __version__
from ultrafm.cli.curation import add_curation
from ultrafm.cli.downstream import add_downstream
from ultrafm.cli.federation import add_federation
from ultrafm.cli.manifests import add_manifests
from ultrafm.cli.readers import add_readers
from ultrafm.cli.weights import add_weights
from ultrafm.errors import UltraFMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 1 for a problem in the input, told in words, 2 for a wrong command line."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # the number of cores must not change a result
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own pool keeps tens of MiB for a small table
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except UltraFMError as error:
        print(f"ultrafm: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        expected = "a place that exists and that this user may read and write"
        mend = "choose another place, or give this user the right to it"
        place = re.sub(r"/\.([^/]+)\.[0-9a-f]{8}\.tmp$", r"/\1", str(error.filename))  # as it was asked for
        print(f"ultrafm: {UltraFMError(place, error.strerror, expected, mend)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ultrafm: interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="ultrafm", description="Federated ultrasound foundation models: the study.")
    parser.add_argument("--version", action="version", version=f"ultrafm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_study(commands)
    add_manifests(commands)
    add_curation(commands)
    add_federation(commands)
    add_weights(commands)
    add_downstream(commands)
    add_readers(commands)
    commands.add_parser("doctor", help="check the installation").set_defaults(run=run_doctor)
    return parser


def add_study(commands) -> None:
    """`ultrafm study`: the whole study, or some of its steps."""
    study = commands.add_parser("study", help="run the study; a second run continues where the first stopped")
    study.add_argument("--profile", default="laptop", help="a file of notebooks/profiles (default: laptop)")
    study.add_argument("--out", help="folder of the study (default: reports/PROFILE)")
    study.add_argument("--manifests", default="data_manifests", help="folder of the site manifests")
    study.add_argument("--data-root", default="", help="folder that real images lie in")
    study.add_argument("--seed", type=int, default=0, help="the one seed of the study (default: 0)")
    study.add_argument("--only", default="", help="some steps or experiments, by comma")
    study.add_argument("--source", choices=("phantom", "open", "local"), help="where images come from")
    borrowed = "for the experiment phantom_to_real: folder of the study whose encoders are tested"
    study.add_argument("--pretrained", help=f"{borrowed} (default: reports/laptop)")
    study.add_argument("--allow-network", action="store_true", help="download remote sources that are not there yet")
    study.set_defaults(run=run_study_command)


def run_study_command(options: argparse.Namespace) -> int:
    """Run the study and print where its report is."""
    from ultrafm.pipeline import plan_study, run_study
    from ultrafm.study import REPOSITORY

    folder = Path(options.out).resolve() if options.out else REPOSITORY / "reports" / options.profile
    plan = plan_study(options.profile, folder, options.seed, options.manifests, options.data_root, options.source)
    told = {"allow_network": options.allow_network}
    if options.pretrained:
        told["pretrained"] = str(Path(options.pretrained).resolve())
    plan = replace(plan, parameters=plan.parameters | told)
    only = [name for name in options.only.split(",") if name]
    index = run_study(plan, only, tell_progress)
    print(f"Report: {index}")
    return 0


def tell_progress(line: str) -> None:
    """Print a line; one that ends with a carriage return is overwritten by the next, and only shown on a terminal."""
    passing = line.endswith("\r")
    if passing and not sys.stdout.isatty():
        return
    print(f"\r\033[K{line.rstrip()}" if sys.stdout.isatty() else line, end="" if passing else "\n", flush=True)


def run_doctor(options: argparse.Namespace) -> int:
    """Print one line per check; 1 when something has to be mended."""
    from ultrafm.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok  ' if finding.fine else 'MEND'}  {finding.what}: {finding.detail}")
    return 0 if all(finding.fine for finding in findings) else 1
