"""Simulated pictures to look at: one of each organ, modality, site or disease, with what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ultrafm.manifests import choose_source
from ultrafm.manifests.schema import PhantomSource, SiteManifest
from ultrafm.phantom.anatomy import ALWAYS, ORGANS
from ultrafm.phantom.diseases import DISEASES, first_site
from ultrafm.phantom.modalities import MODALITIES
from ultrafm.phantom.patients import draw_patient, take_photo

Gallery = tuple[list[np.ndarray], list[str]]  # pictures (H, W) or (H, W, 3) uint8, and what each shows


def picture_of(
    site: SiteManifest, source: PhantomSource, organ: str, modality: str, label: str, seed: int, number: int = 1
) -> np.ndarray:
    """The first picture of patient `number` of a site, were that patient to have `label` in `organ`."""
    asked = site.model_copy(update={"organs": (organ,), "modalities": (modality,)})
    made = source.model_copy(update={"findings": {label: 1.0}, "findings_by_organ": {}, "images_per_patient": 1})
    photo = take_photo(asked, made, seed, draw_patient(asked, made, seed, number), 0)
    return np.asarray(photo.image)


def by_organ(sites: Sequence[SiteManifest], seed: int) -> Gallery:
    """Each organ twice, at the first site that has it: with nothing wrong, and with a disease."""
    shown: Gallery = ([], [])
    for organ in ORGANS:
        site = first_site(sites, organ)
        if site is not None:
            for label in (ORGANS[organ].labels[0], ORGANS[organ].labels[-1]):
                _show(shown, site, organ, "B-mode", label, seed, f"{organ}\n{label}")
    return shown


def by_modality(sites: Sequence[SiteManifest], seed: int) -> Gallery:
    """Each modality, at the first site and in the first organ that it suits."""
    shown: Gallery = ([], [])
    for modality in MODALITIES:
        offered = ((site, organ) for site in sites if modality in site.modalities for organ in site.organs)
        found = next((place for place in offered if modality in (*ALWAYS, *ORGANS[place[1]].modalities)), None)
        if found is not None:
            _show(shown, *found, modality, "benign", seed, f"{modality}\n{found[1]}")
    return shown


def by_site(sites: Sequence[SiteManifest], seed: int) -> Gallery:
    """The first organ of each site with a benign lesion, as its device shows it."""
    shown: Gallery = ([], [])
    for site in sites:
        _show(shown, site, site.organs[0], site.modalities[0], "benign", seed, f"{site.site[:7]}\n{site.organs[0]}")
    return shown


def by_disease(sites: Sequence[SiteManifest], seed: int, number: int = 1) -> Gallery:
    """Each of the eight diseases in a row, after its counterparts: the same patient were nothing, or something else,
    wrong."""
    shown: Gallery = ([], [])
    for name, disease in DISEASES.items():
        site = first_site(sites, disease.organ)
        for label in (*disease.counterparts, disease.label) if site is not None else ():
            told = name if label == disease.label else label
            _show(shown, site, disease.organ, "B-mode", label, seed, f"{disease.organ}\n{told}", number)
    return shown


def _show(
    shown: Gallery, site: SiteManifest, organ: str, modality: str, label: str, seed: int, title: str, number: int = 1
) -> None:
    _name, source = choose_source(site, "phantom")
    shown[0].append(picture_of(site, source, organ, modality, label, seed, number))
    shown[1].append(title)
