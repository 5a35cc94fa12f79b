"""Folds: shares hold in every stratum, tied patients go together, and nobody who was dealt before moves."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.curation.split import NO_GROUP, Place, Ties, deal_patients, shares_of
from ultrafm.manifests.schema import Split

THREE = Split(rule="patients", train=0.5, validation=0.25)
CROSSED = Split(rule="cross_validation", train=0.4, groups=3)
TRAIN, VALIDATION, TEST = Place("train"), Place("validation"), Place("test")

names = st.sets(st.text("0123456789abcdef", min_size=6, max_size=6), min_size=1, max_size=60)


def deal(split, labels, tied=(), placed=None):
    placed = placed or {}
    ties = Ties(placed)
    for one, other in tied:
        ties.tie(one, other)
    return deal_patients(split, labels, ties, placed)


def test_shares_add_up_to_one():
    for split in (THREE, CROSSED, Split(rule="pretrain_only")):
        assert sum(shares_of(split).values()) == pytest.approx(1)
    assert shares_of(CROSSED)[Place("evaluation", 2)] == pytest.approx(0.2)


def test_four_patients_of_one_label_are_dealt_by_hand():
    """Shares 0.5, 0.25, 0.25. First: train lacks 0.5, the most. Second: 2 x 0.5 - 1 = 0, the others lack 0.5: the first
    of them. Third: train lacks 0.5, test 0.75: test. Fourth: train lacks 1."""
    assert deal(THREE, {"a": ["x"], "b": ["x"], "c": ["x"], "d": ["x"]}) == {
        "a": TRAIN, "b": VALIDATION, "c": TEST, "d": TRAIN
    }  # fmt: skip


@given(names, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_every_label_keeps_its_shares(patients, random):
    labels = {name: [random.choice(["benign", "malignant", "normal"])] for name in patients}
    places = deal(THREE, labels)
    assert set(places) == patients
    for label in {found[0] for found in labels.values()}:
        some = [places[name] for name in patients if labels[name] == [label]]
        counts = Counter(some)
        for place, share in shares_of(THREE).items():
            assert abs(counts[place] - share * len(some)) <= 2, "within two patients of the share"
    everyone = Counter(places.values())
    assert all(abs(everyone[place] - share * len(patients)) <= 2 for place, share in shares_of(THREE).items())


@given(names, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_plays_no_part_and_placed_patients_stay(patients, random):
    labels = {name: [random.choice(["a", "b"])] for name in patients}
    places = deal(CROSSED, labels)
    turned = deal(CROSSED, dict(sorted(labels.items(), reverse=True)))
    assert places == turned
    more = labels | {f"new{number}": ["a"] for number in range(9)}
    later = deal(CROSSED, more, placed=places)
    assert {name: later[name] for name in patients} == places and len(later) == len(patients) + 9


def test_patients_with_two_labels_count_for_the_rarer_one():
    labels = {str(number): ["common"] for number in range(8)} | {"x": ["common", "rare"], "y": ["rare"]}
    places = deal(Split(rule="patients", train=0.4, validation=0.1), labels)
    assert {places["x"], places["y"]} == {TRAIN, TEST}, "the two of the rare stratum go apart"


def test_patients_without_a_label_are_dealt_too():
    assert set(deal(THREE, {"a": [], "b": ["x"], "c": []})) == {"a", "b", "c"}


def test_tied_patients_go_together():
    labels = {name: ["x"] for name in "abcdefgh"}
    places = deal(THREE, labels, tied=[("a", "h"), ("h", "d")])
    assert places["a"] == places["h"] == places["d"]
    assert len(set(places.values())) > 1


def test_a_new_patient_follows_the_one_it_is_tied_to():
    placed = {"old": TEST}
    assert deal(THREE, {"old": ["x"], "new": ["x"]}, tied=[("new", "old")], placed=placed)["new"] == TEST


def test_patients_placed_apart_cannot_be_tied():
    ties = Ties({"a": TRAIN, "b": TEST, "c": TRAIN})
    assert ties.tie("a", "c") and ties.root("a") == ties.root("c")
    assert ties.tie("n", "b")
    assert not ties.tie("a", "b") and not ties.tie("n", "c"), "n hangs on b, which lies in another fold than c"
    assert ties.root("n") != ties.root("c") and ties.place("n") == TEST and ties.place("nobody") is None


def test_pretrain_only_is_all_train():
    assert set(deal(Split(rule="pretrain_only"), {str(n): ["x"] for n in range(20)}).values()) == {TRAIN}
    assert TRAIN.group == NO_GROUP


def test_cross_validation_fills_every_group():
    places = deal(CROSSED, {f"{number:02d}": ["a"] for number in range(20)})
    counts = Counter(places.values())
    assert counts[TRAIN] == 8 and [counts[Place("evaluation", group)] for group in range(3)] == [4, 4, 4]


def test_small_sites_fill_every_fold_where_they_can():
    for size in (3, 4, 5, 8):
        assert len(set(deal(THREE, {str(number): ["x"] for number in range(size)}).values())) == 3
