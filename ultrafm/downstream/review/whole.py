"""The review of whole tasks as a notebook asks for it: calls, surest mistakes, tested maps and themes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.downstream.heads.fitting import PROBE, fit_kept_head
from ultrafm.downstream.methods.encoders import open_encoder
from ultrafm.downstream.review import figures
from ultrafm.downstream.review.mistakes import surest_mistakes, turn_thresholds, with_calls
from ultrafm.downstream.review.properties import lesion_outlines, picture_properties
from ultrafm.downstream.review.reviewing import (
    Maps,
    outline_themes,
    saliency_records,
    sentences_on_tests,
    tested_maps,
    theme_records,
    themes_of,
)
from ultrafm.downstream.review.themes import dice_by, theme_sentences
from ultrafm.downstream.tasks import TaskData, patient_names

SECTION, SHOWN = "review", 4  # of the records; pictures with their maps
MEASURES = {"size": "lesion_size", "contrast": "lesion_contrast"}


@dataclass(frozen=True)
class DiagnosisReview:
    """What went wrong in one task: `calls` (a row an image), the surest `mistakes`, tested `maps`, and `themes`."""

    data: TaskData
    model: str
    calls: pd.DataFrame
    mistakes: pd.DataFrame
    maps: Maps
    themes: pd.DataFrame

    @property
    def title(self) -> str:
        """The task, and whether its images are simulated."""
        return f"{self.data.task.name.replace('_', ' ')} ({figures.kind_of(self.data)})"

    def draw_mistakes(self) -> Figure:
        """The surest wrong calls, one picture a patient."""
        return figures.draw_mistakes(self.data, self.mistakes, self.model.replace("_", " "))

    def draw_tests(self) -> Figure:
        """By how much the maps beat random orders."""
        return figures.draw_tests(self.maps.tests, self.title)

    def draw_maps(self) -> Figure:
        """A few pictures beside their maps."""
        rows, called = self.maps.rows[:SHOWN], self.maps.called[:SHOWN]
        words = ["called" if call else "not called" for call in called]
        titles = [f"{word}, truth {self.data.truth[row]}" for row, word in zip(rows, words)]
        maps = {name: found[:SHOWN] for name, found in self.maps.pixels.items()}
        return figures.draw_saliency([self.data.images[row] for row in rows], maps, titles, self.title)

    def draw_themes(self) -> Figure:
        """What goes with wrong calls."""
        return figures.draw_themes(self.themes, f"{self.title}: wrong calls")

    def sentences(self) -> list[str]:
        """What the tests of the maps and the themes say, in words."""
        name = self.data.task.name.replace("_", " ")
        said = theme_sentences(self.themes, "wrong calls")
        return [*sentences_on_tests(self.maps.tests), *[f"{name}: {line}" for line in said]]

    def records(self) -> list[dict[str, Any]]:
        """The tests of the maps, and the themes."""
        kind = "simulated" if self.data.simulated else "real"
        found = saliency_records(SECTION, self.maps.tests, kind, self.model)
        return found + theme_records(SECTION, self.data.task.name, self.themes, kind, self.model)


def review_diagnosis(
    data: TaskData, predictions: pd.DataFrame, validation: pd.DataFrame, encoder: Path, curated: Path,
    generator: np.random.Generator, pictures: int,
) -> DiagnosisReview:  # fmt: skip
    """Review a binary task about images, as the linear probe on the encoder in the folder `encoder` answered it.

    predictions and validation: as `evaluate_diagnosis` gives, of all tasks, methods and encoders. pictures: of how many
    patients maps are made and tested; `generator` draws them. In cross-validation the maps explain a head that was
    fitted on these pictures too.
    """
    own = {"task": data.task.name, "method": PROBE, "encoder": encoder.name}
    mine = predictions[(predictions[list(own)] == list(own.values())).all(axis=1)].reset_index(drop=True)
    calls = with_calls(mine, turn_thresholds(mine, validation))
    head, outlines = fit_kept_head(encoder, data, curated), lesion_outlines(curated, data)[0]
    rows = pd.Index(data.table["image_id"]).get_indexer(calls["image_id"])
    maps = tested_maps(data, head, open_encoder(encoder), rows, generator, outlines, most=pictures)
    themes = themes_of(calls, picture_properties(curated, data))
    return DiagnosisReview(data, f"{PROBE}/{encoder.name}", calls, surest_mistakes(calls), maps, themes)


@dataclass(frozen=True)
class OutlineReview:
    """What goes with poor outlines in one task of one structure: `themes`, and `parts` of mean Dice by a measure."""

    data: TaskData
    model: str
    themes: pd.DataFrame
    parts: Mapping[str, pd.DataFrame]

    @property
    def title(self) -> str:
        """The task, and whether its images are simulated."""
        return f"{self.data.task.name.replace('_', ' ')} ({figures.kind_of(self.data)})"

    def draw_parts(self) -> Figure:
        """Mean Dice by size and by contrast of the structure."""
        return figures.draw_dice_by(dict(self.parts), f"{self.title}: Dice")

    def draw_themes(self) -> Figure:
        """What goes with poor outlines."""
        return figures.draw_themes(self.themes, f"{self.title}: poor outlines")

    def sentences(self) -> list[str]:
        """The themes in words."""
        name = self.data.task.name.replace("_", " ")
        return [f"{name}: {line}" for line in theme_sentences(self.themes, "poor outlines")]

    def records(self) -> list[dict[str, Any]]:
        """The themes."""
        kind = "simulated" if self.data.simulated else "real"
        return theme_records(SECTION, self.data.task.name, self.themes, kind, self.model)


def review_outlines(
    data: TaskData, scores: pd.DataFrame, curated: Path, method: str = "linear_head", encoder: str = "federated"
) -> OutlineReview:
    """Review a task of one structure from the scores of `evaluate_segmentation`."""
    own = {"task": data.task.name, "method": method, "encoder": encoder}
    mine = scores[(scores[list(own)] == list(own.values())).all(axis=1)].reset_index(drop=True)
    known = picture_properties(curated, data, data.answers[0])
    placed = known.set_index("image_id").loc[mine["image_id"]]
    dice, patients = mine["dice"].to_numpy(), patient_names(mine)
    parts = {word: dice_by(dice, patients, placed[column].to_numpy()) for word, column in MEASURES.items()}
    return OutlineReview(data, f"{method}/{encoder}", outline_themes(data, mine, known), parts)
