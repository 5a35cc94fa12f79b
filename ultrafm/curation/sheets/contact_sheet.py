"""The contact sheet: the pictures that a person looks at and signs for before a store is released to training."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ultrafm.curation.sheets.counting import OUTSIDE, draw_ids, draw_spread
from ultrafm.curation.sheets.gallery import Gallery, fetch, jpeg_address
from ultrafm.curation.sheets.rendering import write_rendered

ALL_UP_TO = 400  # pictures; a store of no more is shown whole
SAMPLE = 200  # of a larger store: unsuspicious pictures that are drawn by hash
MOST_SUSPICIOUS = 400  # of a larger store: suspicious pictures that are shown
LOW_CONFIDENCE = 0.5  # of the scan area; below it a picture is suspicious
NOTHING_SEEN = 3.0  # none among n: at most 3/n of all, with 95 % confidence (Hanley and Lippman-Hand 1983)


class Doubt(NamedTuple):
    """Why a picture should be looked at: in words, and where it holds (bool, one for each row of the table)."""

    words: str
    holds: Callable[[pd.DataFrame], pd.Series]


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as numbers; NaN everywhere when the table lacks it."""
    return pd.to_numeric(table[name]) if name in table else pd.Series(float("nan"), index=table.index)


DOUBTS = (
    Doubt("text or markers found in or at the scan area", lambda table: _column(table, "text_marks") > 0),
    Doubt("no border found, so that nothing was cut off", lambda table: table["area"] == "whole"),
    Doubt("scan area found with low confidence", lambda table: _column(table, "confidence") < LOW_CONFIDENCE),
    Doubt("mask reaches outside the scan area", lambda table: _column(table, "mask_outside") > OUTSIDE),
    Doubt("colour in the original", lambda table: table["colour"].fillna(False).astype(bool)),
)
CALM = "no doubt noted"
PAGES = (("data sheet", "../datasheet.html"), ("contact sheet", "contact_sheet.html"))  # the sheet lies in house/
DRAW = "contact sheet"


@dataclass(frozen=True)
class Group:
    """Pictures that are shown under one heading. `images`: how many the store holds of them. `ids`: those shown."""

    words: str
    images: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What a contact sheet shows of a store.

    images: pictures of the store. whole: are all of them shown? sample_patients: patients of the drawn, unsuspicious
    ones.
    """

    groups: tuple[Group, ...]
    images: int
    whole: bool
    sample_patients: int

    @property
    def shown(self) -> list[str]:
        """Image ids of all pictures shown, in the order of the page."""
        return [image_id for group in self.groups for image_id in group.ids]


def find_doubts(kept: pd.DataFrame) -> np.ndarray:
    """Which of DOUBTS hold for each picture: bool (pictures, doubts)."""
    return np.stack([doubt.holds(kept).to_numpy(dtype=bool) for doubt in DOUBTS], axis=1)


def choose_shown(
    kept: pd.DataFrame, all_up_to: int = ALL_UP_TO, sample: int = SAMPLE, most_suspicious: int = MOST_SUSPICIOUS
) -> Selection:
    """Which pictures of a store (rows as `make_datasheet` takes them) its contact sheet shows, grouped by first doubt.

    All of a store of at most `all_up_to`. Of a larger one, the suspicious pictures, but at most `most_suspicious`, in
    turn one of each doubt, and `sample` of the others, one of each patient before a second of any. Draws are by hash.
    """
    doubts = find_doubts(kept)
    first = pd.Series(np.where(doubts.any(axis=1), doubts.argmax(axis=1), len(DOUBTS)), index=kept.index)
    suspicious, calm = kept[first < len(DOUBTS)], kept[first == len(DOUBTS)]
    whole = len(kept) <= all_up_to
    limit, drawn = (len(kept), len(kept)) if whole else (most_suspicious, sample)
    taken = set(draw_spread(suspicious["image_id"], first[suspicious.index], limit, DRAW))
    calm_ids = draw_spread(calm["image_id"], calm["patient"], drawn, DRAW)
    groups = []
    for number, doubt in enumerate(DOUBTS):
        ids = kept["image_id"][first == number]
        if len(ids):
            groups.append(Group(doubt.words, len(ids), tuple(draw_ids(taken & set(ids), len(ids), DRAW))))
    if len(calm):
        groups.append(Group(CALM, len(calm), tuple(calm_ids)))
    patients = calm["patient"][calm["image_id"].isin(calm_ids)].nunique()
    return Selection(tuple(groups), len(kept), whole, int(patients))


def write_contact_sheet(
    target: Path, sheet: Mapping[str, Any], kept: pd.DataFrame, gallery: Gallery, manifest: str, out: str
) -> Selection:
    """Write the contact sheet to `target`, in the house folder of a site; returns what it shows.

    Pictures pass through memory one at a time. `sheet` is the data sheet of the site, made for `kept`. `gallery` gives
    de-identified pictures of any size, best about 256 pixels, so that letters can be read. `manifest` and `out` stand
    in the command that signs. Nothing else on the page names a file, and nothing a patient.
    """
    chosen = choose_shown(kept)
    rows = kept[kept["image_id"].isin(set(chosen.shown))]
    doubts = dict(zip(rows["image_id"], find_doubts(rows)))
    values = {
        "site": sheet["site"], "images": sheet["images"], "pages": PAGES, "here": "contact sheet",
        "sign": sheet["deidentification"]["sign_off"],
        "command": f"ultrafm sign {shlex.quote(manifest)} --out {shlex.quote(out)} --by \"NAME\"",
        "total": chosen.images, "shown": len(chosen.shown), "whole": chosen.whole, "rules": _rules(chosen),
        "groups": [(group, _figures(group, gallery, doubts)) for group in chosen.groups],
    }  # fmt: skip
    write_rendered(target, "contact_sheet.html.j2", values)
    return chosen


def _rules(chosen: Selection) -> list[str]:
    """How the pictures were chosen, in sentences."""
    if chosen.whole:
        return ["Every picture of the store is shown."]
    rules = [
        f"Shown are at most {MOST_SUSPICIOUS} suspicious pictures, in turn one of each doubt, and {SAMPLE} of the "
        "others, drawn by hash, one of each patient before a second of any."
    ]
    if chosen.sample_patients:
        bound = min(1.0, NOTHING_SEEN / chosen.sample_patients)
        rules.append(
            f"A sample is no proof: when pictures of {chosen.sample_patients} patients, drawn at random, show nothing, "
            f"still up to {100 * bound:.1f}% of such pictures may show something (95% confidence, 3/n)."
        )
    return rules


def _figures(group: Group, gallery: Gallery, doubts: dict[str, np.ndarray]) -> Iterator[dict[str, object]]:
    for picture in fetch(gallery, group.ids):
        height, width = picture.image.shape
        holding = [doubt.words for doubt, holds in zip(DOUBTS, doubts[picture.image_id]) if holds]
        also = [words for words in holding if words != group.words]
        yield {"image_id": picture.image_id, "address": jpeg_address(picture.image), "width": width, "height": height,
               "also": also}  # fmt: skip
