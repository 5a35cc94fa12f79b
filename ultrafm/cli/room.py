"""`ultrafm readers room`, `demo`, `links` and `export`: the reading room."""

from __future__ import annotations

import argparse
from pathlib import Path

from ultrafm.errors import UltraFMError

PORT = 8350


def add_room(readers) -> None:
    """The commands of the reading room; docs/reading_room.md walks through them."""
    room = readers.add_parser("room", help="serve a study to its readers' browsers until interrupted")
    add_study(room)
    add_place(room)
    accept = "take readings although STUDY.yaml was changed after the first one; all later readings carry this reason"
    room.add_argument("--accept-deviation", metavar="REASON", help=accept)
    room.set_defaults(run=run_room)
    demo = readers.add_parser("demo", help="a reading room with simulated cases and two readers, in one command")
    demo.add_argument("--out", type=Path, default=Path("reports/reading_room"), help="folder for it all")
    demo.add_argument("--seed", type=int, default=0, help="seed of the simulated cases (default: 0)")
    demo.add_argument("--only-make", action="store_true", help="make the study, do not start the room")
    add_place(demo)
    demo.set_defaults(run=run_demo)
    links = readers.add_parser("links", help="give readers new links; their earlier ones end at once")
    add_study(links)
    links.add_argument(
        "--anew", action="append", required=True, metavar="CODE", help="a reader, or office; again for each"
    )
    add_place(links)
    links.set_defaults(run=run_links)
    leaver = readers.add_parser("withdraw", help="a reader takes her consent back: no more access, no more export")
    add_study(leaver)
    leaver.add_argument("--reader", required=True, metavar="CODE", help="the reader; this cannot be undone")
    leaver.set_defaults(run=run_withdraw)
    export = readers.add_parser("export", help="write the ratings table of a reading room, and a backup")
    add_study(export)
    export.add_argument("--out", type=Path, required=True, help="the ratings table, CSV")
    export.add_argument("--backup", type=Path, help="also copy the room's file here, while it is in use")
    export.set_defaults(run=run_export)


def add_study(command: argparse.ArgumentParser) -> None:
    """Which study, and where its readings are."""
    command.add_argument("study", type=Path, help="the registered study, STUDY.yaml")
    command.add_argument("--store", type=Path, help="the room's file (default: beside STUDY.yaml, ending in .sqlite)")


def add_place(command: argparse.ArgumentParser) -> None:
    """Where the room listens and how readers reach it."""
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    command.add_argument("--port", type=int, default=PORT, help=f"port (default: {PORT})")
    command.add_argument("--expose", action="store_true", help="needed to listen at an address that others can reach")
    command.add_argument("--address", metavar="URL", help="how readers reach the room, such as behind a TLS proxy")


def place_of(options: argparse.Namespace):
    """The options of `add_place`."""
    from ultrafm.readers.room.place import Place

    return Place(options.host, options.port, options.address, options.expose)


def tell(line: str) -> None:
    """Print a line at once, also into a pipe or a service's log."""
    print(line, flush=True)


def run_room(options: argparse.Namespace) -> int:
    """Serve a study."""
    from ultrafm.readers.room.serve import serve_room

    serve_room(options.study, options.store, place_of(options), tell, options.accept_deviation)
    return 0


def run_demo(options: argparse.Namespace) -> int:
    """Make the demonstration, tell new links, serve it."""
    from ultrafm.readers.room.demo import make_demonstration
    from ultrafm.readers.room.place import check_place
    from ultrafm.readers.room.serve import serve_room

    check_place(place_of(options))
    study = make_demonstration(options.out, options.seed, tell)
    tell(f"Study         {study}")
    if not options.only_make:
        serve_room(study, None, place_of(options), tell, anew=True)
    return 0


def run_links(options: argparse.Namespace) -> int:
    """Print new links."""
    from ultrafm.readers.room.roster import renew_links

    renew_links(options.study, options.store, place_of(options), options.anew, tell)
    return 0


def run_withdraw(options: argparse.Namespace) -> int:
    """Take a reader out."""
    from ultrafm.readers.room.roster import withdraw

    number = withdraw(options.study, options.store, options.reader)
    tell(f"{options.reader} is out; {number} readings stay in the room's file, and no export takes them any more")
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Back up, write the ratings table, say what to run on it and what deviates."""
    from ultrafm.readers.room import Store, export_ratings, load_study
    from ultrafm.readers.room.export import analyse_command
    from ultrafm.readers.room.readings import withdrawn
    from ultrafm.readers.room.store import store_of

    path = store_of(options.study, options.store)
    if not path.is_file():
        raise UltraFMError(str(path), "no such file", "the file of a reading room", "name it with --store")
    check_targets(options, path)
    store = Store(path)
    try:
        gone = sorted(withdrawn(store))
        if options.backup:
            store.backup(options.backup)
            tell(f"Backup        {options.backup}")
        study = load_study(options.study)
        table = export_ratings(store, study, options.out)
    finally:
        store.close()
    counts = f"{len(table)} ratings of {table['case'].nunique()} cases by {table['reader'].nunique()} readers"
    tell(f"{counts}: {options.out}")
    if gone:
        tell(f"Withdrawn     {', '.join(gone)}: left out")
    deviating = int((table["deviation"] != "").sum())
    if deviating:
        tell(f"Deviation     {deviating} ratings were made under another protocol than the registered one")
    tell(f"Registered analysis:\n  {analyse_command(study, str(options.out))}")
    return 0


def check_targets(options: argparse.Namespace, store: Path) -> None:
    """UltraFMError for an output that would take the place of the study or of the room's file."""
    kept = [options.study.resolve(), store.resolve()]
    for name, target in (("--out", options.out), ("--backup", options.backup)):
        if target is not None and target.resolve() in kept:
            raise UltraFMError(f"{name} {target}", "the study itself", "another file, which may be overwritten")
