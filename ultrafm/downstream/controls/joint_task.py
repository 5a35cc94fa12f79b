"""Eight diseases in one task, put together wrongly and rightly, and what a control that sees no tissue makes of both.

Confounded, as the published code seems to do: one class for each disease, all images of a class from one data set of
its own, so that to recognise the data set (organ, device, layout) suffices. Fair: each disease against healthy and
harmless counterparts of the same organ, at the same site, on the same device.

Pictures are drawn by the phantom, one for each patient, B-mode; the control reads the whole picture without tissue
(`ultrafm.phantom.shortcut`), an encoder the scan alone, as curation would keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.model_selection import StratifiedShuffleSplit

from ultrafm.downstream.controls.shortcuts import control_scores
from ultrafm.downstream.methods.probe import probe_turn
from ultrafm.downstream.metrics import Cases, auroc, interval
from ultrafm.downstream.tasks import Turn
from ultrafm.errors import UltraFMError
from ultrafm.manifests import choose_source
from ultrafm.manifests.schema import Device, SiteManifest
from ultrafm.phantom.diseases import DISEASES, findings_of, first_site
from ultrafm.phantom.modalities import geometry_for, scan_height
from ultrafm.phantom.overlays import frame_of
from ultrafm.phantom.patients import draw_patient, take_photo
from ultrafm.phantom.shortcut import features_without_tissue
from ultrafm.phantom.tone import scan_area
from ultrafm.reporting.records import record
from ultrafm.workers import worker_pool

CONFOUNDED, FAIR = "each class from another data set", "against counterparts at the same site"
CONTROL, HELD_OUT, FEWEST = "control without tissue", "held-out half", 20
SOLVED = 0.9  # lower limit of a control's AUROC from which a task is called solved by it


@dataclass(frozen=True)
class JointPictures:
    """N patients of all diseases' sites, one picture each.

    images (N, S, S) uint8 and sectors (N, S, S) bool: the scan, as curation keeps it. seen (N, F): what is not tissue.
    disease (N,): whose site a patient was scanned at. sick (N,) bool: has that disease, or is a counterpart.
    """

    images: np.ndarray
    sectors: np.ndarray
    seen: np.ndarray
    disease: np.ndarray
    sick: np.ndarray


def draw_joint(
    sites: Sequence[SiteManifest], patients: int, side: int, seed: int, workers: int = 1, shortcut: bool = False
) -> JointPictures:
    """`patients` for each of the eight diseases at the first site that scans its organ; half of them have it.

    side: of the encoder's pictures, in pixels. shortcut: in the set that is confounded on purpose (calipers and gain).
    Diseases of organs that no site has are left out. Raises UltraFMError for fewer than 20 patients.
    """
    if patients < FEWEST:
        raise UltraFMError("joint_patients", str(patients), f"at least {FEWEST}, so that each half has some")
    names = [name for name, one in DISEASES.items() if first_site(sites, one.organ) is not None]
    draw = partial(_draw_disease, tuple(sites), patients, side, seed, shortcut)
    if workers == 1:
        parts = list(map(draw, names))
    else:
        with worker_pool(workers) as pool:
            parts = list(pool.map(draw, names))
    images, sectors, seen, sick = (np.concatenate(found) for found in zip(*parts))
    return JointPictures(images, sectors, seen, np.repeat(names, patients), sick)


def _draw_disease(
    sites: Sequence[SiteManifest], patients: int, side: int, seed: int, shortcut: bool, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    disease = DISEASES[name]
    site = first_site(sites, disease.organ)
    source = choose_source(site, "phantom")[1].model_copy(update={
        "findings": findings_of(disease), "findings_by_organ": {}, "patients": patients, "images_per_patient": 1,
        "label_noise": 0.0, "shortcut": shortcut,
    })  # fmt: skip
    site = site.model_copy(update={"organs": (disease.organ,), "modalities": ("B-mode",)})
    people = [draw_patient(site, source, seed, number) for number in range(1, patients + 1)]
    photos = [take_photo(site, source, seed, person, 0).image for person in people]
    seen = np.stack([features_without_tissue(photo, source.device, "B-mode") for photo in photos])
    scans, sectors = zip(*[scan_of(photo, source.device, side) for photo in photos])
    sick = np.array([person.label == disease.label for person in people])
    return np.stack(scans), np.stack(sectors), seen, sick


def scan_of(photo: Image.Image, device: Device, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The scan of a B-mode photo, black outside, and its sector: (side, side) uint8 and bool, centred, shape kept."""
    frame = frame_of(device)
    height = scan_height("B-mode", frame.scan_height)
    area = scan_area(geometry_for(device, "B-mode"), height, frame.scan_width)
    grey = np.asarray(photo.convert("L"))[frame.top : frame.top + len(area), : area.shape[1]]
    pictures = (np.where(area, grey, 0).astype(np.uint8), area.astype(np.uint8) * np.uint8(255))
    image, sector = (_fitted(picture, side) for picture in pictures)
    return image, sector > 127


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """Resized so that the longer side is `side`, and padded with black to a square."""
    scale = side / max(picture.shape)
    height, width = (max(1, round(length * scale)) for length in picture.shape)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    square[top : top + height, left : left + width] = np.asarray(small)
    return square


