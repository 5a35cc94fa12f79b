"""The command `ultrafm`: study, manifests, curate, readers, doctor. Heavy rooms are imported when they are needed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from ultrafm import __version__
from ultrafm.errors import UltraFMError

MOST_PROBLEMS = 20  # more are counted, not printed
MUCH = 0.2  # from this share of pictures left out, `curate` says where the reasons are


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 1 for a problem in the input, told in words, 2 for a wrong command line."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # the number of cores must not change a result
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except UltraFMError as error:
        print(f"ultrafm: {error}", file=sys.stderr)
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
    add_curate(commands)
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
    study.set_defaults(run=run_study_command)


def add_manifests(commands) -> None:
    """`ultrafm manifests check`, `new` and `schema`."""
    manifests = commands.add_parser("manifests", help="check or begin site manifests")
    actions = manifests.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="one line per site, totals; exit 1 on any error")
    check.add_argument("folder", nargs="?", default="data_manifests")
    check.add_argument("--data-root", type=Path, help="also look for tables, columns and files below this folder")
    check.set_defaults(run=run_manifests_check)
    new = actions.add_parser("new", help="draft a manifest for a folder of pictures with a table")
    new.add_argument("pictures", type=Path, help="the folder; it is only read")
    new.add_argument("--out", type=Path, required=True, help="folder for the manifest, not the one of the pictures")
    new.add_argument("--site", default="site_01_own", help="id of the site (default: site_01_own)")
    new.set_defaults(run=run_manifests_new)
    schema = actions.add_parser("schema", help="write manifest.schema.json, by which editors complete and check")
    schema.add_argument("folder", nargs="?", default="data_manifests", type=Path)
    schema.set_defaults(run=run_manifests_schema)


def add_curate(commands) -> None:
    """`ultrafm curate`: one site's archive to a curated store."""
    curate = commands.add_parser("curate", help="curate one site")
    curate.add_argument("manifest", type=Path)
    curate.add_argument("--out", type=Path, help="folder for the store and the data sheet")
    curate.add_argument("--dry-run", action="store_true", help="read everything, print the data sheet, keep nothing")
    curate.add_argument("--data-root", type=Path, help="folder that real images lie in")
    curate.add_argument("--source", choices=("phantom", "open", "local"), default="default")
    curate.add_argument("--image-size", type=int, default=64, help="side of the curated pictures in pixels")
    curate.add_argument("--seed", type=int, default=0)
    curate.set_defaults(run=run_curate)


def add_readers(commands) -> None:
    """`ultrafm readers analyse`: multi-reader multi-case statistics of a ratings table."""
    readers = commands.add_parser("readers", help="reader statistics").add_subparsers(required=True, metavar="ACTION")
    analyse = readers.add_parser("analyse", help="analyse a ratings table")
    analyse.add_argument("ratings", type=Path)
    analyse.add_argument("--ai", help="name of the reader that is the AI; without it modalities are compared")
    analyse.add_argument("--cluster", choices=("patient",), help="column whose cases belong together")
    analyse.add_argument("--covariance", choices=("delong", "jackknife"), default="delong")
    analyse.add_argument("--margin", type=float, help="non-inferiority margin in AUROC")
    analyse.add_argument("--by", choices=("level",), help="also analyse each level of experience")
    analyse.add_argument("--json", type=Path, help="write everything to this file")
    analyse.set_defaults(run=run_readers_analyse)


def run_study_command(options: argparse.Namespace) -> int:
    """Run the study and print where its report is."""
    from ultrafm.pipeline import plan_study, run_study
    from ultrafm.study import REPOSITORY

    folder = Path(options.out).resolve() if options.out else REPOSITORY / "reports" / options.profile
    plan = plan_study(options.profile, folder, options.seed, options.manifests, options.data_root, options.source)
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


