"""Predicting new pictures with a kept head: a table, overlays, and a diary so that a stopped run goes on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.heads.answers import COLUMNS, Answer, asking, failed
from ultrafm.downstream.heads.artifact import Head
from ultrafm.downstream.heads.listing import Listed
from ultrafm.downstream.heads.new_pictures import FRAMES_PER_CLIP, NewPicture, prepare_images
from ultrafm.downstream.heads.overlays import colour_words, encode_colour, outline_overlay, saliency_overlay, with_words
from ultrafm.downstream.review.saliency import ask, map_over_pixels, occlusion
from ultrafm.files import hash_text, replacing, write_bytes, write_json
from ultrafm.progress import progress

TABLE, DIARY, ABOUT, OVERLAYS = "predictions.csv", "progress.jsonl", "about.json", "overlays"
DIGITS = 6
WHOLE = ("frame", "frames", "call", "original_width", "original_height", "text_marks")


@dataclass(frozen=True)
class Wanted:
    """overlays: outlines of a segmentation. saliency: maps of a diagnosis. frames_per_clip: at most, evenly spaced."""

    overlays: bool = True
    saliency: bool = False
    frames_per_clip: int = FRAMES_PER_CLIP


def predict_files(
    head: Head, encoder: VisionTransformer, files: Sequence[Listed], out: Path, wanted: Wanted
) -> pd.DataFrame:
    """The answers for every file (answers.COLUMNS), in the order of `files`; written to out/predictions.csv.

    Overlays go to out/overlays, what the head is to out/about.json. Files that are in the diary of an earlier run of
    the same head with the same wishes, and have not changed since, are not read again. A file that cannot be read
    stands in the table with its reason.
    """
    out.mkdir(parents=True, exist_ok=True)
    identity = hash_text(json.dumps([head.fingerprint, asdict(wanted)], sort_keys=True))
    known = read_diary(out / DIARY, identity)
    states = {file.name: _state(file.path) for file in files}
    waiting = [file for file in files if known.get(file.name, ("", []))[0] != states[file.name]]
    with DiaryWriter(out / DIARY, identity, bool(known)) as diary:
        answer = asking(head, encoder)
        prepared = prepare_images(waiting, head.facts.image_size, wanted.frames_per_clip)
        for file, pictures in progress(prepared, total=len(waiting), title="predicting", unit="file"):
            rows = []
            for picture in pictures:
                found = failed(head, picture) if picture.failure else answer(picture)
                keep_overlay(head, encoder, picture, found, out / OVERLAYS, wanted)
                rows += found.rows
            known[file.name] = states[file.name], rows
            diary.add(file.name, *known[file.name])
    table = pd.DataFrame([row for file in files for row in known[file.name][1]], columns=list(COLUMNS))
    table = table.astype(dict.fromkeys(WHOLE, "Int64"))
    write_json(out / ABOUT, {"head": asdict(head.facts), "warnings": head.warnings, "wanted": asdict(wanted)})
    with replacing(out / TABLE) as temporary:
        table.round(DIGITS).to_csv(temporary, index=False, lineterminator="\n")
    return table


def keep_overlay(
    head: Head, encoder: VisionTransformer, picture: NewPicture, found: Answer, folder: Path, wanted: Wanted
) -> None:
    """Write the overlays of one picture that are wanted: one for an outline, one for each answer's saliency."""
    if picture.failure:
        return
    if found.shares is not None and wanted.overlays:
        drawn = outline_overlay(picture.crop, found.shares, found.thresholds)
        said = f"{head.facts.task}: outline of {colour_words(head.facts.answers)}"
        write_bytes(folder / overlay_name(picture, "outline"), encode_colour(with_words(drawn, [said, *head.warnings])))
    if found.shares is None and wanted.saliency:
        for number, row in enumerate(found.rows):
            drawn = saliency_overlay(picture.crop, picture_saliency(head, encoder, picture, number, row["call"] == 1))
            call = "called" if row["call"] else "not called"
            said = f"{row['answer']}: score {row['score']:.2f}, {call}. Red speaks for the call, blue against it."
            how = "Occlusion by patches; not tested on this picture."
            name = overlay_name(picture, f"saliency_{row['answer']}")
            write_bytes(folder / name, encode_colour(with_words(drawn, [said, how, *head.warnings])))


def picture_saliency(
    head: Head, encoder: VisionTransformer, picture: NewPicture, answer: int, positive: bool
) -> np.ndarray:
    """(S, S) occlusion map of one answer, towards its call."""
    weights, bias = head.raw_weights(answer)
    asked = ask(encoder, weights, bias, picture.image, picture.sector, positive)
    return map_over_pixels(occlusion(asked), len(picture.image))


def overlay_name(picture: NewPicture, what: str) -> str:
    """The name of an overlay below its folder: that of the file, with the frame where there are several."""
    frame = f".frame_{picture.frame:04d}" if picture.frames > 1 else ""
    return f"{picture.name.lstrip('/')}{frame}.{re.sub(r'[^0-9A-Za-z_]+', '_', what)}.png"


def read_diary(path: Path, identity: str) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """File -> its state and rows, from a diary of the same head and wishes; a line cut short does not count."""
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0] != json.dumps({"identity": identity}):
        return {}
    for line in lines[1:]:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        found[told["file"]] = told["state"], told["rows"]
    return found


class DiaryWriter:
    """Adds a line for each file that is done; a new diary begins with what it belongs to."""

    def __init__(self, path: Path, identity: str, goes_on: bool) -> None:
        self._handle = path.open("a" if goes_on else "w", encoding="utf-8")
        if not goes_on:
            self._write({"identity": identity})
        else:
            self._handle.write("\n")  # ends a line that was cut short

    def __enter__(self) -> DiaryWriter:
        return self

    def __exit__(self, *_error: object) -> None:
        self._handle.close()

    def add(self, file: str, state: str, rows: list[dict[str, Any]]) -> None:
        """Keep what came of a file."""
        self._write({"file": file, "state": state, "rows": rows})

    def _write(self, value: dict[str, Any]) -> None:
        self._handle.write(json.dumps(value) + "\n")
        self._handle.flush()


def _state(path: Path) -> str:
    """Size and time of change of a file."""
    try:
        found = os.stat(path)
    except OSError:
        return "missing"
    return f"{found.st_size}|{found.st_mtime_ns}"
