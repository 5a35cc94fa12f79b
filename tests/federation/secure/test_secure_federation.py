"""Whole federations in sums: as plain ones, whoever drops out; bit for bit the same, whatever is killed."""

import json

import numpy as np
import pytest
import torch

from tests.federation.secure.striped_sites import RECIPE, SITES, STAGES, Killed, Trouble, run, weights
from ultrafm.errors import UltraFMError
from ultrafm.federation import site as site_room
from ultrafm.federation.incidents import RoundFailed
from ultrafm.federation.secure.stages import SiteRound
from ultrafm.federation.secure.vault import Vault
from ultrafm.pretraining.recipe import build_model


def beginning():
    """The weights before training."""
    return torch.cat([weight.flatten() for weight in build_model(RECIPE, 5).state_dict().values()])


@pytest.mark.parametrize("weighting", ["images", "root", "equal"])
def test_a_federation_in_sums_learns_what_a_plain_one_learns(tmp_path, images, weighting):
    secure = run(tmp_path / "secure", passes=1, weighting=weighting)
    plain = run(tmp_path / "plain", passes=1, secure_aggregation=False, weighting=weighting)
    moved = (weights(secure) - weights(plain)).abs().max()
    assert moved < 1e-6 and (weights(secure) - beginning()).abs().max() > 1e-4
    validation = [[row["validation_loss"] for row in made.history] for made in (secure, plain)]
    assert validation[0] == pytest.approx(validation[1], abs=1e-5)
    assert all(row["loss"] is None for row in secure.history) and plain.history[-1]["loss"] > 0
    assert [row["images"] for row in secure.history] == [row["images"] for row in plain.history]


def test_one_site_of_five_may_drop_out_at_any_stage(tmp_path, images):
    """Up to its masked numbers it does not count, after them it does: as a plain round without it, or with it."""
    everybody = weights(run(tmp_path / "all", passes=1, secure_aggregation=False))
    trouble = Trouble(lost={("train", "site_03_c")})
    others = weights(run(tmp_path / "others", trouble, passes=1, on_fault="drop", secure_aggregation=False))
    assert (everybody - others).abs().max() > 1e-5
    found = {}
    for stage in STAGES:
        made = run(tmp_path / stage, Trouble(lost={(stage, "site_03_c")}), passes=1, on_fault="drop")
        found[stage] = weights(made)
        assert [(one.site, one.kind, one.found) for one in made.incidents] == [("site_03_c", "error", "power cut")]
    for number, stage in enumerate(STAGES):
        assert (found[stage] - (others if number < 3 else everybody)).abs().max() < 1e-6, stage
    assert torch.equal(found["query.keys"], found["train"]) and torch.equal(
        found["query.consent"], found["query.unmask"]
    )


def test_with_fewer_than_the_threshold_the_run_stops_and_then_goes_on_to_the_same_weights(tmp_path, images):
    whole = run(tmp_path / "whole", passes=1, on_fault="drop")
    for stage in STAGES:
        lost = {(stage, "site_03_c"), (stage, "site_01_a")}
        with pytest.raises(RoundFailed, match=r"round 1: found usable answers of 3 sites .*power cut.*at least 4"):
            run(tmp_path / "cut", Trouble(lost=lost), passes=1, on_fault="drop")
    assert torch.equal(weights(run(tmp_path / "cut", passes=1, on_fault="drop")), weights(whole))


def test_killed_at_any_stage_it_goes_on_with_the_same_bits(tmp_path, images):
    """In the second round, at each stage before any site has answered, and after three have."""
    changes = {"adaptive": "kept", "local_weights": "to_pixels*"}
    whole = run(tmp_path / "whole", **changes)
    with pytest.raises(Killed):
        run(tmp_path / "cut", Trouble(killed=("query.keys", 5)), **changes)
    for stage in STAGES:
        for count in (0, 3):
            with pytest.raises(Killed):
                run(tmp_path / "cut", Trouble(killed=(stage, count)), **changes)
    again = run(tmp_path / "cut", **changes)
    assert torch.equal(weights(again), weights(whole)) and again.history == whole.history


def test_a_site_whose_process_ends_at_any_stage_is_asked_again_with_the_same_bits_in_the_end(tmp_path, images):
    """When it has done its work, and its answer is lost; each site at another stage."""
    whole = run(tmp_path / "whole", passes=1, adaptive="kept")
    crashed = set(zip(STAGES, SITES))
    made = run(tmp_path / "cut", Trouble(crashed=crashed), passes=1, adaptive="kept")
    assert torch.equal(weights(made), weights(whole)) and crashed == set()
    assert [(one.site, one.kind) for one in made.incidents] == [(site, "lost") for site in SITES]


