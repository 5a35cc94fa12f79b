"""A site gives each answer once: what is replayed, reordered, forged or asked for two sums is refused."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.federation.secure.rounds import KEYS, random_of, session_of
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.keys import public_pem
from ultrafm.federation.secure.keys import Advertised
from ultrafm.federation.secure.stages import SiteRound
from ultrafm.federation.secure.vault import Vault

KIND = np.dtype(np.uint32)


class Sites:
    """Four sites of a session, with a vault each, led through the stages by a coordinator that a test plays."""

    def __init__(self, folder, session=None):
        self.session = session or session_of(4)
        self.names = list(self.session.sites)
        keys = dict(zip(self.names, KEYS))
        roster = {site: public_pem(key.public_key()) for site, key in keys.items()}
        self.at = {
            site: SiteRound(self.session, site, keys[site], roster, Vault(folder / site), random_of(place))
            for place, site in enumerate(self.names)
        }
        self.trained = []

    def advertise(self):
        self.advertised = {site: Advertised(**here.advertise("q")) for site, here in self.at.items()}
        return self

    def share(self):
        self.sealed = {site: here.share("q", self.advertised) for site, here in self.at.items()}
        return self

    def sealed_for(self, site, senders=None):
        return {sender: self.sealed[sender][site] for sender in senders or self.names}

    def numbers(self, site, value=1):
        def make():
            self.trained.append(site)
            return np.full(5, value, KIND)

        return make

    def mask(self, sites=None, common="same"):
        for site in sites or self.names:
            told = common if isinstance(common, str) else common(site)
            self.at[site].masked("q", told, self.sealed_for(site), self.numbers(site), KIND)
        return self

    def consent(self, survivors=None):
        survivors = survivors or self.names
        self.consents = {site: self.at[site].consent("q", survivors)["signature"] for site in survivors}
        return self


@pytest.fixture
def sites(tmp_path):
    return Sites(tmp_path)


def test_the_same_question_gets_the_same_answer_and_trains_once(sites):
    here = sites.advertise().at["site_01"]
    assert here.advertise("q") == vars(sites.advertised["site_01"])
    sites.share()
    assert here.share("q", sites.advertised) == sites.sealed["site_01"]
    sites.mask()
    again = here.masked("q", "same", sites.sealed_for("site_01"), sites.numbers("site_01", 9), KIND)
    assert np.array_equal(again, here.vault.read_masked(KIND)) and sites.trained.count("site_01") == 1
    sites.consent()
    assert here.consent("q", sites.names)["signature"] == sites.consents["site_01"]
    assert here.unmask("q", sites.consents) == here.unmask("q", sites.consents)


def test_another_question_in_the_same_attempt_is_refused_at_every_stage(sites):
    here = sites.advertise().share().mask().consent().at["site_01"]
    here.unmask("q", sites.consents)
    asked = {
        "keys": lambda: here.advertise("other"),
        "shares": lambda: here.share("other", sites.advertised),
        "masked": lambda: here.masked("other", "same", sites.sealed_for("site_01"), sites.numbers("site_01"), KIND),
        "consent": lambda: here.consent("other", sites.names[:3]),
        "unmask": lambda: here.unmask("other", sites.consents),
    }
    for stage, ask in asked.items():
        with pytest.raises(UltraFMError, match=f"site site_01: found another question of stage '{stage}'"):
            ask()
    assert sites.trained.count("site_01") == 1


def test_two_questions_at_once_get_one_masked_vector(sites):
    """A second run asks with other weights while the first is still training: masks would be on two vectors."""
    here, begun, answers = sites.advertise().share().at["site_01"], threading.Event(), {}

    def slowly():
        begun.set()
        time.sleep(0.3)
        return np.full(5, 1, KIND)

    def first():
        answers["first"] = here.masked("q", "same", sites.sealed_for("site_01"), slowly, KIND)

    running = threading.Thread(target=first)
    running.start()
    assert begun.wait(10)
    with pytest.raises(UltraFMError, match="another question of stage 'masked' in the same attempt"):
        here.masked("other", "other weights", sites.sealed_for("site_01"), sites.numbers("site_01", 2), KIND)
    running.join()
    assert np.array_equal(answers["first"], here.vault.read_masked(KIND)) and sites.trained == []


def test_stages_out_of_their_order_are_refused(sites):
    here = sites.advertise().at["site_01"]
    with pytest.raises(UltraFMError, match="found stage 'consent'; expected stage 'shares'"):
        here.consent("q", sites.names)
    sites.share()
    with pytest.raises(UltraFMError, match="found stage 'unmask'; expected stage 'masked'"):
        here.unmask("q", {})


def test_a_new_attempt_has_fresh_keys_and_ends_the_one_before(sites, tmp_path):
    sites.advertise().share().mask()
    old = sites.at["site_01"]
    fresh = Sites(tmp_path, replace(sites.session, attempt="b"))
    fresh.at = {site: replace(here, random=random_of(99 + n)) for n, (site, here) in enumerate(fresh.at.items())}
    fresh.advertise()
    mine, before = fresh.advertised["site_01"], sites.advertised["site_01"]
    assert {mine.masking, mine.sealing}.isdisjoint({before.masking, before.sealing})
    with pytest.raises(UltraFMError, match="an attempt whose keys this site does not hold"):
        old.consent("q", sites.names)
    assert not (tmp_path / "site_01" / "secure" / "masked.raw").exists()
    again = Sites(tmp_path).at["site_01"]
    told = replace(again, random=random_of(1234)).advertise("q")
    assert told["masking"] not in (mine.masking, before.masking)  # the first attempt, asked for once more


def test_real_keys_come_from_the_machine_and_never_twice(sites, tmp_path):
    keys = set()
    for attempt in range(5):
        session = replace(sites.session, attempt=str(attempt))
        here = replace(sites.at["site_01"], session=session)
        told = SiteRound(session, here.site, here.key, here.roster, here.vault).advertise("q")
        keys |= {told["sealing"], told["masking"]}
    assert len(keys) == 10


def test_keys_of_too_few_strange_or_forged_sites_are_refused(sites):
    here = sites.advertise().at["site_01"]
    one, two = sites.advertised["site_02"], sites.advertised["site_03"]
    wrong = {
        "public keys of 2 of 4 sites": dict(list(sites.advertised.items())[:2]),
        "public keys without this site's": {s: k for s, k in sites.advertised.items() if s != "site_01"},
        "not site_02's": {**sites.advertised, "site_02": two},
        "site_02: found a signature": {**sites.advertised, "site_02": replace(one, masking=two.masking)},
        "'site_9'": {**sites.advertised, "site_9": two},
    }
    for told, advertised in wrong.items():
        with pytest.raises(UltraFMError, match=told):
            here.share("q", advertised)


def test_keys_that_the_site_itself_did_not_send_are_refused(sites, tmp_path):
    """Validly signed by it, in an answer that another process of the site gave."""
    other = Sites(tmp_path / "other")
    other.at["site_01"] = replace(other.at["site_01"], random=random_of(77))
    sites.advertise(), other.advertise()
    with pytest.raises(UltraFMError, match="other keys of this site than it sent"):
        sites.at["site_01"].share("q", {**sites.advertised, "site_01": other.advertised["site_01"]})


def test_one_key_at_two_sites_is_refused(sites):
    """Two sites that work together: one signs the other's key as its own."""
    sites.at["site_03"] = replace(sites.at["site_03"], random=random_of(2))  # as site_02's
    sites.advertise()
    with pytest.raises(UltraFMError, match="one key at two places"):
        sites.at["site_01"].share("q", sites.advertised)


