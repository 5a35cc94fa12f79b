"""Masks cancel, with whoever drops out; what travels looks like noise; what was tampered with is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.federation.secure.rounds import masked, random_of, session_of, shared_round, unmasked
from ultrafm.errors import UltraFMError
from ultrafm.federation.aggregation import StreamingMean
from ultrafm.federation.compression import Update
from ultrafm.federation.secure.keys import Advertised, require_genuine
from ultrafm.federation.secure.masks import add_masks, agree, pair_mask, public_of
from ultrafm.federation.secure.ring import Ring, decode, encode
from ultrafm.federation.secure.sealing import open_shares, seal_shares
from ultrafm.federation.secure.sums import reveal, unmask

FALSE_ALARM = 1e-4  # of each test of uniformity, whose inputs are drawn from a fixed seed
LENGTH = 70_000  # more than one part of a stream


def changes_of(sites, length=LENGTH):
    generator = np.random.default_rng(11)
    return {site: generator.uniform(-1, 1, length).astype(np.float32) for site in sites}


def plain_mean(changes, weights):
    mean, old = StreamingMean(LENGTH), np.zeros(LENGTH, np.float32)
    for site, change in changes.items():
        mean.add(Update(old, {"weights": change}), weights[site])
    return mean.joined()


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2)])
def test_equals_the_plain_weighted_mean_whoever_drops_out(before, after, bits):
    """Seven sites, five must remain. `before`: drop out once they have shared; `after`: once their numbers are in."""
    session = session_of(7)
    ring = Ring(7 if bits == 32 else 128, 9, 9, 1.0)
    held, changes = shared_round(session, session.sites), changes_of(session.sites)
    survivors = session.sites[before:]
    weights = {site: 3 + place for place, site in enumerate(survivors)}
    vectors = {site: masked(held, ring, site, changes[site], weights[site]) for site in survivors}
    found = decode(ring, unmasked(held, ring, vectors, answering=survivors[after:]))
    bound = len(survivors) / 2 * ring.weight * ring.reach / ring.limit / sum(weights.values())
    expected = plain_mean({site: changes[site] for site in survivors}, weights)
    assert ring.bits == bits and np.abs(found.mean - expected).max() <= bound * (1 + 1e-6) + 1e-15
    assert found.weight == sum(weights.values()) and found.loss == pytest.approx(0.5, abs=1e-5)


def test_the_sum_is_the_same_bit_for_bit_in_another_attempt_and_by_other_answers():
    sums = []
    for attempt, seed, answering in (("a", 0, None), ("b", 5, None), ("b", 6, ("site_04", "site_02", "site_03"))):
        session = session_of(4 + 1, 3, attempt=attempt)
        ring, held = Ring(5, 1, 1, 1.0), shared_round(session, session.sites, seed)
        changes = changes_of(session.sites)
        vectors = {site: masked(held, ring, site, changes[site]) for site in session.sites[1:]}
        sums.append(unmasked(held, ring, vectors, answering))
    assert np.array_equal(sums[0], sums[1]) and np.array_equal(sums[0], sums[2])


def test_a_site_that_never_shared_is_no_part_of_the_masks():
    session = session_of(4)
    ring, held = Ring(4, 1, 1, 1.0), shared_round(session, session.sites[1:])
    changes = changes_of(session.sites)
    vectors = {site: masked(held, ring, site, changes[site]) for site in held.members}
    expected = plain_mean({site: changes[site] for site in held.members}, dict.fromkeys(session.sites, 1))
    assert np.abs(decode(ring, unmasked(held, ring, vectors)).mean - expected).max() < 1e-7


def uniformity(numbers):
    """p-values: chi-square of the bytes, correlation of bytes in the same place of neighbours, ones among the bits."""
    data, lag = numbers.view(np.uint8), numbers.itemsize
    chi = stats.chisquare(np.bincount(data, minlength=256)).pvalue
    serial = stats.pearsonr(data[:-lag].astype(float), data[lag:].astype(float)).pvalue
    ones = stats.binomtest(int(np.unpackbits(data).sum()), 8 * len(data)).pvalue
    return {"bytes": chi, "neighbours": serial, "bits": ones}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("change", [0.0, 1.0, "drawn"])
def test_what_a_site_sends_looks_like_noise_whatever_it_changed(change, bits):
    """Also when one other site's masks are known, as with a site that works together with the coordinator."""
    session = session_of(4)
    ring, held = Ring(4 if bits == 32 else 128, 1, 1, 1.0), shared_round(session, session.sites)
    values = changes_of(["a"])["a"] if change == "drawn" else np.full(LENGTH, change, np.float32)
    numbers = masked(held, ring, "site_01", values)
    other = pair_mask(
        session, "site_03", held.secrets["site_03"].masking, "site_01", held.advertised["site_01"].masking
    )
    without = numbers.copy()
    add_masks(without, [other])
    for seen in (numbers, without):
        assert min(uniformity(seen).values()) > FALSE_ALARM, uniformity(seen)


