"""The answers of a head for one new picture: numbers for the table, and what an overlay shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer

from ultrafm.downstream.heads.artifact import Head
from ultrafm.downstream.heads.new_pictures import NewPicture
from ultrafm.downstream.methods.features import extract_features, extract_patch_features
from ultrafm.downstream.methods.segmentation import PatchHead, head_shares

COLUMNS = (
    "file", "frame", "frames", "task", "answer", "score", "calibrated", "threshold", "call", "area_share", "area_mm2",
    "quality_flags", "scan_area", "scan_area_confidence", "crop", "original_width", "original_height", "text_marks",
    "pixel_mm", "head_trained_on", "failure",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """rows: one for each answer, with the keys of COLUMNS. shares: segmentation, answer -> (S, S) shares 0 to 1."""

    rows: list[dict[str, Any]]
    shares: dict[str, np.ndarray]


Ask = Callable[[NewPicture], Answer]


def asking(head: Head, encoder: VisionTransformer) -> Ask:
    """The function that gives a head's answers for a picture. One picture at a time, so that nothing depends on which
    others there are."""
    if head.facts.kind == "segmentation":
        outline = patch_head(head, encoder.patch_embed.patch_size[0])
        return lambda picture: outlined(head, encoder, outline, picture)
    return lambda picture: diagnosed(head, encoder, picture)


def diagnosed(head: Head, encoder: VisionTransformer, picture: NewPicture) -> Answer:
    """Score, calibrated score and call of each answer."""
    features = extract_features(encoder, picture.image[None], picture.sector[None])
    scores, calibrated = (head.scores(features, wanted)[0] for wanted in (False, True))
    rows = []
    for name, score, even in zip(head.facts.answers, scores, calibrated):
        call = int(score >= head.facts.thresholds[name])
        rows.append(row_of(head, picture, name) | {"score": float(score), "calibrated": float(even), "call": call})
    return Answer(rows, {})


def outlined(head: Head, encoder: VisionTransformer, outline: PatchHead, picture: NewPicture) -> Answer:
    """Largest share of a pixel as score; the structure is called where a pixel reaches the threshold, with its area."""
    shares = head_shares(outline, extract_patch_features(encoder, picture.image[None]))[0]
    [name] = head.facts.answers
    drawn = shares >= head.facts.thresholds[name]
    pixel_mm = picture.facts["pixel_mm"]
    numbers = {"score": float(shares.max()), "calibrated": None, "call": int(drawn.any())}
    numbers["area_share"] = float(drawn.sum() / max(1, picture.sector.sum()))
    numbers["area_mm2"] = None if pixel_mm is None else float(drawn.sum() * pixel_mm**2)
    return Answer([row_of(head, picture, name) | numbers], {name: shares})


def row_of(head: Head, picture: NewPicture, answer: str) -> dict[str, Any]:
    """What is the same in every row: the picture, how it was prepared, and what the head is."""
    facts = picture.facts or {}
    row = dict.fromkeys(COLUMNS) | {
        "file": picture.name, "frame": picture.frame, "frames": picture.frames, "task": head.facts.task,
        "answer": answer, "threshold": head.facts.thresholds[answer], "head_trained_on": f"{head.facts.images} images",
        "failure": picture.failure,
    }  # fmt: skip
    if not facts:
        return row
    return row | {
        "quality_flags": "; ".join(picture.flags), "scan_area": facts["area"],
        "scan_area_confidence": facts["confidence"], "crop": " ".join(map(str, facts["crop"])),
        "original_width": facts["original_width"], "original_height": facts["original_height"],
        "text_marks": facts["text_marks"], "pixel_mm": facts["pixel_mm"],
    }  # fmt: skip


def failed(head: Head, picture: NewPicture) -> Answer:
    """The rows of a picture that could not be prepared: no score, and the reason."""
    return Answer([row_of(head, picture, name) for name in head.facts.answers], {})


def patch_head(head: Head, patch: int) -> PatchHead:
    """The segmentation head as the module that it was."""
    numbers = {name: torch.from_numpy(values) for name, values in head.numbers.items()}
    made = PatchHead(numbers["mean"], numbers["deviation"], patch)
    made.load_state_dict(numbers)
    return made.eval()
