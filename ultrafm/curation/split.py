"""Dealing patients into folds by a hash of the patient alone, so that nobody ever changes fold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ultrafm.manifests.schema import Split

NO_GROUP = -1


@dataclass(frozen=True)
class Place:
    """Fold ("train", "validation", "test" or "evaluation") and, for evaluation, the group of patients; else -1."""

    fold: str
    group: int = NO_GROUP


def site_hash(site: str, purpose: str, name: str, digits: int = 16) -> str:
    """A name that stands for `name` at this site: the same every time, another one elsewhere or for another purpose.

    It is a pseudonym, not anonymity: who knows the site and can list all names can also list their hashes.
    """
    return hashlib.sha256("\x1f".join((site, purpose, name)).encode()).hexdigest()[:digits]


def share_of(site: str, purpose: str, patient: str) -> float:
    """A number in [0, 1), uniform over patients, that depends on its three arguments only."""
    return int(site_hash(site, purpose, patient, 13), 16) / 16**13


def place_patient(split: Split, site: str, patient: str) -> Place:
    """The fold and group of a patient under the site's rule; no other patient matters."""
    if split.rule == "pretrain_only":
        return Place("train")
    share = share_of(site, "fold", patient)
    if share < split.train:
        return Place("train")
    if split.rule == "cross_validation":
        return Place("evaluation", int(share_of(site, "group", patient) * split.groups))
    return Place("validation" if share < split.train + split.validation else "test")
