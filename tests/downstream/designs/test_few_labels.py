"""Few labels: draws are nested, hold both classes, and no other label has a say."""

from itertools import pairwise

import numpy as np
import pytest

from ultrafm.downstream.designs.few_labels import labelled_patients, labelled_turn, probe_few_labels
from ultrafm.errors import UltraFMError

PATIENTS = np.repeat([f"p{number:02d}" for number in range(60)], 2)
TRUTH = np.repeat(np.arange(60) % 3 == 0, 2).astype(int)
FOLD = np.repeat(np.where(np.arange(60) < 40, "train", np.where(np.arange(60) < 50, "validation", "test")), 2)


def draw(share, seed=0):
    return set(labelled_patients(TRUTH, PATIENTS, share, np.random.default_rng(seed)))


def test_smaller_shares_are_parts_of_larger_ones():
    shares = [draw(share) for share in (0.01, 0.1, 0.25, 0.5, 1.0)]
    assert all(small <= large for small, large in pairwise(shares))
    assert [len(one) for one in shares] == [4, 6, 15, 30, 60]
    positive = set(PATIENTS[TRUTH == 1])
    assert [len(one & positive) for one in shares] == [2, 2, 5, 10, 20]  # of 20, and of 40 the others
    assert draw(0.1) != draw(0.1, seed=1)


def test_fit_and_choice_stay_with_labelled_training_patients():
    turn = labelled_turn(TRUTH, PATIENTS, FOLD, 0.25, np.random.default_rng(0))
    assert set(FOLD[turn.train]) == {"train"} and set(FOLD[turn.predict]) == {"test"} and turn.fold == "test"
    assert len(turn.predict) == 20 and turn.selection
    for fit, held in turn.selection:
        assert set(fit) | set(held) == set(turn.train)
        assert not set(PATIENTS[fit]) & set(PATIENTS[held])


def test_labels_that_are_not_shown_change_nothing():
    features = np.random.default_rng(1).normal(size=(120, 3)) + TRUTH[:, None]
    turn = labelled_turn(TRUTH, PATIENTS, FOLD, 0.25, np.random.default_rng(0))
    hidden = np.setdiff1d(np.arange(120), turn.train)
    other = TRUTH.copy()
    other[hidden] = 1 - other[hidden]
    assert (probe_few_labels(features, TRUTH, turn) == probe_few_labels(features, other, turn)).all()


@pytest.mark.parametrize(
    ("share", "truth", "said"),
    [(0.0, TRUTH, "share of labels"), (1.2, TRUTH, "share of labels"), (0.5, np.zeros(120, int), "0 with truth 1")],
)
def test_wrong_shares_and_missing_classes_are_told(share, truth, said):
    with pytest.raises(UltraFMError, match=said):
        labelled_patients(truth, PATIENTS, share, np.random.default_rng(0))