def test_shares_that_were_not_sealed_for_this_site_or_by_too_few_are_refused_before_training(sites):
    here = sites.advertise().share().at["site_01"]
    right = sites.sealed_for("site_01")
    wrong = {
        "shares of site_02 that cannot be opened": {**right, "site_02": sites.sealed["site_02"]["site_03"]},
        "shares of 2 of 4 sites": sites.sealed_for("site_01", sites.names[:2]),
        "shares without this site's": {s: k for s, k in right.items() if s != "site_01"},
    }
    for told, sealed in wrong.items():
        with pytest.raises(UltraFMError, match=told):
            here.masked("q", "same", sealed, sites.numbers("site_01"), KIND)
    assert sites.trained == []


def test_survivors_that_are_too_few_or_unknown_or_leave_the_site_out_are_refused(sites):
    here = sites.advertise().share().mask().at["site_01"]
    for told, survivors in {
        "masked numbers of 2 of 4": sites.names[:2], "without this site's": ["site_00", "site_02", "site_03"],
        "each site once": ["site_00", "site_01", "site_01"],
    }.items():  # fmt: skip
        with pytest.raises(UltraFMError, match=told):
            here.consent("q", survivors)


def test_a_coordinator_cannot_get_both_shares_by_telling_two_lists_of_survivors(sites):
    """It tells some sites that site_00 is in the sum, and others that it dropped out: neither list has enough names."""
    sites.advertise().share().mask()
    with_it, without = sites.names, sites.names[1:]
    consents = {site: sites.at[site].consent("q", with_it)["signature"] for site in ("site_00", "site_01")}
    consents |= {site: sites.at[site].consent("q", without)["signature"] for site in ("site_02", "site_03")}
    for site in sites.names[1:]:
        with pytest.raises(UltraFMError, match=r"a signature of the sites of the sum that is not|had dropped out"):
            sites.at[site].unmask("q", consents)
        with pytest.raises(UltraFMError, match="consents of 2 of 4 sites; expected at least 3"):
            sites.at[site].unmask("q", {s: consents[s] for s in (("site_00", "site_01") if site == "site_01" else
                                                                 ("site_02", "site_03"))})  # fmt: skip


def test_sites_that_were_sent_other_weights_do_not_unmask(sites):
    """Else a coordinator could send weights on which the other sites learn nothing, and read one site's update."""
    sites.advertise().share().mask(common=lambda site: "victim" if site == "site_00" else "others").consent()
    for site in sites.names:
        with pytest.raises(UltraFMError, match="a signature of the sites of the sum that is not"):
            sites.at[site].unmask("q", sites.consents)