@pytest.mark.parametrize("kept", range(1, 7))
def test_a_site_that_dies_while_it_writes_what_it_holds_is_asked_again(tmp_path, images, monkeypatch, kept):
    """At its 1st to 6th note of the round, of which the first two are both of stage 1."""
    whole = run(tmp_path / "whole", passes=1)
    honest, notes = Vault.write, []

    def dying(vault, held):
        if SITES[2] in held.session:
            notes.append(held)
            if len(notes) == kept:
                raise RuntimeError("site died")
        honest(vault, held)

    monkeypatch.setattr(Vault, "write", dying)
    made = run(tmp_path / "cut", passes=1)
    assert torch.equal(weights(made), weights(whole)) and len(made.incidents) == 1


def test_a_round_that_was_cut_off_while_it_was_unmasked_is_summed_over_the_same_sites_again(tmp_path, images):
    """Site c was away and is back: with it, the difference of both sums would be its update."""
    away, changes = {("query.keys", "site_03_c")}, {"passes": 1, "on_fault": "drop", "secure_threshold": 3}
    whole = run(tmp_path / "whole", Trouble(lost=away), **changes)
    with pytest.raises(Killed):
        run(tmp_path / "cut", Trouble(lost=away, killed=("query.unmask", 2)), **changes)
    with pytest.raises(RoundFailed, match="no answer of site_01_a, in a round that was summed with it before"):
        run(tmp_path / "cut", Trouble(lost={("train", "site_01_a")}), **changes)
    assert torch.equal(weights(run(tmp_path / "cut", **changes)), weights(whole))


def test_a_federation_that_stops_at_faults_stops_with_the_sites_name(tmp_path, images):
    with pytest.raises(RoundFailed, match="round 1, site site_02_b: found power cut"):
        run(tmp_path, Trouble(lost={("query.shares", "site_02_b")}))


def test_some_sites_a_round_and_shares_of_a_pass(tmp_path, images):
    """Rounds of three and two would be too small; five sites in shares of two are not."""
    with pytest.raises(UltraFMError, match="2 sites in a round"):
        run(tmp_path / "few", sites_per_round=3)
    secure, plain = (
        run(
            tmp_path / str(kind),
            passes=1,
            shares=2,
            site_batch_size=3,
            adaptive="server",
            server_optimizer="average",
            secure_aggregation=kind,
        )
        for kind in (True, False)
    )
    assert (weights(secure) - weights(plain)).abs().max() < 2e-6


def test_several_local_epochs_in_a_round(tmp_path, images):
    secure, plain = (
        run(
            tmp_path / str(kind), local_epochs=2, adaptive="server", server_optimizer="average", secure_aggregation=kind
        )
        for kind in (True, False)
    )
    assert (weights(secure) - weights(plain)).abs().max() < 2e-6 and secure.history[-1]["images"] == 28


def test_rounds_in_which_too_few_train_are_refused_before_training(tmp_path, images):
    """6 and 8 images are 2 steps of 4; of 4 shares, some have a step of two sites only."""
    with pytest.raises(UltraFMError, match="of 5 sites train, and 1 may drop out"):
        run(tmp_path, shares=4)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(("sites", "told"), [(1, "1 sites in a round"), (2, "each site reads the other's update")])
def test_one_or_two_sites_are_refused(tmp_path, images, sites, told):
    with pytest.raises(UltraFMError, match=told):
        run(tmp_path, sites=SITES[:sites])