def test_the_tests_of_uniformity_see_what_is_not_masked():
    """A wave in place of noise: each of the three tests alone gives the alarm."""
    wave = np.sin(np.arange(LENGTH) / 50).astype(np.float32) ** 2
    numbers = encode(Ring(4, 1, 1, 1.0), Update(np.zeros(LENGTH, np.float32), {"weights": wave}), 1, 1, 0.5)
    assert max(uniformity(numbers).values()) < FALSE_ALARM


def test_the_same_update_sent_twice_shares_nothing():
    change = np.ones(LENGTH, np.float32)
    sent = []
    for attempt, seed in (("a", 0), ("b", 1)):
        session = session_of(4, attempt=attempt)
        sent.append(masked(shared_round(session, session.sites, seed), Ring(4, 1, 1, 1.0), "site_01", change))
    assert (sent[0] == sent[1]).mean() < 1e-3
    assert min(uniformity(sent[0] - sent[1]).values()) > FALSE_ALARM


def test_masks_of_another_attempt_differ_even_under_the_same_secrets():
    one, other = session_of(4), session_of(4, attempt="b")
    held = shared_round(one, one.sites)
    streams = []
    for session in (one, other):
        numbers = np.zeros(1000, np.uint32)
        add_masks(numbers, [pair_mask(session, "site_00", held.secrets["site_00"].masking, "site_01",
                                      held.advertised["site_01"].masking)])  # fmt: skip
        streams.append(numbers)
    assert (streams[0] == streams[1]).sum() == 0


def test_masks_cancel_in_pairs_and_a_stream_does_not_depend_on_its_parts():
    numbers = np.arange(LENGTH, dtype=np.uint32)
    add_masks(numbers, [(b"k" * 32, 1), (b"l" * 32, -1)])
    begun = np.arange(100, dtype=np.uint32)
    add_masks(begun, [(b"k" * 32, 1), (b"l" * 32, -1)])
    assert np.array_equal(numbers[:100], begun) and not np.array_equal(begun, np.arange(100))
    add_masks(numbers, [(b"k" * 32, -1), (b"l" * 32, 1)])
    assert np.array_equal(numbers, np.arange(LENGTH))


def test_a_stream_is_chacha20s():
    """RFC 8439, appendix A.1, test vector 1: the stream of a key of zeros begins with 76b8e0ada0f13d90."""
    numbers = np.zeros(2, np.uint32)
    add_masks(numbers, [(bytes(32), 1)])
    assert numbers.tobytes().hex() == "76b8e0ada0f13d90"


def test_two_sites_agree_on_a_key_that_depends_on_the_purpose():
    one, other = bytes(range(32)), bytes(range(32, 64))
    assert (
        agree(one, public_of(other), b"a") == agree(other, public_of(one), b"a") != agree(one, public_of(other), b"b")
    )


@pytest.mark.parametrize("public", [bytes(32), bytes(31), (1).to_bytes(32, "little")])
def test_a_public_key_that_leads_to_no_secret_is_refused(public):
    with pytest.raises(UltraFMError, match="a sound X25519 key"):
        agree(bytes(range(32)), public, b"a")


