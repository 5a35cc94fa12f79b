"""Dealing patients into folds: stratified by label, tied patients together, and nobody moves who was dealt before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ultrafm.manifests.schema import Split

NO_GROUP = -1


@dataclass(frozen=True, order=True)
class Place:
    """Fold ("train", "validation", "test" or "evaluation") and, for evaluation, the group of patients; else -1."""

    fold: str
    group: int = NO_GROUP


class Ties:
    """Which patients belong together because their pictures are nearly the same; two that are placed apart cannot."""

    def __init__(self, placed: Mapping[str, Place]) -> None:
        self._above: dict[str, str] = {}
        self._place = dict(placed)

    def root(self, patient: str) -> str:
        """The patient that stands for all who are tied to this one."""
        path = []
        while (above := self._above.get(patient, patient)) != patient:
            path.append(patient)
            patient = above
        for passed in path:
            self._above[passed] = patient
        return patient

    def place(self, patient: str) -> Place | None:
        """Where this patient, or one tied to this one, was placed before; None when none was."""
        return self._place.get(self.root(patient))

    def tie(self, one: str, other: str) -> bool:
        """Tie two patients together; False, and nothing changes, when they were placed apart before."""
        first, second = sorted((self.root(one), self.root(other)))
        places = {place for place in (self._place.get(first), self._place.get(second)) if place is not None}
        if len(places) > 1:
            return False
        if first != second:
            self._above[second] = first
            if places:
                self._place[first] = places.pop()
        return True


def shares_of(split: Split) -> dict[Place, float]:
    """Every place of a split rule -> the share of the patients that it should get; the shares add up to 1."""
    if split.rule == "pretrain_only":
        return {Place("train"): 1.0}
    if split.rule == "cross_validation":
        each = (1 - split.train) / split.groups
        return {Place("train"): split.train} | {Place("evaluation", group): each for group in range(split.groups)}
    test = 1 - split.train - split.validation
    return {Place("train"): split.train, Place("validation"): split.validation, Place("test"): test}


def deal_patients(
    split: Split, labels: Mapping[str, Iterable[str]], ties: Ties, placed: Mapping[str, Place]
) -> dict[str, Place]:
    """Patient -> place, for every key of `labels` (patient -> labels of its pictures).

    Patients of `placed`, and those tied to them, stay or go where it says. The others are dealt one cluster of tied
    patients after the other, in the order of the patients' names (which are hashes, so it is a shuffle), each to the
    place that is furthest behind its share of the cluster's stratum and of all patients together. The stratum is the
    rarest of the cluster's labels. After Sechidis et al. 2011, "On the stratification of multi-label data".
    """
    shares = shares_of(split)
    clusters: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(labels):
        clusters[ties.root(patient)].append(patient)
    strata = _strata(clusters, labels)
    counts: dict[str, Counter[Place]] = defaultdict(Counter)
    dealt: dict[str, Place] = {}

    def put(patients: Sequence[str], stratum: str, place: Place) -> None:
        dealt.update(dict.fromkeys(patients, place))
        for counter in (counts[stratum], counts[""]):
            counter[place] += len(patients)

    fixed = {root: place for root in clusters if (place := _place_before(clusters[root], ties, placed)) is not None}
    for root, place in fixed.items():
        put(clusters[root], strata[root], place)
    for root in sorted(set(clusters) - set(fixed)):
        size, stratum = len(clusters[root]), strata[root]
        put(clusters[root], stratum, _furthest_behind(shares, size, counts[stratum], counts[""]))
    return dealt


def _place_before(cluster: Sequence[str], ties: Ties, placed: Mapping[str, Place]) -> Place | None:
    found = ties.place(cluster[0])
    return found if found is not None else next((placed[name] for name in cluster if name in placed), None)


def _strata(clusters: Mapping[str, Sequence[str]], labels: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Cluster -> the rarest label, by patients, that any of its patients has; "unknown" without any label."""
    patients = Counter(label for found in labels.values() for label in set(found))
    return {
        root: min({label for name in names for label in labels[name]}, key=lambda label: (patients[label], label))
        if any(True for name in names for _ in labels[name])
        else "unknown"
        for root, names in clusters.items()
    }


def _furthest_behind(shares: Mapping[Place, float], size: int, stratum: Counter, everyone: Counter) -> Place:
    """The place that lacks most patients, counted in the stratum and over all, once `size` more are there."""

    def lack(place: Place) -> float:
        of_stratum = shares[place] * (stratum.total() + size) - stratum[place]
        of_all = shares[place] * (everyone.total() + size) - everyone[place]
        return round(of_stratum + of_all, 9)

    return max(shares, key=lack)
