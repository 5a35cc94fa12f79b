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
from ultrafm.downstream.methods.drawing import label_map
from ultrafm.downstream.methods.features import extract_features, extract_patch_features
from ultrafm.downstream.methods.patch_head import PatchHead, head_shares

COLUMNS = (
    "file", "frame", "frames", "task", "answer", "score", "probability", "threshold", "call", "area_share", "area_mm2",
    "quality_flags", "scan_area", "scan_area_confidence", "crop", "original_width", "original_height", "text_marks",
    "pixel_mm", "head_trained_on", "failure",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """rows: one for each answer, with the keys of COLUMNS. Of a segmentation, shares (C, S, S) of its structures in
    each pixel, 0 to 1, and thresholds (C,); else None."""

    rows: list[dict[str, Any]]
    shares: np.ndarray | None
    thresholds: np.ndarray | None


Ask = Callable[[NewPicture], Answer]


def asking(head: Head, encoder: VisionTransformer) -> Ask:
    """The function that gives a head's answers for a picture. One picture at a time, so that nothing depends on which
    others there are."""
    if head.facts.kind == "segmentation":
        outline = patch_head(head)
        return lambda picture: outlined(head, encoder, outline, picture)
    return lambda picture: classified(head, encoder, picture)


def classified(head: Head, encoder: VisionTransformer, picture: NewPicture) -> Answer:
    """Score, probability and call of each answer."""
    scores = head.scores(extract_features(encoder, picture.image[None], picture.sector[None]))
    columns = zip(head.facts.answers, scores[0], head.probabilities(scores)[0], head.calls(scores)[0])
    rows = [
        row_of(head, picture, name) | {"score": float(score), "probability": float(share), "call": int(call)}
        for name, score, share, call in columns
    ]
    return Answer(rows, None, None)


def outlined(head: Head, encoder: VisionTransformer, outline: PatchHead, picture: NewPicture) -> Answer:
    """Largest share of a pixel as score; a structure is called where a pixel is drawn, with its area."""
    shares = head_shares(outline, extract_patch_features(encoder, picture.image[None]))
    thresholds = np.array([head.facts.thresholds[name] for name in head.facts.answers])
    labels = label_map(shares, thresholds)[0]
    pixel_mm, rows = picture.facts["pixel_mm"], []
    for place, name in enumerate(head.facts.answers):
        count = int((labels == place + 1).sum())
        numbers = {"score": float(shares[0, place].max()), "call": int(count > 0)}
        numbers["area_share"] = count / max(1, int(picture.sector.sum()))
        numbers["area_mm2"] = None if pixel_mm is None else count * pixel_mm**2
        rows.append(row_of(head, picture, name) | numbers)
    return Answer(rows, shares[0], thresholds)


def row_of(head: Head, picture: NewPicture, answer: str) -> dict[str, Any]:
    """What is the same in every row: the picture, how it was prepared, and what the head is."""
    facts = picture.facts or {}
    row = dict.fromkeys(COLUMNS) | {
        "file": picture.name, "frame": picture.frame, "frames": picture.frames, "task": head.facts.task,
        "answer": answer, "threshold": head.facts.thresholds.get(answer),
        "head_trained_on": f"{head.facts.images} images", "failure": picture.failure,
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
    return Answer([row_of(head, picture, name) for name in head.facts.answers], None, None)


def patch_head(head: Head) -> PatchHead:
    """The segmentation head as the module that it was."""
    numbers = {name: torch.from_numpy(values) for name, values in head.numbers.items()}
    structures = len(head.facts.answers)
    cell = round((len(numbers["linear.bias"]) / structures) ** 0.5)
    made = PatchHead(numbers["mean"], numbers["deviation"], cell, structures, head.facts.image_size)
    made.load_state_dict(numbers)
    return made.eval()
