"""How well lesions can be told apart at best is what a manifest says."""

import numpy as np
import pytest
from phantom_makers import BOTH, make_manifest, make_source

from ultrafm.errors import UltraFMError
from ultrafm.phantom.lesions import draw_lesion, draw_traits
from ultrafm.phantom.observer import best_auroc, best_of_stated, ideal_score, observed_auroc, separation_for
from ultrafm.phantom.patients import draw_patient

MANY = 3000


def observed(separation: float) -> float:
    return observed_auroc(separation, MANY, np.random.default_rng(0))


@pytest.mark.parametrize("stated", [0.65, 0.8, 0.9, 0.97])
def test_the_ideal_observer_reaches_the_stated_auroc(stated):
    separation = separation_for(stated)
    assert best_auroc(separation) == pytest.approx(stated, abs=1e-4)
    assert observed(separation) == pytest.approx(stated, abs=0.02)


def test_the_usual_lesions_are_told_apart_as_the_formula_says():
    assert observed(1.0) == pytest.approx(best_auroc(1.0), abs=0.01)


def test_more_separation_is_easier_and_none_is_chance():
    found = [best_auroc(separation) for separation in (0, 0.2, 0.5, 1.0)]
    assert found == sorted(found) and found[0] == pytest.approx(0.5)


def test_one_pair_by_hand():
    """One trait apart by two deviations at difficulty 0: the score is (2 / 1) x (distance from the middle)."""
    traits = dict.fromkeys(draw_traits("benign", 0.0, np.random.default_rng(0)), 0.0)
    base, moved = ideal_score(traits, 0.5), ideal_score({**traits, "echo_db": 1.0}, 0.5)
    # echo_db: means at difficulty 0.5 lie 2 dB apart (half of -9 to -13), deviation 2.5
    assert moved - base == pytest.approx(-2.0 / 2.5**2)


@pytest.mark.parametrize("impossible", [0.4, 0.5, 0.99999999])
def test_what_cannot_be_reached_is_refused(impossible):
    with pytest.raises(UltraFMError, match=r"best_auroc: .*at most 0\.9997"):
        separation_for(impossible)


def test_a_manifest_sets_it_and_all_but_the_lesion_stays():
    source = make_source(BOTH)
    hard = source.model_copy(update={"best_auroc": 0.7})
    usual, harder = (draw_patient(make_manifest(one), one, 0, 3) for one in (source, hard))
    assert harder.lesion.aspect != usual.lesion.aspect
    assert (harder.label, harder.place, harder.diameter, harder.views) == (
        usual.label, usual.place, usual.diameter, usual.views
    )  # fmt: skip
    assert draw_lesion("benign", 0.2, (0, 0.5), 0.3, np.random.default_rng(0)).aspect == pytest.approx(
        draw_lesion("benign", 0.2, (0, 0.5), 0.3, np.random.default_rng(0), 1.0).aspect
    )


def test_wrong_labels_lower_the_best_as_counted():
    source = make_source(BOTH).model_copy(update={"label_noise": 0.2})
    # Called malignant: 80 % malignant; called benign: 20 %. 0.64 x 0.9 + 0.04 x 0.1 + 0.32 / 2
    assert best_of_stated(0.9, [source, source], "breast") == pytest.approx(0.74)
    assert best_of_stated(0.9, [make_source(BOTH)], "breast") == 0.9
    assert best_of_stated(0.9, [source.model_copy(update={"label_noise": 0.5})], "breast") == pytest.approx(0.5)


def test_wrong_labels_are_reckoned_as_a_simulation_counts_them():
    shares = {"benign": 0.7, "malignant": 0.3}
    source = make_source(shares).model_copy(update={"label_noise": 0.1})
    generator = np.random.default_rng(0)
    truth = generator.random(200_000) < 0.3
    called = truth ^ (generator.random(200_000) < 0.1)
    scores = generator.normal(size=200_000) + 1.5 * truth
    won, clean = (
        (generator.choice(scores[label], 200_000) > generator.choice(scores[~label], 200_000)).mean()
        for label in (called, truth)
    )
    assert best_of_stated(clean, [source], "breast") == pytest.approx(won, abs=0.005)


def test_wrong_labels_among_patients_without_a_lesion_have_no_known_best():
    source = make_source({"normal": 0.4, "benign": 0.3, "malignant": 0.3}).model_copy(update={"label_noise": 0.1})
    with pytest.raises(UltraFMError, match="without a lesion"):
        best_of_stated(0.9, [source], "breast")
