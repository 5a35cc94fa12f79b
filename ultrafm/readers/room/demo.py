"""A demonstration study in one command: simulated cases, STUDY.yaml and made-up scores of an AI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ultrafm.curation.sites import Places, Wish, curate_sites
from ultrafm.files import write_text
from ultrafm.manifests.load import load_site
from ultrafm.manifests.schema import SiteManifest
from ultrafm.manifests.vocabulary import load_vocabulary
from ultrafm.phantom.anatomy import SWEEP
from ultrafm.seeds import spawn
from ultrafm.study import REPOSITORY

SITE, SWEEP_SITE = "site_01_palm_breast", "site_02_palm_sweeps"
SIZE = 384  # pixels
PICTURES, CLIPS, TRAINING = 5, 1, 1  # of each class, each of another patient
NOTE = (
    "# A demonstration: simulated pictures, scores of an AI that are made up from the truth, no reading that counts.\n"
)


def make_demonstration(folder: Path, seed: int, tell: Callable[[str], None]) -> Path:
    """Write a demonstration study into `folder` unless it is there; returns its STUDY.yaml.

    10 pictures and 2 clips of simulated breasts, half with a malignant lesion, of 12 patients; 2 training cases of
    others.
    """
    folder = Path(folder)
    path = folder / "STUDY.yaml"
    if path.is_file():
        return path
    tell("Simulating cases (half a minute) ...")
    pictures, sweeps = _curated(folder, seed)
    generator = spawn(seed, "reading room demonstration")
    images = _choose(pictures, "image_id", PICTURES + TRAINING, generator)
    clips = _choose(sweeps, "clip", CLIPS, generator)
    cases, training = images[: 2 * PICTURES], images[2 * PICTURES :]
    labels = pd.concat([pictures.set_index("image_id")["label"], sweeps.groupby("clip")["label"].first()])
    scores = _scores(labels.loc[[*cases, *clips]], generator)
    write_text(folder / "ai_scores.csv", scores.to_csv(index=False))
    chosen = {"images": sorted(cases), "clips": sorted(clips)}
    text = yaml.safe_dump(_study(chosen, training, seed), sort_keys=False, allow_unicode=True, width=110)
    write_text(path, NOTE + text)
    return path


def _curated(folder: Path, seed: int) -> list[pd.DataFrame]:
    """Simulate and curate a site with pictures and one with sweeps as clips; their tables."""
    manifests = REPOSITORY / "data_manifests"
    manifest = load_site(manifests / f"{SITE}.yaml", load_vocabulary(manifests))
    places = Places(folder / "curated", folder / "archives", folder / "work", manifests)
    curate_sites([manifest], places, Wish("phantom", seed, SIZE, patients_share=0.3))
    curate_sites([_with_sweeps(manifest)], places, Wish("phantom", seed, SIZE, patients_share=0.1))
    return [pd.read_parquet(places.out / site / "images.parquet") for site in (SITE, SWEEP_SITE)]


def _with_sweeps(manifest: SiteManifest) -> SiteManifest:
    """The same site, exporting 3-D sweeps as clips of 12 frames."""
    source = manifest.sources.phantom
    planted = source.planted.model_copy(update={"exact_duplicates": 0, "near_duplicates": 0})
    sweeps = source.model_copy(update={"sweeps": "clip", "images_per_patient": 12, "planted": planted})
    sources = manifest.sources.model_copy(update={"phantom": sweeps})
    return manifest.model_copy(update={"site": SWEEP_SITE, "modalities": (SWEEP,), "sources": sources})


def _choose(table: pd.DataFrame, name: str, per_class: int, generator: np.random.Generator) -> list[str]:
    """One picture (or clip) each of different patients: a malignant, a benign, a malignant one ..."""
    first = table.sort_values(name).groupby("patient").head(1)
    picked = []
    for label in ("malignant", "benign"):
        names = first.loc[first["label"] == label, name].to_numpy()
        picked.append(generator.permutation(names)[:per_class])
    return [str(one) for one in np.stack(picked, axis=1).ravel()]


def _scores(labels: pd.Series, generator: np.random.Generator) -> pd.DataFrame:
    """Made-up scores: two normal distributions 1.5 apart, squeezed into 0..1."""
    shift = np.where(labels == "malignant", 0.75, -0.75)
    scores = 1 / (1 + np.exp(-1.5 * (generator.normal(size=len(labels)) + shift)))
    return pd.DataFrame({"case": labels.index, "disease": "breast cancer", "score": scores.round(3)})


def _study(cases: dict[str, list[str]], training: list[str], seed: int) -> dict:
    """The fields of STUDY.yaml."""
    return {
        "title": "Demonstration: breast masses, with and without an AI",
        "demonstration": True,
        "seed": seed,
        "curated": "curated",
        "cases": cases,
        "training": {"images": training},
        "diseases": [{"name": "breast cancer", "positive": ["malignant"], "negative": ["benign", "normal"]}],
        "truth": {"reference": "the simulation, which knows what it drew"},
        "readers": [{"code": "R1", "level": "junior", "years": 2}, {"code": "R2", "level": "expert", "years": 15}],
        "design": {"parts": ["unaided", "aided"], "washout_days": 0},
        "ai": {"scores": "ai_scores.csv", "threshold": 0.5},
        "analysis": {
            "primary": "AUROC, aided minus unaided, random readers and random cases",
            "cluster": "patient",
            "threshold": 50,
        },
    }