@pytest.mark.parametrize("changes, told", [
    ({"aggregation": "median"}, "federation, aggregation: found 'median' with secure_aggregation"),
    ({"aggregation": "krum"}, "'mean': no rule can compare"), ({"aggregation": "trimmed_mean"}, "no rule can compare"),
    ({"guarded": True}, "federation, guarded: found True with secure_aggregation; expected False: no update can be"),
    ({"compression": "int8"}, "federation, compression"), ({"compression": "bf16"}, "federation, compression"),
    ({"weighting": "organs"}, "federation, weighting"),
    ({"secure_aggregation": False, "secure_threshold": 3}, "secure_threshold: found 3 without secure_aggregation"),
    ({"secure_threshold": 2}, "from 3 to 5"), ({"secure_threshold": 6}, "6 of 5 sites"),
])  # fmt: skip
def test_what_sums_cannot_do_is_refused_before_training(tmp_path, images, changes, told):
    with pytest.raises(UltraFMError, match=told):
        run(tmp_path, **changes)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    "bad, told", [(np.nan, "not finite"), (np.inf, "not finite"), (1e3, "one weight that is too large")]
)
def test_an_update_that_is_not_finite_or_too_far_does_not_enter_the_sum(tmp_path, images, monkeypatch, bad, told):
    """The site itself refuses: nobody else could see it."""
    honest = site_room.pack

    def broken(weights_now, start, *others, **more):
        arrays, lost = honest(weights_now, start, *others, **more)
        arrays["weights"] = arrays["weights"].copy()
        arrays["weights"][7] += bad
        return arrays, lost

    monkeypatch.setattr(site_room, "pack", broken)
    with pytest.raises(RoundFailed, match=f"site_01_a: found .*{told}"):
        run(tmp_path)


def test_a_site_that_lies_about_its_images_is_seen_in_the_sum(tmp_path, images, monkeypatch):
    """Not who it was."""
    honest = site_room.RoundOutcome

    def lying(count, *others):
        return honest(count - 1 if count == 14 else count, *others)

    monkeypatch.setattr(site_room, "RoundOutcome", lying)
    with pytest.raises(RoundFailed, match="found a sum of 49 images with weight 49; expected 50 images with weight 50"):
        run(tmp_path)


def test_a_site_binds_its_sum_to_the_round_whose_moments_it_began_from(tmp_path, images, monkeypatch):
    asked, honest = [], SiteRound.masked

    def listen(here, *about):
        asked.append((here.site, here.session.round, about[-1]))
        return honest(here, *about)

    monkeypatch.setattr(SiteRound, "masked", listen)
    run(tmp_path, passes=2, adaptive="kept")
    assert [one for one in asked if one[0] == SITES[0]] == [
        (SITES[0], 1, "last round 0"), (SITES[0], 2, "last round 1"),
    ]  # fmt: skip


def test_the_mean_loss_comes_through_the_sum(tmp_path, images):
    told = {True: [], False: []}
    for kind, kept in told.items():
        run(tmp_path / str(kind), secure_aggregation=kind, on_round=lambda _n, loss, kept=kept: kept.append(loss))
    assert told[True] == pytest.approx(told[False], abs=1e-5) and len(told[True]) == 2


def test_nothing_secret_is_left_after_a_run_and_files_are_the_sites_own(tmp_path, images):
    run(tmp_path, passes=1)
    files = [path for site in SITES for path in (tmp_path / "sites" / site / "secure").iterdir()]
    assert sorted(path.name for path in files) == ["held.json"] * 5 + ["lock"] * 5 + ["sums.json"] * 5
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(path.parent.stat().st_mode & 0o777 == 0o700 for path in files)
    held = [json.loads(path.read_text()) for path in files if path.name == "held.json"]
    assert all(one["secrets"] is None and one["shares"] == {} for one in held)


def test_secrets_lie_in_files_of_mode_0600_while_the_round_goes_on(tmp_path, images):
    with pytest.raises(Killed):
        run(tmp_path, Trouble(killed=("query.consent", 0)), passes=1)
    for site in SITES:
        folder = tmp_path / "sites" / site / "secure"
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
            "held.json": 0o600, "lock": 0o600, "masked.raw": 0o600,
        }  # fmt: skip
        assert json.loads((folder / "held.json").read_text())["secrets"]


def test_no_update_and_no_count_of_a_single_site_travels(tmp_path, images):
    """What a site answers in a round: names of records and of values, and masked numbers that look like noise."""
    trouble = Trouble()
    run(tmp_path, trouble, passes=1)
    answered = {kind: reply.content for kind, site, _message, reply in trouble.answers if site == SITES[0]}
    names = {kind: {name: sorted(record) for name, record in content.items()} for kind, content in answered.items()}
    assert names["train"] == {"arrays": ["masked"], "metrics": ["round"]}
    assert names["query.keys"] == {"keys": ["masking", "sealing", "signature"]}
    assert names["query.shares"] == {"sealed": SITES} and names["query.unmask"] == {"revealed": SITES}
    assert names["query.consent"] == {"consent": ["signature"]}