def run_manifests_check(options: argparse.Namespace) -> int:
    """Print one line per site, the problems and the totals; 1 when there is a problem."""
    from ultrafm.manifests import check_manifests

    report = check_manifests(Path(options.folder))
    print("\n".join(report.lines))
    print(", ".join(f"{count} {name}" for name, count in report.totals.items()))
    problems = list(report.problems)
    if options.data_root and not problems:
        problems = inspect_files(Path(options.folder), options.data_root)
    for problem in problems[:MOST_PROBLEMS]:
        print(f"ultrafm: {problem}", file=sys.stderr)
    if len(problems) > MOST_PROBLEMS:
        print(f"ultrafm: and {len(problems) - MOST_PROBLEMS} more", file=sys.stderr)
    return 1 if problems else 0


def inspect_files(folder: Path, data_root: Path) -> list[str]:
    """The problems of all sites' tables and files below the data root; sites that are simulated have none."""
    from ultrafm.curation.rows import inspect_site
    from ultrafm.manifests import choose_source, is_simulated, load_sites

    chosen = [(manifest, choose_source(manifest, "default")[1]) for manifest in load_sites(folder)]
    real = [(manifest, source) for manifest, source in chosen if not is_simulated(source)]
    return [problem for manifest, source in real for problem in inspect_site(manifest, source, data_root)]


def run_manifests_new(options: argparse.Namespace) -> int:
    """Draft a manifest, and print what was found and what is left to fill in."""
    from ultrafm.manifests.scaffold import draft_manifest

    draft = draft_manifest(options.pictures, options.out, options.site)
    print(f"Draft: {draft.path}", *(f"  found {line}" for line in draft.found), sep="\n")
    print("Left for you:", *(f"  {line}" for line in draft.to_do), sep="\n")
    print(f"Then: ultrafm manifests check {draft.path.parent}")
    return 0


def run_manifests_schema(options: argparse.Namespace) -> int:
    """Write the JSON Schema of a folder of manifests."""
    from ultrafm.manifests import write_json_schema

    print(write_json_schema(options.folder))
    return 0


def run_curate(options: argparse.Namespace) -> int:
    """Curate one site and print its data sheet; a dry run works in a temporary folder that is removed."""
    if options.dry_run == bool(options.out):
        raise UltraFMError("ultrafm curate", "both or neither of --out and --dry-run", "one of them")
    if options.out:
        return curate_and_print(options, options.out)
    with tempfile.TemporaryDirectory(prefix="ultrafm-dry-run-") as folder:
        return curate_and_print(options, Path(folder))


def curate_and_print(options: argparse.Namespace, out: Path) -> int:
    """Curate one site into `out` and print its data sheet."""
    from ultrafm.curation import curate_archive
    from ultrafm.files import read_json
    from ultrafm.manifests import load_site, load_vocabulary

    manifest = load_site(options.manifest, load_vocabulary(options.manifest.parent))
    curate_archive(
        manifest, options.source, out, out / "archives", options.data_root, options.seed, options.image_size, 1.0
    )
    print((out / manifest.site / "datasheet.md").read_text())
    flow = read_json(out / manifest.site / "summary.json")["flow"]
    lost = flow["rows"] - flow["kept"]
    if lost > MUCH * flow["rows"] and options.out:
        listed = out / manifest.site / "quarantine.csv"
        print(f"Note: {lost} of {flow['rows']} pictures were left out; the reasons are in {listed}", file=sys.stderr)
    return 0


def run_readers_analyse(options: argparse.Namespace) -> int:
    """Analyse a ratings table, print the summary, write the JSON file."""
    from ultrafm.files import write_json
    from ultrafm.readers import analyse_file, summarise

    result = analyse_file(
        options.ratings, ai=options.ai, cluster=options.cluster, covariance=options.covariance, margin=options.margin,
        by=options.by,
    )  # fmt: skip
    print(summarise(result))
    if options.json:
        write_json(options.json, result)
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Print one line per check; 1 when something has to be mended."""
    from ultrafm.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok  ' if finding.fine else 'MEND'}  {finding.what}: {finding.detail}")
    return 0 if all(finding.fine for finding in findings) else 1
