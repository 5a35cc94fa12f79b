"""`ultrafm evaluate` and `ultrafm predict`: own weights on the tasks of a study, and a trained head on new pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ultrafm.errors import UltraFMError


def add_downstream(commands) -> None:
    """`ultrafm evaluate` and `ultrafm predict`."""
    add_evaluate(commands)
    add_predict(commands)


def add_evaluate(commands) -> None:
    """`ultrafm evaluate`: an encoder on tasks, beside others."""
    evaluate = commands.add_parser("evaluate", help="test your own weights on the tasks of a study")
    evaluate.add_argument("weights", type=Path, help="an encoder of a study, or what `weights import` wrote")
    evaluate.add_argument("--task", required=True, help="one task of the manifests, or several, by comma")
    evaluate.add_argument("--out", type=Path, required=True, help="folder for predictions, records, figures and heads")
    evaluate.add_argument("--study", type=Path, help="a study whose curated sites and encoders are used")
    evaluate.add_argument("--curated", type=Path, help="curated sites, where there is no study")
    evaluate.add_argument("--manifests", help="folder of their manifests (default: those that the study names)")
    evaluate.add_argument("--methods", default="", help="by comma (default: linear_probe, linear_head for outlines)")
    evaluate.add_argument("--seed", type=int, default=0, help="of training and intervals (default: 0)")
    evaluate.add_argument("--epochs", type=int, default=8, help="of methods that train the encoder (default: 8)")
    evaluate.add_argument("--bootstrap", type=int, default=1000, help="draws of patients (default: 1000)")
    evaluate.add_argument("--workers", type=int, default=1, help="processes; they change no result (default: 1)")
    evaluate.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate, print a table, write what came of it."""
    from ultrafm.downstream.own.evaluating import MODEL, Places, Wish, evaluate_own
    from ultrafm.downstream.own.records import own_table
    from ultrafm.downstream.own.showing import write_shown

    for name, least in (("epochs", 0), ("bootstrap", 1), ("workers", 1)):
        at_least(f"--{name}", getattr(options, name), least)
    curated, manifests = where_from(options)
    places = Places(options.weights, curated, manifests, options.study, options.out)
    wish = Wish(
        split(options.task), split(options.methods), options.seed, options.epochs, options.bootstrap, options.workers
    )
    table = own_table(evaluate_own(places, wish, print))
    print(write_shown(options.out, table))
    print(f"Written: {options.out}; for new pictures: ultrafm predict {options.out / MODEL} IMAGES --task ...")
    return 0


def where_from(options: argparse.Namespace) -> tuple[Path, Path]:
    """Curated sites and manifests. Raises UltraFMError when it is not clear which are meant."""
    from ultrafm.files import read_json
    from ultrafm.study import find_manifests

    if (options.study is None) == (options.curated is None):
        found = "both" if options.study else "neither"
        raise UltraFMError("--study and --curated", found, "one of them")
    if options.study is None:
        if not options.manifests:
            raise UltraFMError("--curated", "no --manifests", "the manifests of these sites", "add --manifests FOLDER")
        return options.curated, find_manifests(options.manifests)
    if not (options.study / "study.json").is_file():
        raise UltraFMError(f"--study {options.study}", "no study.json", "the folder of a study")
    named = options.manifests or read_json(options.study / "study.json")["manifests"]
    folder = find_manifests(named)
    if not folder.is_dir():
        mend = "say where they are with --manifests FOLDER"
        raise UltraFMError(f"--study {options.study}", f"manifests called {named!r}, which are not here",
                           "the folder of its manifests", mend)  # fmt: skip
    return options.study / "10_curate" / "sites", folder


def at_least(option: str, value: int, least: int) -> None:
    """Raises UltraFMError for a smaller number."""
    if value < least:
        raise UltraFMError(option, str(value), f"a number of at least {least}")


