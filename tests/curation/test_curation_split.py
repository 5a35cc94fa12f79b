"""A patient's fold depends on the patient alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.curation.split import NO_GROUP, place_patient, share_of, site_hash
from ultrafm.manifests.schema import Split

SHARES = Split(rule="patients", train=0.5, validation=0.3)
CROSSED = Split(rule="cross_validation", train=0.4, groups=3)


@given(st.text(), st.text())
def test_share_lies_between_0_and_1(site, patient):
    assert 0 <= share_of(site, "fold", patient) < 1


@given(st.lists(st.text(min_size=1), unique=True), st.text(min_size=1))
def test_more_patients_move_nobody(others, patient):
    before = place_patient(SHARES, "site_01_a", patient)
    for other in others:
        place_patient(SHARES, "site_01_a", other)
    assert place_patient(SHARES, "site_01_a", patient) == before


def test_places_are_the_same_in_every_version():
    """Recorded once: a change here would move the patients of every study."""
    found = [place_patient(SHARES, "site_01_a", f"patient {number}").fold for number in range(8)]
    assert found == ["validation", "test", "train", "train", "validation", "test", "train", "test"]


def test_shares_hold_on_average():
    folds = [place_patient(SHARES, "site_01_a", str(number)).fold for number in range(4000)]
    for fold, share in (("train", 0.5), ("validation", 0.3), ("test", 0.2)):
        assert abs(folds.count(fold) / 4000 - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_groups_are_equally_likely_and_independent_of_the_fold():
    places = [place_patient(CROSSED, "site_01_a", str(number)) for number in range(4000)]
    evaluated = [place.group for place in places if place.fold == "evaluation"]
    assert abs(len(evaluated) / 4000 - 0.6) < 0.03
    assert sorted(set(evaluated)) == [0, 1, 2]
    assert all(abs(evaluated.count(group) / len(evaluated) - 1 / 3) < 0.04 for group in range(3))
    assert all(place.group == NO_GROUP for place in places if place.fold == "train")


def test_pretrain_only_trains_everything():
    split = Split(rule="pretrain_only")
    assert {place_patient(split, "s", str(number)).fold for number in range(50)} == {"train"}


def test_more_training_keeps_the_training_patients():
    """Shares may change between studies; a larger train share only adds patients to it."""
    larger = Split(rule="patients", train=0.6, validation=0.2)
    names = [str(number) for number in range(300)]
    before = {name for name in names if place_patient(SHARES, "s", name).fold == "train"}
    assert before <= {name for name in names if place_patient(larger, "s", name).fold == "train"}


def test_the_same_patient_has_another_name_at_another_site():
    assert site_hash("site_01_a", "patient", "7") != site_hash("site_02_b", "patient", "7")
    assert site_hash("site_01_a", "patient", "7") != site_hash("site_01_a", "clip", "7")
