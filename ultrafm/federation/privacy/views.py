"""Whose images a site holds, and what the model is shown of some patients in a step.

What is drawn for a patient depends on the patient and the step alone, not on who else is in the step: so taking one
patient away changes nothing for the others, even for someone who knows the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ultrafm.curation import load_pictures
from ultrafm.pretraining.model import ABSENT
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, as_batch
from ultrafm.pretraining.views import View, training_view

PLACES = {"keep": ABSENT, "wanted": ABSENT, "scored": 0}  # what fills up rows of images that keep fewer patches


@dataclass(frozen=True)
class Roster:
    """The patients of a site's training fold by their pseudonyms, and the rows of each in `site.site_scans`.

    simulated: are all images?
    """

    rows: Mapping[str, np.ndarray]
    simulated: bool

    def __len__(self) -> int:
        return len(self.rows)


@lru_cache(maxsize=64)
def site_roster(curated: str, site: str) -> Roster:
    """The training patients of a site, read from its own store once per process."""
    table = load_pictures(Path(curated), [site], ["train"]).table.reset_index(drop=True)
    rows = {str(patient): np.asarray(found) for patient, found in table.groupby("patient").indices.items()}
    return Roster(rows, bool(table["simulated"].all()))


@dataclass(frozen=True)
class PatientView:
    """What the model is shown of P patients with up to M images each; letters besides as in model.py.

    tensors: those of `View` with (P, M) in front, and `counted` (P, M), 1 for an image and 0 for a place without.
    absent: is there a place in `keep` or `wanted` that stands for no patch?
    """

    tensors: dict[str, torch.Tensor]
    absent: bool

    def part(self, rows: slice) -> PatientView:
        """Some of its patients."""
        return PatientView({name: one[rows] for name, one in self.tensors.items()}, self.absent)


def patient_view(
    scans: Scans,
    roster: Roster,
    patients: Sequence[str],
    images: int,
    recipe: Recipe,
    generator_of: Callable[[str], torch.Generator],
    device: torch.device,
) -> PatientView:
    """A random look at up to `images` random images of each of these patients, as the recipe says."""
    views = []
    for patient in patients:
        rows, generator = roster.rows[patient], generator_of(patient)
        chosen = rows[torch.randperm(len(rows), generator=generator)[:images].numpy()]
        views.append(_tensors(training_view(as_batch(scans, chosen, device), recipe, generator)))
    places = {name: max(one[name].shape[1] for one in views) for name in PLACES}
    tensors = [_filled(one, images, places) for one in views]
    joined = {name: torch.stack([one[name] for one in tensors]) for name in tensors[0]}
    absent = any(bool((one[name] == ABSENT).any()) for name in ("keep", "wanted") for one in [joined])
    return PatientView(joined, absent)


def _tensors(view: View) -> dict[str, torch.Tensor]:
    """The tensors of a view by name, with `counted`."""
    names = ("shown", "clean", "keep", "wanted", "scored")
    found = {name: getattr(view, name) for name in names}
    found |= {"scan_mode": view.acquisition.scan_mode, "pixel_mm": view.acquisition.pixel_mm}
    return found | {"counted": torch.ones(len(view.shown), device=view.shown.device)}


def _filled(tensors: dict[str, torch.Tensor], images: int, places: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """The same with as many patches as `places` tells, and as many images; those added are copies that do not count."""
    found = {}
    for name, one in tensors.items():
        if name in places:
            one = functional.pad(one, (0, places[name] - one.shape[1]), value=PLACES[name])
        copies = one[:1].expand(images - len(one), *one.shape[1:])
        found[name] = torch.cat([one, copies if name != "counted" else torch.zeros_like(copies)])
    return found
