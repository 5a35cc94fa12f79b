"""The likelihood ratio on losses whose truth is known."""

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.likelihood import likelihood_scores, patient_scores, random_halves, scores_of_each
from ultrafm.federation.leakage.rates import attack_numbers

PATIENTS = np.repeat([f"p{number}" for number in range(100)], 2)


def losses_of(members, effect, seed=0):
    """Pictures differ widely in difficulty; being a member lowers the log loss by `effect`."""
    generator = np.random.default_rng(seed)
    hard = generator.standard_normal(members.shape[1])
    level = generator.standard_normal((len(members), 1))
    return np.exp(hard + level - effect * members + 0.1 * generator.standard_normal(members.shape))


def test_halves_are_of_whole_patients_and_every_picture_is_in_half_of_the_models():
    members = random_halves(PATIENTS, 8, np.random.default_rng(0))
    assert (members.sum(axis=0) == 4).all() and (members.sum(axis=1) == 100).all()
    assert (members[:, ::2] == members[:, 1::2]).all()
    with pytest.raises(UltraFMError, match="two or more"):
        random_halves(PATIENTS[:2], 4, np.random.default_rng(0))


@pytest.mark.parametrize("online", [True, False])
def test_it_finds_what_a_threshold_cannot(online):
    members = random_halves(PATIENTS, 16, np.random.default_rng(1))
    losses = losses_of(members, 0.15)
    areas = np.array([attack_numbers(*one, ())[0] for one in zip(scores_of_each(losses, members, online), members)])
    threshold = np.array([attack_numbers(-loss, member, ())[0] for loss, member in zip(losses, members)])
    assert areas.mean() > 0.75 and threshold.mean() < 0.6


def test_it_finds_nothing_where_nothing_leaks():
    members = random_halves(PATIENTS, 16, np.random.default_rng(2))
    scores = scores_of_each(losses_of(members, 0.0), members)
    areas = [attack_numbers(*one, ())[0] for one in zip(scores, members)]
    assert abs(np.mean(areas) - 0.5) < 0.03


def test_with_few_models_it_still_only_guesses():
    areas = []
    for seed in range(12):
        members = random_halves(PATIENTS, 6, np.random.default_rng(seed))
        scores = scores_of_each(losses_of(members, 0.0, seed), members)
        areas += [attack_numbers(*one, ())[0] for one in zip(scores, members)]
    assert abs(np.mean(areas) - 0.5) < 0.015


def test_offline_scores_by_hand():
    """Two pictures, so that taking out a model's level leaves half of the difference of their logs."""
    members = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], bool)
    logs = np.array([[0.0, 2.0], [2.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    target = np.exp([0.0, 1.0])
    # levels out: without picture 0 its logs are 1 and 2, the target's is -0.5; deviations are 0.5**0.5 on both sides
    found = likelihood_scores(target, np.exp(logs), members, online=False)
    assert found.tolist() == pytest.approx([(1.5 + 0.5) / 0.5**0.5, (1.5 - 0.5) / 0.5**0.5])


def test_too_few_shadows_and_one_sided_pictures_are_refused():
    members = random_halves(PATIENTS, 4, np.random.default_rng(0))
    losses = losses_of(members, 0.0)
    with pytest.raises(UltraFMError, match="4 or more"):
        likelihood_scores(losses[0], losses[:3], members[:3])
    with pytest.raises(UltraFMError, match="with and without"):
        likelihood_scores(losses[0], losses, np.ones_like(members))


def test_patients_are_judged_by_the_mean_of_their_pictures():
    scores, members = np.array([[1.0, 3.0, 5.0]]), np.array([[True, True, False]])
    joined, inside, names = patient_scores(scores, members, np.array(["b", "b", "a"]))
    assert joined.tolist() == [[5.0, 2.0]] and inside.tolist() == [[False, True]] and names.tolist() == ["a", "b"]