def test_with_fewer_answers_than_the_threshold_nothing_is_unmasked():
    session = session_of(7)
    ring, held = Ring(7, 1, 1, 1.0), shared_round(session, session.sites)
    vectors = {site: masked(held, ring, site, np.ones(8, np.float32)) for site in session.sites}
    with pytest.raises(UltraFMError, match=r"shares of 4 of 7 sites; expected at least 5"):
        unmasked(held, ring, vectors, answering=session.sites[:4])


def test_a_site_never_gives_both_shares_of_another():
    """Whoever survives, what is revealed of each site is one share, and which one goes by the survivors."""
    session = session_of(4)
    held = shared_round(session, session.sites)
    for survivors in ({"site_00", "site_01", "site_02"}, set(session.sites)):
        told = reveal(held.shares["site_00"], survivors)
        assert set(told) == set(session.sites)
        for site, share in told.items():
            both = held.shares["site_00"][site]
            assert share == (both[:33] if site in survivors else both[33:])


def test_a_wrong_share_of_a_site_that_dropped_out_is_seen():
    session = session_of(4)
    ring, held = Ring(4, 1, 1, 1.0), shared_round(session, session.sites)
    survivors = list(session.sites[1:])
    total = sum(masked(held, ring, site, np.ones(8, np.float32)) for site in survivors)
    revealed = {site: reveal(held.shares[site], survivors) for site in survivors}
    share = bytearray(revealed["site_01"]["site_00"])
    share[-1] ^= 1
    revealed["site_01"]["site_00"] = bytes(share)
    with pytest.raises(UltraFMError, match=r"site_00: found shares of another key|do not belong together"):
        unmask(total, session, held.advertised, held.members, survivors, revealed)


def other_sessions():
    base = session_of(4)
    return {
        "another attempt": replace(base, attempt="b"), "another round": replace(base, round=2),
        "another run": replace(base, run="other"), "another threshold": replace(base, threshold=4),
        "other sites": replace(base, sites=(*base.sites, "site_04")),
    }  # fmt: skip


@pytest.mark.parametrize("name", other_sessions())
def test_keys_signed_for_one_session_are_refused_in_another(name):
    session = session_of(4)
    held = shared_round(session, session.sites)
    told = held.advertised["site_01"]
    require_genuine(session, "site_01", told, held.roster)
    with pytest.raises(UltraFMError, match="a signature of its public keys of this round that is not site_01's"):
        require_genuine(other_sessions()[name], "site_01", told, held.roster)


def test_keys_that_are_forged_or_another_sites_are_refused():
    session = session_of(4)
    held = shared_round(session, session.sites)
    one, two = held.advertised["site_01"], held.advertised["site_02"]
    forged = [two, replace(one, sealing=two.sealing), replace(one, masking=two.masking), replace(one, signature=b"x"),
              Advertised(one.masking, one.sealing, one.signature)]  # fmt: skip
    for told in forged:
        with pytest.raises(UltraFMError, match="site_01"):
            require_genuine(session, "site_01", told, held.roster)


def tampered(data, place):
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def test_shares_that_were_changed_swapped_or_replayed_do_not_open():
    session = session_of(4)
    held = shared_round(session, session.sites)
    sealed = {site: seal_shares(session, site, held.secrets[site], held.advertised, random_of(9)) for site in
              session.sites}  # fmt: skip
    right = {site: sealed[site]["site_02"] for site in session.sites}
    assert set(open_shares(session, "site_02", held.secrets["site_02"], held.advertised, right)) == set(session.sites)
    wrong = {
        "changed": tampered(right["site_01"], 20), "nonce": tampered(right["site_01"], 0),
        "tag": tampered(right["site_01"], -1), "short": right["site_01"][:15], "empty": b"",
        "for another": sealed["site_01"]["site_03"], "from another": sealed["site_03"]["site_02"],
        "sent back": sealed["site_02"]["site_01"],
    }  # fmt: skip
    for name, data in wrong.items():
        with pytest.raises(UltraFMError, match="shares of site_01 that cannot be opened"):
            print(name, open_shares(session, "site_02", held.secrets["site_02"], held.advertised, {"site_01": data}))
    for name, other in other_sessions().items():
        with pytest.raises(UltraFMError, match="cannot be opened"):
            print(name, open_shares(other, "site_02", held.secrets["site_02"], held.advertised, right))
