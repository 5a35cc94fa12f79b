"""Similarity against hand-computed values, and against pictures of the same kind."""

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.similarity import best_order, compare_pictures, signal_to_noise, structural_similarity


def pictures(count, seed=0):
    return np.random.default_rng(seed).random((count, 16, 16))


def test_signal_to_noise_by_hand():
    assert signal_to_noise(np.full((4, 4), 0.5), np.full((4, 4), 0.6)) == pytest.approx(20.0)
    assert signal_to_noise(np.ones((4, 4)), np.ones((4, 4))) == 60.0


def test_structural_similarity_by_hand():
    one, two = np.full((16, 16), 0.2), np.full((16, 16), 0.6)
    assert structural_similarity(one, two) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))
    some = pictures(1)[0]
    assert structural_similarity(some, some) == pytest.approx(1.0)
    assert structural_similarity(some, 1 - some) < 0


def test_the_order_of_a_batch_is_found_again():
    originals = pictures(5)
    shuffled = np.array([3, 0, 4, 1, 2])
    recovered = originals[shuffled] + 0.05
    assert np.array_equal(shuffled[best_order(recovered, originals)], np.arange(5))
    with pytest.raises(UltraFMError, match="as the originals"):
        best_order(recovered[:4], originals)


def test_a_recovered_picture_is_picked_out_and_an_unrelated_one_is_not():
    originals, others = pictures(40), pictures(20, 1)
    good = compare_pictures(originals + 0.02, originals, others)
    assert (good["picked_out"] == 1).all() and (good["ssim"] > good["baseline_ssim"] + 0.5).all()
    unrelated = [compare_pictures(one[None], two[None], others) for one, two in zip(pictures(40, 2), originals)]
    assert 0.35 < np.mean([one["picked_out"].item() for one in unrelated]) < 0.65
    with pytest.raises(UltraFMError, match="no other picture"):
        compare_pictures(originals, originals, others[:0])
