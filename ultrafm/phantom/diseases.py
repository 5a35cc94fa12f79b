"""The eight diseases of the joint task, each with healthy and harmless counterparts of the same organ.

The set behind the published joint diagnosis takes one class from each of eight data sets, so that disease, organ,
device and layout are one (see the paper's code). Here a disease is told from its counterparts at one site on one
device, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultrafm.manifests.schema import SiteManifest


@dataclass(frozen=True)
class Disease:
    """Label of the diseased, and those of patients with the same organ at the same site who do not have it."""

    organ: str
    label: str
    counterparts: tuple[str, ...]


MASS = ("normal", "benign")
DISEASES: dict[str, Disease] = {
    "breast cancer": Disease("breast", "malignant", MASS),
    "hepatocellular carcinoma": Disease("liver", "malignant", MASS),
    "colorectal cancer": Disease("colorectum", "malignant", MASS),
    "cardiac valve disease": Disease("heart", "valve disease", MASS),
    "gallbladder cancer": Disease("gallbladder", "malignant", MASS),
    "kidney cancer": Disease("kidney", "malignant", MASS),
    "COVID-19": Disease("lung", "COVID-19", ("normal", "bacterial pneumonia")),
    "pancreatic cancer": Disease("pancreas", "malignant", MASS),
}
SICK = frozenset(disease.label for disease in DISEASES.values())


def first_site(sites: Sequence[SiteManifest], organ: str) -> SiteManifest | None:
    """The first site that scans an organ; None when none does."""
    return next((site for site in sites if organ in site.organs), None)


def findings_of(disease: Disease) -> dict[str, float]:
    """Shares of the labels where half of the patients have the disease and the counterparts are equally many."""
    each = 0.5 / len(disease.counterparts)
    return {disease.label: 0.5, **dict.fromkeys(disease.counterparts, each)}