def compare_designs(pictures: JointPictures, encoders: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """AUROC of the control and of every encoder's features (N, F), in both designs.

    Columns design, who, auroc, low, high, patients (asked), warning. Averages over diseases: of telling each disease
    from the seven others (confounded), or from its counterparts (fair). One half of the patients is fitted on and the
    other asked; intervals are 95 %, over patients.
    """
    told, asked = {CONTROL: None, **encoders}, _held_out(pictures)
    rows = []
    for design in (CONFOUNDED, FAIR):
        for who, features in told.items():
            cases = [_cases(pictures, asked, name, design, features) for name in dict.fromkeys(pictures.disease)]
            found = interval(auroc(cases), np.ones(1))
            limits = {"auroc": found.estimate, "low": found.low, "high": found.high}
            patients = len(set().union(*(one.patients.tolist() for one in cases)))
            rows.append({"design": design, "who": who, **limits, "patients": patients})
    return pd.DataFrame(rows).assign(warning=lambda table: [joint_warning(row) for row in table.to_dict("records")])


def joint_warning(row: Mapping[str, Any]) -> str:
    """What a reader has to know of a row of the control, or ""."""
    if row["who"] != CONTROL or row["low"] is None or row["low"] <= 0.5:
        return ""
    if row["low"] > SOLVED:
        return "Warning: the task is solved without looking at tissue; no model's number on it means anything."
    return "Warning: something is told without looking at tissue."


def joint_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `compare_designs` as records; all images are simulated."""
    return [
        record(
            section="controls", task="joint_task", method=row.who, metric="auroc", level=row.design,
            fold=HELD_OUT, estimate=row.auroc, ci_low=row.low, ci_high=row.high,
            ci_method="clustered DeLong over patients", images="simulated",
            n=row.patients, n_patients=row.patients,
        )
        for row in table.itertuples()
    ]  # fmt: skip


def _held_out(pictures: JointPictures) -> np.ndarray:
    """(N,) True for the half of each disease's diseased and of its counterparts that is asked, never fitted on."""
    kinds = np.char.add(pictures.disease.astype(str), pictures.sick.astype(str))
    _fit, held = next(StratifiedShuffleSplit(1, test_size=0.5, random_state=0).split(kinds, kinds))
    return np.isin(np.arange(len(kinds)), held)


def _cases(pictures: JointPictures, asked: np.ndarray, name: str, design: str, features: np.ndarray | None) -> Cases:
    """Scores of one disease for the held-out half: of the control without features, else of a probe of them.

    Not a cross-validation: when nothing can be told, its folds are tied to one another, and an AUROC strays farther
    from 0.5 than an interval over patients knows of.
    """
    rows = pictures.sick if design == CONFOUNDED else pictures.disease == name
    truth = ((pictures.disease[rows] == name) if design == CONFOUNDED else pictures.sick[rows]).astype(int)
    fit, held = (np.flatnonzero(asked[rows] == one) for one in (False, True))
    turn = Turn(fit, (), held, HELD_OUT)  # no selection: the probe's default penalty
    if features is None:
        scores = control_scores(pictures.seen[rows], truth, turn)
    else:
        scores = probe_turn(features[rows], truth, turn).score(features[rows][held])
    return Cases(scores[None], truth[held], np.flatnonzero(rows)[held].astype(str))
