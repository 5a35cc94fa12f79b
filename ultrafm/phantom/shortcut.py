"""What a B-mode picture tells without its tissue: by border, text, size and grey values. A fair one tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from ultrafm.errors import UltraFMError
from ultrafm.manifests import choose_source
from ultrafm.manifests.schema import Device, PhantomSource, SiteManifest
from ultrafm.phantom.diseases import DISEASES, Disease, findings_of, first_site
from ultrafm.phantom.modalities import geometry_for, scan_height
from ultrafm.phantom.overlays import frame_of
from ultrafm.phantom.patients import draw_patient, take_photo
from ultrafm.phantom.tone import scan_area
from ultrafm.workers import worker_pool

BINS, SIDE = 32, 16  # of the grey histogram; of the coarse picture of the border
INK, RUN = 235, 7  # red of all overlays; pixels in a row that only ink has alike
FOLDS, FEWEST = 5, 20  # of the cross-validation; patients
BLOCK = 100  # patients that a process takes at a time
Z95 = 1.96


@dataclass(frozen=True)
class Told:
    """How well a disease is told without looking at tissue: AUROC by cross-validation, with its 95% interval."""

    auroc: float
    low: float
    high: float
    patients: int


def features_without_tissue(image: Image.Image, device: Device, modality: str) -> np.ndarray:
    """What is not tissue, as numbers: size, coarse picture of all outside the scan, lines of ink, grey values inside.

    Ink: pixels of the overlays' red (that of white and of yellow ink) in horizontal runs, as calipers and letters have;
    speckle is never so even. Grey values: shares of 32 bins, as square roots.
    """
    grey, red = np.asarray(image.convert("L")), np.asarray(image.convert("RGB"))[..., 0]
    frame = frame_of(device)
    inside = np.zeros(grey.shape, bool)
    scan = scan_area(geometry_for(device, modality), scan_height(modality, frame.scan_height), frame.scan_width)
    inside[frame.top : frame.top + len(scan), : scan.shape[1]] = scan
    outside = Image.fromarray(np.where(inside, 0, grey).astype(np.uint8))
    border = np.asarray(outside.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
    runs = np.lib.stride_tricks.sliding_window_view(red == INK, RUN, axis=1).all(axis=2).sum()
    shares = np.bincount(grey[inside] // (256 // BINS), minlength=BINS) / inside.sum()
    return np.concatenate([grey.shape, border.ravel(), [runs], np.sqrt(shares)])


def tell_diseases(
    sites: Sequence[SiteManifest], patients: int, seed: int, confounded: bool, workers: int = 1
) -> dict[str, Told]:
    """Disease -> how well it is told without tissue, at the first site that scans its organ (see told_without_tissue).

    `confounded`: in the set that is confounded on purpose. Diseases of organs that no site has are left out.
    """
    told = {}
    for name, disease in DISEASES.items():
        site = first_site(sites, disease.organ)
        if site is not None:
            source = choose_source(site, "phantom")[1].model_copy(update={"shortcut": confounded})
            told[name] = told_without_tissue(site, source, disease, patients, seed, workers)
    return told


def told_without_tissue(
    manifest: SiteManifest, source: PhantomSource, disease: Disease, patients: int, seed: int, workers: int = 1
) -> Told:
    """How well a classifier ranks the diseased above their counterparts by `features_without_tissue` alone.

    One B-mode picture each of `patients` simulated patients with the disease's organ, at the site of `manifest` on the
    device of `source`; half have the disease. The classifier is gradient boosting, in five folds; the interval is that
    of Hanley and McNeil (1982) for an AUROC of 0.5, which leaves out what fitting in folds adds by chance.

    Raises UltraFMError for fewer than 20 patients.
    """
    if patients < FEWEST:
        raise UltraFMError("shortcut_patients", str(patients), f"at least {FEWEST}, so that each fold has some")
    made = source.model_copy(update={
        "findings": findings_of(disease), "findings_by_organ": {}, "patients": patients, "images_per_patient": 1,
        "label_noise": 0.0,
    })  # fmt: skip
    site = manifest.model_copy(update={"organs": (disease.organ,), "modalities": ("B-mode",)})
    blocks = [range(start, min(start + BLOCK, patients + 1)) for start in range(1, patients + 1, BLOCK)]
    see = partial(_see_patients, site, made, seed)
    if workers == 1:
        found = list(map(see, blocks))
    else:
        with worker_pool(workers) as pool:
            found = list(pool.map(see, blocks))
    seen, labels = (np.concatenate(parts) for parts in zip(*found))
    return rank_by(seen, labels, disease.label)


def _see_patients(
    site: SiteManifest, source: PhantomSource, seed: int, numbers: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of these patients."""
    people = [draw_patient(site, source, seed, number) for number in numbers]
    photos = [take_photo(site, source, seed, person, 0) for person in people]
    seen = [features_without_tissue(photo.image, source.device, photo.modality) for photo in photos]
    return np.stack(seen), np.array([person.label for person in people])


def rank_by(seen: np.ndarray, labels: np.ndarray, sick: str) -> Told:
    """Cross-validated AUROC of telling the label `sick` from the others by the numbers `seen` (patients, features)."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    truth = np.asarray(labels) == sick
    model = HistGradientBoostingClassifier(max_depth=3, learning_rate=0.05, max_iter=150, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(model, seen, truth, cv=folds, method="predict_proba")[:, 1]
    auroc = float(roc_auc_score(truth, scores))
    spread = Z95 * float((len(truth) + 1) / (12 * truth.sum() * (~truth).sum())) ** 0.5
    return Told(auroc, max(auroc - spread, 0.0), min(auroc + spread, 1.0), len(truth))
