"""Robustness: a probe that was fitted on clean pictures is asked about perturbed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ultrafm.downstream.designs.asking import Look, ask, joined, prediction_rows
from ultrafm.downstream.designs.perturbations import PERTURBATIONS, perturbed_images
from ultrafm.downstream.tasks import turns
from ultrafm.geometry.frames import ScanFrames

ROBUSTNESS_COLUMNS = ("perturbation", "level")


def robustness(
    look: Look,
    frames: ScanFrames,
    extract: Callable[[np.ndarray, np.ndarray], np.ndarray],
    kinds: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Predictions for perturbed test images, at every level of these kinds of PERTURBATIONS.

    frames: of all N images of the task. extract: (P, S, S) uint8 images and their sectors -> (P, F) features, by the
    very encoder of `look`. The probe is the study's own, with its penalty chosen on clean validation images; at level
    0 its scores are those of the study. Columns of `asking`, then perturbation and level.
    """
    asked = [(kind, level) for kind in kinds for level in PERTURBATIONS[kind].levels]
    parts = []
    for turn in turns(look.data):
        sectors = look.data.sectors[turn.predict]
        found = [
            extract(perturbed_images(kind, level, look.data, turn.predict, frames, seed), sectors)
            if level
            else look.features[turn.predict]
            for kind, level in asked
        ]
        scores = np.split(ask(look, turn, np.concatenate(found)), len(asked)) if asked else []
        parts += [
            prediction_rows(look, turn.predict, score, turn.fold, perturbation=kind, level=level)
            for (kind, level), score in zip(asked, scores)
        ]
    return joined(parts, ROBUSTNESS_COLUMNS)
