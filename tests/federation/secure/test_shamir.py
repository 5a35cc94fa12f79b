"""Enough shares give the secret; fewer are consistent with every secret."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.shamir import PRIME, SHARE_BYTES, join, split, weight_at_zero


def is_prime(number):
    """Miller-Rabin with the first forty primes as bases."""
    bases = [one for one in range(2, 180) if all(one % other for other in range(2, one))][:40]
    odd, halvings = number - 1, 0
    while odd % 2 == 0:
        odd, halvings = odd // 2, halvings + 1

    def passes(base):
        power = pow(base, odd, number)
        return power in (1, number - 1) or any(
            (power := power * power % number) == number - 1 for _ in range(halvings - 1)
        )

    return all(passes(base) for base in bases)


def test_the_field_is_one_and_holds_every_secret():
    assert is_prime(PRIME) and not is_prime(PRIME - 2) and 2**256 < PRIME < 2 ** (8 * SHARE_BYTES)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 7), st.integers(0, 4), st.randoms())
def test_any_threshold_of_the_shares_give_the_secret(secret, threshold, more, random):
    numbers = random.sample(range(1, 100), threshold + more)
    shares = split(secret, threshold, numbers, random.randbytes)
    chosen = random.sample(numbers, threshold)
    assert join({number: shares[number] for number in chosen}, threshold) == secret


def test_a_line_by_hand():
    """Secret 5, slope 3: the shares at 1 and 2 are 8 and 11; 2 x 8 - 11 = 5."""
    slope = (3).to_bytes(SHARE_BYTES + 16, "big")
    shares = split((5).to_bytes(32, "big"), 2, [1, 2], lambda size: slope)
    assert [int.from_bytes(one, "big") for one in shares.values()] == [8, 11]
    assert int.from_bytes(join(shares, 2), "big") == 5


def test_one_share_less_is_consistent_with_every_secret():
    """For t - 1 shares and any secret at all there is exactly one further share that makes them shares of it."""
    random = np.random.default_rng(3).bytes
    shares = split(random(32), 4, [1, 2, 3, 4, 5], random)
    for known in itertools.combinations([1, 2, 3, 5], 3):
        held = {number: shares[number] for number in known}
        for secret in (bytes(32), bytes(31) + b"\1", b"\xff" * 32, random(32)):
            numbers = [*known, 4]
            given_so_far = sum(int.from_bytes(held[one], "big") * weight_at_zero(one, numbers) for one in known)
            missing = (int.from_bytes(secret, "big") - given_so_far) * pow(weight_at_zero(4, numbers), -1, PRIME)
            forged = {**held, 4: (missing % PRIME).to_bytes(SHARE_BYTES, "big")}
            assert join(forged, 4) == secret


def test_shares_alone_are_spread_over_the_whole_field_whatever_the_secret():
    """Each share of a fixed secret is uniform: its mean over 2,000 sharings is within 5 deviations of the middle."""
    random = np.random.default_rng(4).bytes
    firsts = [int.from_bytes(split(bytes(32), 3, [1, 2, 3], random)[1], "big") / PRIME for _ in range(2000)]
    assert np.mean(firsts) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 2000))
    assert np.std(firsts) == pytest.approx(np.sqrt(1 / 12), rel=0.06)


def test_too_few_and_mixed_shares_are_refused():
    random = np.random.default_rng(5).bytes
    shares, others = (split(random(32), 3, [1, 2, 3, 4], random) for _ in range(2))
    with pytest.raises(UltraFMError, match="found 2; expected at least 3"):
        join({1: shares[1], 2: shares[2]}, 3)
    beyond = {1: (PRIME - 1).to_bytes(SHARE_BYTES, "big")}
    with pytest.raises(UltraFMError, match="do not belong together"):
        join(beyond, 1)
    assert join({1: shares[1], 2: shares[2], 3: others[3]}, 3) not in (join(shares, 3), join(others, 3))


@pytest.mark.parametrize(("threshold", "numbers"), [(3, [1, 2]), (2, [0, 1]), (2, [1, 1]), (0, [1])])
def test_a_sharing_that_gives_the_secret_away_or_loses_it_is_no_sharing(threshold, numbers):
    with pytest.raises(ValueError, match="shares"):
        split(bytes(32), threshold, numbers, np.random.default_rng(0).bytes)