def test_forged_and_foreign_consents_are_refused(sites, tmp_path):
    sites.advertise().share().mask().consent()
    here, before = sites.at["site_01"], Sites(tmp_path / "before", replace(sites.session, attempt="before"))
    before.advertise().share().mask().consent()
    for changes in ({"site_02": b"forged"}, {"site_02": sites.consents["site_03"]},
                    {"site_02": before.consents["site_02"]}):  # fmt: skip
        with pytest.raises(UltraFMError, match="not site_02's"):
            here.unmask("q", sites.consents | changes)
    assert set(here.unmask("q", sites.consents)) == set(sites.names)


def test_after_the_last_stage_the_secrets_are_gone(sites):
    here = sites.advertise().share().mask().consent().at["site_01"]
    assert here.vault.read().secrets is not None and len(here.vault.read().shares) == 4
    here.unmask("q", sites.consents)
    held = here.vault.read()
    assert held.secrets is None and held.shares == {}
    with pytest.raises(UltraFMError, match="numbers that were deleted"):
        here.masked("q", "same", sites.sealed_for("site_01"), sites.numbers("site_01"), KIND)


def second_attempt(folder, session):
    """The same sites and vaults in another attempt."""
    again = Sites(folder, replace(session, attempt="again"))
    again.at = {site: replace(here, random=random_of(50 + n)) for n, (site, here) in enumerate(again.at.items())}
    return again.advertise().share().mask()


def test_of_one_round_no_second_sum_is_unmasked_that_differs_by_a_site_or_by_weights(sites, tmp_path):
    """Else the coordinator repeats a round without one site, and the difference of both sums is its update."""
    sites.advertise().share().mask().consent(sites.names[1:])
    for site in sites.names[1:]:
        sites.at[site].unmask("q", sites.consents)
    again = second_attempt(tmp_path, sites.session)
    with pytest.raises(UltraFMError, match="another sum of a round that was unmasked before; expected the same sites"):
        again.consent(sites.names)
    with pytest.raises(UltraFMError, match="another sum"):
        again.at["site_01"].consent("q", ["site_00", "site_01", "site_02"])
    other_weights = Sites(tmp_path, replace(sites.session, attempt="other"))
    other_weights.advertise().share().mask(common="other weights")
    with pytest.raises(UltraFMError, match="another sum"):
        other_weights.consent(sites.names[1:])
    again = second_attempt(tmp_path, replace(sites.session))
    again.consent(sites.names[1:])
    assert set(again.at["site_01"].unmask("q", again.consents)) == set(sites.names)


def test_no_second_sum_is_unmasked_in_which_a_site_alone_began_from_other_moments(sites, tmp_path):
    """All others answer the same, so the difference of the sums would be what this site's memory changes."""

    def attempt(name, seed, last):
        again = Sites(tmp_path, replace(sites.session, attempt=name))
        again.at = {site: replace(one, random=random_of(seed + n)) for n, (site, one) in enumerate(again.at.items())}
        again.advertise().share()
        for site, here in again.at.items():
            own = f"last round {last if site == 'site_01' else 3}"
            here.masked("q", "same", again.sealed_for(site), again.numbers(site), KIND, own)
        return again

    first = attempt("first", 10, 3).consent()
    assert set(first.at["site_01"].unmask("q", first.consents)) == set(sites.names)
    with pytest.raises(UltraFMError, match=r"another sum of a round .* the same last round"):
        attempt("second", 20, 0).at["site_01"].consent("q", sites.names)
    third = attempt("third", 30, 3).consent()
    assert set(third.at["site_01"].unmask("q", third.consents)) == set(sites.names)


@pytest.mark.parametrize("agreement", ["accepted terms", ""])
def test_another_name_of_the_run_gets_no_second_sum_under_the_same_agreement(sites, tmp_path, agreement):
    """Else a coordinator begins anew without one site, from the same first weights. Without terms nothing holds it."""

    def attempt(run, seed):
        again = Sites(tmp_path, replace(sites.session, run=run))
        again.at = {
            site: replace(one, random=random_of(seed + n), agreement=agreement)
            for n, (site, one) in enumerate(again.at.items())
        }
        return again.advertise().share().mask()

    first = attempt("run", 10).consent()
    for here in first.at.values():
        here.unmask("q", first.consents)
    second = attempt("other", 20)
    if agreement:
        with pytest.raises(UltraFMError, match=r"another sum of a round .* puts secure/sums\.json of its state away"):
            second.consent(sites.names[1:])
    else:
        assert set(second.consent(sites.names[1:]).consents) == set(sites.names[1:])


def test_a_round_that_was_not_unmasked_may_be_repeated_over_others(sites, tmp_path):
    sites.advertise().share().mask().consent(sites.names[1:])
    again = second_attempt(tmp_path, sites.session).consent(sites.names)
    assert set(again.at["site_00"].unmask("q", again.consents)) == set(sites.names)
