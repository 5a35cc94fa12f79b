"""Random numbers of the mechanism: their law, what repeats and what does not, and who may use a seed."""

import numpy as np
import pytest
import torch
from scipy import stats

from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.draws import BLOCK, SecureDraws, SeededDraws, open_draws

COUNT = 400_000


@pytest.fixture(params=["secure", "seeded"])
def draws(request):
    return SecureDraws() if request.param == "secure" else SeededDraws(1, "site_01_a", 2)


def test_the_noise_is_gaussian_with_the_deviation_told(draws):
    """The sum of squares has the law of chi-square; the shape is tested by Kolmogorov and Smirnov."""
    found = draws.normal(COUNT)
    assert found.dtype == torch.float64 and found.shape == (COUNT,)
    low, high = stats.chi2(COUNT).ppf([1e-7, 1 - 1e-7])
    assert low < found.square().sum() < high
    assert abs(found.mean()) < 5.5 / COUNT**0.5
    assert stats.kstest(found.numpy()[:100_000], "norm").pvalue > 1e-6
    neighbours = torch.corrcoef(torch.stack([found[:-1], found[1:]]))[0, 1]
    halves = torch.corrcoef(found.view(2, -1))[0, 1]
    assert abs(neighbours) < 0.01 and abs(halves) < 0.015


def test_uniform_numbers_are_uniform(draws):
    found = draws.uniform(COUNT)
    assert found.min() >= 0 and found.max() < 1 and found.dtype == np.float64
    assert stats.kstest(found[:100_000], "uniform").pvalue > 1e-6


def test_any_count_of_numbers_can_be_drawn(draws):
    assert [len(draws.normal(count)) for count in (0, 1, 2, 3, BLOCK + 1)] == [0, 1, 2, 3, BLOCK + 1]
    assert len(draws.uniform(0)) == 0


def test_the_largest_and_smallest_words_of_the_stream_give_finite_noise(monkeypatch):
    draws = SecureDraws()
    for word in (0, 2**53 - 1):
        monkeypatch.setattr(draws, "_integers", lambda count, word=word: np.full(count, word, np.uint64))
        assert draws.normal(4).abs().max() < 8.6


def test_seeded_draws_repeat_for_a_site_and_a_round_and_secure_ones_never():
    one, again = SeededDraws(1, "a", 2), SeededDraws(1, "a", 2)
    assert torch.equal(one.normal(5), again.normal(5)) and (one.uniform(5) == again.uniform(5)).all()
    for other in (SeededDraws(2, "a", 2), SeededDraws(1, "b", 2), SeededDraws(1, "a", 3)):
        assert not torch.equal(SeededDraws(1, "a", 2).normal(5), other.normal(5))
    assert not torch.equal(SecureDraws().normal(5), SecureDraws().normal(5))
    source = SecureDraws()
    assert not torch.equal(source.normal(5), source.normal(5))


def test_seeded_noise_over_real_images_is_refused():
    with pytest.raises(UltraFMError, match=r"site site_01_a, privacy: found noise from a seed over real images"):
        open_draws(secure=False, simulated=False, seed=1, site="site_01_a", round=1)
    assert isinstance(open_draws(False, True, 1, "site_01_a", 1), SeededDraws)
    assert all(isinstance(open_draws(True, simulated, 1, "a", 1), SecureDraws) for simulated in (True, False))
