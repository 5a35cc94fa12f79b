"""Updates in fewer bytes: what is lost is bounded, and not lost for good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.federation.compression import BLOCK, Update, compress, expand, expected_arrays, parts


def numbers(length, seed=0, size=1.0):
    return (np.random.default_rng(seed).normal(size=length) * size).astype(np.float32)


def whole(arrays, length):
    return np.concatenate([expand(arrays, part) for part in parts(length)])


@given(st.integers(1, 5000), st.integers(0, 9), st.sampled_from([1e-20, 1e-3, 1e5]))
def test_bf16_is_within_half_a_unit_in_its_last_place(length, seed, size):
    change = numbers(length, seed, size)
    assert (np.abs(whole(compress(change, "bf16"), length) - change) <= np.abs(change) * 2.0**-8).all()


@given(st.integers(1, 5000), st.integers(0, 9), st.sampled_from([1e-20, 1e-3, 1e5]))
def test_int8_is_within_half_a_step_of_its_block(length, seed, size):
    change = numbers(length, seed, size)
    error = np.abs(whole(compress(change, "int8"), length) - change)
    greatest = np.array([np.abs(change[start : start + BLOCK]).max() for start in range(0, length, BLOCK)])
    assert (error <= np.repeat(greatest, BLOCK)[:length] / 254 * (1 + 1e-5)).all()


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_no_change_stays_none(kind):
    assert not whole(compress(np.zeros(3000, np.float32), kind), 3000).any()


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_a_number_that_is_not_finite_is_not_hidden(kind):
    change = numbers(3000)
    change[5] = np.nan
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(whole(compress(change, kind), 3000)).all()


@pytest.mark.parametrize("kind, bytes_each", [("bf16", 2), ("int8", 1)])
def test_arrays_are_as_announced_and_as_small(kind, bytes_each):
    arrays = compress(numbers(70_000), kind)
    assert {name: (str(one.dtype), one.shape) for name, one in arrays.items()} == expected_arrays(70_000, kind)
    assert sum(one.nbytes for one in arrays.values()) == pytest.approx(70_000 * bytes_each, rel=0.005)


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_an_update_is_read_part_by_part(kind):
    change = numbers(150_000)
    arrays = compress(change, kind)
    update = Update(np.zeros_like(change), arrays)
    assert np.array_equal(np.concatenate([update.part(part) for part in parts(150_000)]), whole(arrays, 150_000))


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_what_rounding_lost_comes_with_the_next_update(kind):
    """With error feedback, the sum of what was sent differs from the sum of changes by one rounding, not by many."""
    lost, sent, meant = np.zeros(2000, np.float32), np.zeros(2000), np.zeros(2000)
    for step in range(50):
        change = numbers(2000, step) * np.float32(0.01) + np.float32(1e-4)
        arrays = compress(change + lost, kind)
        lost = change + lost - whole(arrays, 2000)
        sent, meant = sent + whole(arrays, 2000), meant + change
    one_rounding = np.abs(whole(compress(change + lost, kind), 2000) - change - lost).max()
    assert np.abs(sent - meant).max() < 3 * one_rounding + 1e-6
