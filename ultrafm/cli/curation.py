"""`ultrafm curate`, `sign` and `withdraw`: what a hospital's data manager does."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ultrafm.errors import UltraFMError

if TYPE_CHECKING:
    from ultrafm.curation.curate import SiteSummary

IMAGE_SIZE = (
    "side of the stored pictures (default: %(default)s): each scan area is shrunk to fit into so many pixels across "
    "and as many down. Training uses this size and sees no finer detail; all sites that train together need the same. "
    "(`ultrafm study` curates by itself, to the image_size of its profile.)"
)


def add_curation(commands) -> None:
    """The three commands and their options."""
    curate = commands.add_parser("curate", help="curate one site")
    add_site(curate)
    curate.add_argument("--out", type=Path, help="folder for the store and the data sheet")
    curate.add_argument("--dry-run", action="store_true", help="read everything, print the data sheet, keep nothing")
    curate.add_argument("--image-size", type=int, default=64, metavar="PIXELS", help=IMAGE_SIZE)
    curate.add_argument("--seed", type=int, default=0, help="seed of simulated images (default: 0)")
    curate.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    curate.add_argument("--allow-network", action="store_true", help="download a remote source that is not there yet")
    curate.set_defaults(run=run_curate)
    sign = commands.add_parser("sign", help="release a curated store to training, after a look at its contact sheet")
    add_site(sign)
    sign.add_argument("--out", type=Path, required=True, help="the folder that the site was curated into")
    sign.add_argument("--by", required=True, help="name of the person who looked at the contact sheet")
    sign.add_argument("--on", default=datetime.date.today().isoformat(), help="the day (default: today)")
    sign.set_defaults(run=run_sign)
    withdraw = commands.add_parser("withdraw", help="remove a patient from all that was curated, for good")
    add_site(withdraw)
    withdraw.add_argument("--out", type=Path, required=True, help="the folder that the site was curated into")
    withdraw.add_argument("--patient", required=True, help="the patient as the site's own table or header writes it")
    withdraw.set_defaults(run=run_withdraw)


def add_site(command: argparse.ArgumentParser) -> None:
    """Which site, and where its images are."""
    command.add_argument("manifest", type=Path, help="the site's manifest, a .yaml file")
    command.add_argument("--data-root", type=Path, help="folder that real images lie in")
    where = "which of the manifest's sources (default: its default_source)"
    command.add_argument("--source", choices=("phantom", "open", "local"), default="default", help=where)


def run_curate(options: argparse.Namespace) -> int:
    """Curate one site and print its data sheet; a dry run leaves nothing behind, no lock and no key either."""
    if options.dry_run == bool(options.out):
        raise UltraFMError("ultrafm curate", "both or neither of --out and --dry-run", "one of them")
    if options.out:
        return curate_and_print(options, options.out, options.manifest.parent)
    with tempfile.TemporaryDirectory(prefix="ultrafm-dry-run-") as folder:
        out, copies = Path(folder) / "out", Path(folder) / "manifests"
        copies.mkdir()
        for path in options.manifest.parent.glob(f"{options.manifest.stem}.*"):
            (copies / path.name).write_bytes(path.read_bytes())
        return curate_and_print(options, out, copies)


def curate_and_print(options: argparse.Namespace, out: Path, registry: Path) -> int:
    """Curate one site into `out`, with key and lock in `registry`, and print its data sheet."""
    from ultrafm.curation.curate import HOUSE
    from ultrafm.curation.identity.pseudonyms import key_path
    from ultrafm.curation.sites import Places, Wish, curate_archive, spelling_warnings
    from ultrafm.manifests import choose_source, is_simulated

    manifest = load(options)
    places = Places(out, out / "archives", out / "work", registry, options.data_root)
    wish = Wish(
        options.source, options.seed, options.image_size, workers=options.workers, allow_network=options.allow_network
    )
    summary = curate_archive(manifest, places, wish)
    folder = out / manifest.site
    print((folder / "datasheet.md").read_text())
    size = f"{options.image_size} x {options.image_size} pixels"
    print(f"Pictures for the store: {summary.flow['kept']} of {size}, the size that training uses (--image-size)")
    for warning in spelling_warnings(manifest, places, wish):
        print(f"ultrafm: warning: {warning}", file=sys.stderr)
    if not options.out:
        source = choose_source(manifest, options.source)[1]
        secret = not is_simulated(source) and source.deidentification.pseudonyms == "secret"
        if secret and not key_path(options.manifest.parent, manifest.site).exists():
            print("Folds of a dry run without the site's key are an example: they are dealt when the site is curated.")
        return 0
    print(f"Data sheet: {folder / 'datasheet.html'}")
    rows, kept = summary.flow["rows"], summary.flow["kept"]
    if kept < rows:
        listed = folder / HOUSE / "quarantine.csv"
        print(f"Note: {rows - kept} of {rows} pictures were left out; the reasons are in {listed}", file=sys.stderr)
    tell_unsigned(options, out, summary)
    return 0


def tell_unsigned(options: argparse.Namespace, out: Path, summary: SiteSummary) -> None:
    """Say what releases a store in `out` to training, unless it is released."""
    from ultrafm.curation.curate import HOUSE

    if summary.released:
        return
    sheet = out / summary.site / HOUSE / "contact_sheet.html"
    source = "" if options.source == "default" else f" --source {options.source}"
    manifest, place = shlex.quote(str(options.manifest)), shlex.quote(str(out))
    command = f'ultrafm sign {manifest}{source} --out {place} --by "YOUR NAME"'
    print(f"Before anything trains on it, look at {sheet}, then run: {command}")


def run_sign(options: argparse.Namespace) -> int:
    """Sign for the store that is there now."""
    from ultrafm.curation.decisions import sign_store

    manifest = load(options)
    release = sign_store(manifest, options.source, options.manifest.parent, options.out, options.by, options.on)
    if not release.needs_signature:
        print(f"{manifest.site}: this store needs no signature; training may read it as it is")
        return 0
    print(f"{manifest.site}: released by {release.by} on {release.on}, for the content {release.content[:16]}")
    return 0


def run_withdraw(options: argparse.Namespace) -> int:
    """Withdraw a patient and say what is left."""
    from ultrafm.curation.decisions import withdraw_patient

    manifest = load(options)
    summary = withdraw_patient(
        manifest, options.source, options.manifest.parent, options.out, options.data_root, options.patient
    )
    print(f"{manifest.site}: withdrawn; {summary.flow['kept']} pictures of {summary.patients} patients are left")
    print("Models that were trained before still know what they learnt: train again, or say so.")
    print("Folders that this site was curated into with another --out still hold the patient: curate again, or delete.")
    if not summary.released:
        print("The store has changed, and no signature holds for it yet.")
    tell_unsigned(options, options.out, summary)
    return 0


def load(options: argparse.Namespace):
    """The manifest that was named."""
    from ultrafm.manifests import load_site, load_vocabulary

    if options.manifest.is_dir():
        raise UltraFMError(str(options.manifest), "a folder", "one manifest, such as site_01_own.yaml in it")
    return load_site(options.manifest, load_vocabulary(options.manifest.parent))
