"""Updates as whole numbers: sums are exact, errors are within the stated bound, what cannot be is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.compression import Update
from ultrafm.federation.secure.ring import GREATEST_LOSS, LONG, Ring, decode, encode, reach_of, ring_of, whole_weight
from ultrafm.pretraining.recipe import Recipe


def update_of(change, start=0.0):
    old = np.full(len(change), start, np.float32)
    return Update(old, {"weights": old + np.asarray(change, np.float32)})


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(-1, 1), st.floats(0, 100)), min_size=3, max_size=20))
def test_the_sum_is_the_weighted_mean_to_within_the_stated_bound(rows):
    ring = Ring(sites=len(rows), weight=50, images=50, reach=1.0)
    total = np.zeros(1 + LONG, ring.kind)
    for images, change, loss in rows:
        total += encode(ring, update_of([change]), images, images, loss)
    found, images = decode(ring, total), np.array([row[0] for row in rows], np.float64)
    changes, losses = (np.array([row[place] for row in rows]) for place in (1, 2))
    bound = len(rows) / 2 * ring.weight * ring.reach / ring.limit / images.sum()
    expected = (images * changes.astype(np.float32).astype(np.float64)).sum() / images.sum()
    assert abs(found.mean[0] - expected) <= bound * (1 + 1e-6)
    assert found.weight == found.images == images.sum()
    assert found.loss == pytest.approx((images * losses).sum() / images.sum(), abs=1e-3)


@given(st.integers(1, 100_000), st.integers(1, 10_000_000))
def test_the_sum_of_all_sites_fits_the_ring_at_its_extremes(sites, images):
    ring = Ring(sites, images, images, reach=0.1)
    assert sites * ring.limit < 2 ** (ring.bits - 1) and images <= ring.limit
    for change in (0.1, -0.1):
        numbers = encode(ring, Update(np.zeros(1), {"weights": np.array([change])}), images, images, GREATEST_LOSS)
        total = np.array([int(one) * sites % 2**ring.bits for one in numbers], ring.kind)
        found = decode(ring, total)
        assert found.mean == pytest.approx(change, rel=1e-6) and found.images == images * sites
        assert found.loss == pytest.approx(GREATEST_LOSS, rel=1e-6)


def test_up_to_127_sites_take_32_bits_and_more_64():
    assert Ring(127, 10, 10, 1.0).bits == 32 and Ring(128, 10, 10, 1.0).bits == 64


def test_more_images_than_whole_numbers_are_refused():
    with pytest.raises(UltraFMError, match=r"a weight of 1073741824 in a round; expected at most 134217727"):
        Ring(16, 1, 2**30, 1.0)


def test_by_hand():
    """Three sites of 32 bits: a number may be (2^31 - 1) / 3 = 715827882 from zero; that is weight 2 x reach 0.5."""
    ring = Ring(sites=3, weight=2, images=2, reach=0.5)
    assert ring.limit == 715827882
    numbers = encode(ring, update_of([0.5, -0.25, 0.0]), 1, 2, 1.0).view(np.int32)
    assert numbers.tolist() == [357913941, -178956970, 0, 1, 2, 7158279]


@pytest.mark.parametrize("change", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_enter_a_sum(change):
    with pytest.raises(UltraFMError, match="not finite"):
        encode(Ring(3, 1, 1, 1.0), update_of([0.0, change]), 1, 1, 0.0)


def test_an_update_beyond_the_reach_is_an_error_that_does_not_tell_it_and_is_not_cut_off():
    """Errors travel in the clear, and a coordinator could ask for a short reach to be told how far a site went."""
    ring = Ring(3, 1, 1, 1.0)
    assert encode(ring, update_of([1.0]), 1, 1, 0.0)[0] == ring.limit
    with pytest.raises(UltraFMError, match=r"one weight that is too large; expected at most 1,") as caught:
        encode(ring, update_of([1.37]), 1, 1, 0.0)
    assert "1.37" not in str(caught.value)


@pytest.mark.parametrize("loss", [np.nan, np.inf, -1.0])
def test_a_loss_that_is_none_is_refused_and_a_great_one_counts_as_the_greatest(loss):
    ring = Ring(3, 1, 1, 1.0)
    with pytest.raises(UltraFMError, match="a loss of"):
        encode(ring, update_of([0.0]), 1, 1, loss)
    assert decode(ring, encode(ring, update_of([0.0]), 1, 1, 1e9)).loss == pytest.approx(GREATEST_LOSS)


def test_more_images_than_the_round_has_are_refused():
    with pytest.raises(UltraFMError, match="5 images"):
        encode(Ring(3, 4, 4, 1.0), update_of([0.0]), 5, 5, 0.0)


def test_a_sum_without_any_weight_changes_nothing():
    ring = Ring(3, 4, 4, 1.0)
    found = decode(ring, encode(ring, update_of([0.0, 0.0]), 0, 0, 0.0))
    assert found.mean.tolist() == [0, 0] and (found.weight, found.images, found.loss) == (0, 0, 0.0)


def test_weights_are_whole_numbers():
    assert [whole_weight(kind, 4) for kind in ("images", "equal", "root")] == [4, 1, 2048]
    assert [whole_weight(kind, 0) for kind in ("images", "equal", "root")] == [0, 0, 0]


@pytest.mark.parametrize("adaptive", ["server", "reset"])
def test_honest_steps_stay_within_the_reach_however_they_point(adaptive):
    """All three steps in one direction, at the greatest gradient and the greatest rate."""
    recipe, weight = Recipe(learning_rate=0.01, clip=2.0, weight_decay=0.1), -7.0
    reach = reach_of(recipe, adaptive, 0.5, 3, np.array([3.0, -7.0], np.float32))
    for _ in range(3):
        weight -= 0.5 * 2.0 if adaptive == "server" else 0.01 * 1.17 - 0.01 * 0.1 * weight
    assert 0.5 * reach < abs(weight + 7.0) <= reach


def test_a_round_in_which_nobody_trains_has_a_ring_too():
    ring = ring_of(3, "root", 0, reach_of(Recipe(), "server", 0.1, 0, np.zeros(2)))
    assert decode(ring, encode(ring, update_of([0.0]), 0, 0, 0.0)).mean.tolist() == [0.0]