def split(text: str) -> tuple[str, ...]:
    """Names parted by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def add_predict(commands) -> None:
    """`ultrafm predict`: scores or outlines for new pictures."""
    predict = commands.add_parser("predict", help="ask a trained head about new pictures (research use only)")
    predict.add_argument("weights", type=Path, help="the model folder that `ultrafm evaluate` wrote")
    predict.add_argument("images", type=Path, nargs="+", help="pictures, clips and DICOM files, or folders of them")
    predict.add_argument("--task", required=True, help="what is asked")
    predict.add_argument("--out", type=Path, required=True, help="folder for predictions.csv and overlays")
    predict.add_argument("--head", type=Path, help="folder of the head (default: WEIGHTS/heads/TASK)")
    predict.add_argument("--saliency", action="store_true", help="also draw what a score leans on; slow")
    predict.add_argument("--no-overlays", action="store_true", help="no pictures of outlines")
    frames = "frames of a clip, evenly spaced (default: as in curation)"
    predict.add_argument("--frames", type=int, help=f"at most so many {frames}")
    predict.set_defaults(run=run_predict)


def run_predict(options: argparse.Namespace) -> int:
    """Predict, print how it went and what the head may be used for."""
    from ultrafm.downstream.evaluate import one_thread
    from ultrafm.downstream.heads.artifact import load_head
    from ultrafm.downstream.heads.listing import list_images
    from ultrafm.downstream.heads.predicting import OVERLAYS, TABLE, Wanted, predict_files
    from ultrafm.downstream.methods.encoders import encoder_hash, open_encoder

    if options.frames is not None:
        at_least("--frames", options.frames, 1)
    folder = options.head or head_place(options.weights, options.task)
    head = load_head(folder, encoder_hash(options.weights))
    if head.facts.task != options.task:
        raise UltraFMError(str(folder), f"a head of the task {head.facts.task!r}", f"one of {options.task!r}")
    for line in head.warnings:
        print(line)
    given: dict[str, Any] = {} if options.frames is None else {"frames_per_clip": options.frames}
    wanted = Wanted(not options.no_overlays, options.saliency, **given)
    with one_thread():
        files = list_images(options.images, options.out / OVERLAYS)
        table = predict_files(head, open_encoder(options.weights), files, options.out, wanted)
    print(told(table, options.out / TABLE))
    return 0


def head_place(weights: Path, task: str) -> Path:
    """The head of a task beside an encoder. Raises UltraFMError, with the heads that are there, when there is none."""
    from ultrafm.downstream.heads.artifact import head_folder
    from ultrafm.errors import nearest

    folder = head_folder(weights, task)
    if folder.is_dir():
        return folder
    known = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
    expected = f"one of {', '.join(known)}{nearest(task, known)}" if known else "a head, which `evaluate` makes"
    mend = "ultrafm evaluate WEIGHTS --task TASK --out DIR, then predict with DIR/model"
    raise UltraFMError(f"{weights}, head of {task!r}", "none", expected, mend)


def told(table: Any, place: Path) -> str:
    """How many pictures were answered, which were not, and where the table is."""
    failed = table[table["failure"].notna()].drop_duplicates(["file", "frame"])
    answered = len(table.drop_duplicates(["file", "frame"])) - len(failed)
    lines = [f"{answered} pictures answered, {len(failed)} could not be read"]
    lines += [f"  {row.file}: {row.failure}" for row in failed.head(5).itertuples()]
    flagged = table[table["quality_flags"].fillna("") != ""]["file"].nunique()
    if flagged:
        lines.append(f"{flagged} files have quality flags: curation would have left them out")
    whole = table[table["scan_area"] == "whole"]["file"].nunique()
    if whole:
        lines.append(f"{whole} files show no border of the scan: all of the picture was taken for it, so look at their "
                     "overlays for names that no text finder saw before you pass them on")  # fmt: skip
    return "\n".join([*lines, f"Written: {place}"])
