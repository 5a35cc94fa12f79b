"""`ultrafm manifests`: check, begin, vary and describe site manifests."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ultrafm.curation.reading.rows import Inspection
    from ultrafm.manifests.schema import FileSource, SiteManifest

SINGULAR = {"sites": "site", "countries": "country", "organs": "organ", "modalities": "modality"}
MOST_PROBLEMS = 20  # more are counted, not printed


def add_manifests(commands) -> None:
    """`ultrafm manifests check`, `new`, `vary` and `schema`."""
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
    vary = actions.add_parser("vary", help="the same simulated sites, simulated otherwise, in a new folder")
    vary.add_argument("folder", nargs="?", default="data_manifests", type=Path)
    vary.add_argument("--out", type=Path, required=True, help="new folder for the manifests")
    vary.add_argument("--heterogeneity", type=float, default=1.0, help="0: identical sites, 1: as they are, 3: extreme")
    vary.add_argument("--shortcut", action="store_true", help="calipers and more gain on the diseased: confounded")
    vary.add_argument("--best-auroc", type=float, help="AUROC of an ideal observer, benign against malignant")
    vary.add_argument("--label-noise", type=float, help="share of the patients whose label in the table is wrong")
    vary.set_defaults(run=run_manifests_vary)
    schema = actions.add_parser("schema", help="write manifest.schema.json, by which editors complete and check")
    schema.add_argument("folder", nargs="?", default="data_manifests", type=Path)
    schema.set_defaults(run=run_manifests_schema)


def run_manifests_check(options: argparse.Namespace) -> int:
    """Print one line per site, the totals, the warnings and the problems; 1 when there is a problem."""
    from ultrafm.manifests import check_manifests

    report = check_manifests(Path(options.folder))
    print("\n".join(report.lines))
    print(", ".join(f"{count} {SINGULAR[name] if count == 1 else name}" for name, count in report.totals.items()))
    looks = look_at_sites(Path(options.folder), options.data_root) if options.data_root and not report.problems else {}
    if not options.data_root and not report.problems and has_real_sites(Path(options.folder)):
        print("No table and no file was looked at: name the folder of the images with --data-root for that")
    for site, look in looks.items():
        if not look.problems:
            print(f"{site}: {look.files} files, {look.patients} patients")
    problems = [*report.problems, *(problem for look in looks.values() for problem in look.problems)]
    warnings = [*report.warnings, *(warning for look in looks.values() for warning in look.warnings)]
    tell(warnings, "warning: ")
    tell(problems)
    return 1 if problems else 0


def tell(messages: Sequence[str], kind: str = "") -> None:
    """Print the first messages to stderr, each with its kind before it, and how many more there are."""
    for message in messages[:MOST_PROBLEMS]:
        print(f"ultrafm: {kind}{message}", file=sys.stderr)
    if len(messages) > MOST_PROBLEMS:
        print(f"ultrafm: {kind}and {len(messages) - MOST_PROBLEMS} more", file=sys.stderr)


def look_at_sites(folder: Path, data_root: Path) -> dict[str, Inspection]:
    """Site -> what its table and files below the data root showed; without sites that are simulated or downloaded."""
    from ultrafm.curation.reading.rows import look_at_site

    real = real_sources(folder)
    looks = {manifest.site: look_at_site(manifest, source, data_root) for manifest, source in real}
    return {site: look for site, look in looks.items() if look is not None}


def has_real_sites(folder: Path) -> bool:
    """Does any site of the folder usually read images from a disk?"""
    from ultrafm.manifests import is_remote

    return any(not is_remote(source) for _manifest, source in real_sources(folder))


def real_sources(folder: Path) -> list[tuple[SiteManifest, FileSource]]:
    """Each site whose usual source is not simulated, with that source."""
    from ultrafm.manifests import choose_source, is_simulated, load_sites

    chosen = [(manifest, choose_source(manifest, "default")[1]) for manifest in load_sites(folder)]
    return [(manifest, source) for manifest, source in chosen if not is_simulated(source)]


def run_manifests_new(options: argparse.Namespace) -> int:
    """Draft a manifest, and print what was found, what was not used and what is left to fill in."""
    from ultrafm.manifests.scaffold import draft_manifest

    draft = draft_manifest(options.pictures, options.out, options.site)
    print(f"Draft: {draft.path}", *(f"  found {line}" for line in draft.found), sep="\n")
    if draft.not_used:
        print(f"  not used: {'; '.join(draft.not_used)}")
    print("Left for you:", *(f"  {line}" for line in draft.to_do), sep="\n")
    where = shlex.join([str(draft.path.parent), "--data-root", str(options.pictures.resolve().parent)])
    print(f"Then: ultrafm manifests check {where}")
    return 0


def run_manifests_vary(options: argparse.Namespace) -> int:
    """Write varied manifests, and how to run a study on them."""
    from ultrafm.manifests.vary import Variation, vary_manifests

    shortcut = True if options.shortcut else None
    variation = Variation(options.heterogeneity, shortcut, options.best_auroc, options.label_noise)
    written = vary_manifests(options.folder, options.out, variation)
    print(f"{len(written)} manifests in {options.out}")
    print(f"Then: ultrafm study --manifests {shlex.quote(str(options.out))} --out reports/varied")
    return 0


def run_manifests_schema(options: argparse.Namespace) -> int:
    """Write the JSON Schema of a folder of manifests."""
    from ultrafm.manifests import write_json_schema

    print(write_json_schema(options.folder))
    return 0
