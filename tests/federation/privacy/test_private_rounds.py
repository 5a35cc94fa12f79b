"""Three sites federated with privacy of patients, in this process and in workers: same bits, budgets, what leaves."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict

from tests.federation.privacy.striped_patients import IMAGES, PRIVATE, RECIPE, SITES, put_in_place
from ultrafm.errors import UltraFMError
from ultrafm.federation import site as site_room
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.driver import drive, federate
from ultrafm.federation.grid import LocalGrid, PoolGrid
from ultrafm.federation.privacy.accounting import epsilon_of
from ultrafm.federation.privacy.at_site import train_protected
from ultrafm.federation.privacy.ledger import BUDGET, ledger_path, read_ledger
from ultrafm.federation.vector import to_vector
from ultrafm.files import write_json


class Killed(Exception):
    """Stands for the end of the process."""


def run(folder, federation=PRIVATE, on_round=None, curated=None):
    return federate(curated or folder / "curated", SITES, folder, RECIPE, federation, seed=5, on_round=on_round)


def kill_after(last):
    def on_round(number, _loss):
        if number == last:
            raise Killed

    return on_round


def entries(folder, site):
    return read_ledger(ledger_path(str(folder / "curated"), site))


def test_noisy_rounds_change_the_model_and_are_in_the_ledger(tmp_path, stripes):
    made = run(tmp_path)
    before = site_room.build_model(RECIPE, 5)
    assert not np.array_equal(to_vector(before), to_vector(made.model)) and np.isfinite(to_vector(made.model)).all()
    assert made.grey_scale.mean == 0.29 and made.grey_scale.deviation == 0.15
    for site, images in IMAGES.items():
        steps_of_pass = -(-len(images) // 2)
        found = entries(tmp_path, site)
        assert [(one.round, one.noise, one.secure) for one in found] == [(n, 1.0, False) for n in (1, 2, 3, 4)]
        assert sum(one.steps for one in found) == 2 * steps_of_pass
        assert {one.rate for one in found} == {1 / steps_of_pass}
    assert {row["loss"] for row in made.history} == {None}
    assert {row["validation_loss"] for row in made.history} == {None}
    assert [row["images"] for row in made.history] == [len(IMAGES[site]) for site in SITES] * 2


@pytest.mark.slow  # two workers import torch and flower
def test_the_same_bits_in_workers(tmp_path, stripes):
    here = run(tmp_path / "here")
    nodes = [
        {"site": site, "curated": str(tmp_path / "pool" / "curated"), "folder": str(tmp_path / "pool" / site)}
        for site in SITES
    ]
    grid = PoolGrid("tests.federation.privacy.striped_app:app", nodes, 2)
    try:
        there = drive(grid, SITES, tmp_path / "pool", RECIPE, PRIVATE, 5)
    finally:
        grid.close()
    assert np.array_equal(to_vector(here.model), to_vector(there.model))


@pytest.mark.parametrize("changes", [{}, {"compression": "int8"}, {"local_weights": "decoder*"}, {"proximal": 0.1}])
def test_a_killed_run_ends_with_the_same_bits_and_pays_once(tmp_path, stripes, changes):
    federation = replace(PRIVATE, **changes)
    whole = run(tmp_path / "whole", federation)
    with pytest.raises(Killed):
        run(tmp_path / "cut", federation, kill_after(3))
    resumed = run(tmp_path / "cut", federation)
    assert np.array_equal(to_vector(whole.model), to_vector(resumed.model))
    assert [one.round for one in entries(tmp_path / "cut", SITES[0])] == [1, 2, 3, 4]
    run(tmp_path / "cut" / "again", federation, curated=tmp_path / "cut" / "curated")
    assert len(entries(tmp_path / "cut", SITES[0])) == 4  # the same seed gives the same noise


def test_secure_noise_is_another_each_time_and_paid_each_time(tmp_path, stripes):
    federation = replace(PRIVATE, secure_noise=True)
    one, other = (run(tmp_path / name, federation, curated=tmp_path / "curated") for name in ("one", "other"))
    assert not np.array_equal(to_vector(one.model), to_vector(other.model))
    found = entries(tmp_path, SITES[1])
    assert [entry.round for entry in found] == [1, 2, 3, 4] * 2 and len({entry.answer for entry in found}) == 8


def test_seeded_noise_over_real_images_is_refused(tmp_path, monkeypatch):
    put_in_place(monkeypatch.setattr, simulated=False)
    with pytest.raises(UltraFMError, match=r"site_01_a.*noise from a seed over real images"):
        run(tmp_path)
    assert entries(tmp_path, SITES[0]) == []
    run(tmp_path / "secure", replace(PRIVATE, secure_noise=True, passes=1))
    assert len(entries(tmp_path / "secure", SITES[0])) == 2
    at_coordinator = replace(PRIVATE, privacy="sites", weighting="equal", delta=0.1)
    with pytest.raises(UltraFMError, match=r"site_01_a.*noise from a seed over real images"):
        run(tmp_path / "sites", at_coordinator)


def test_the_plans_budget_stops_the_run_before_the_round_that_exceeds_it(tmp_path, stripes):
    """Site a has 4 patients in steps of 2: a rate of 1/2, one step a round; the budget allows some of them."""
    whole = run(tmp_path / "whole", replace(PRIVATE, passes=4))
    assert whole.model is not None
    spent = [one.spending for one in entries(tmp_path / "whole", SITES[0])]
    budget = epsilon_of(spent[:5], PRIVATE.delta)
    with pytest.raises(UltraFMError) as told:
        run(tmp_path / "cut", replace(PRIVATE, passes=4, epsilon=budget))
    words = str(told.value)
    assert "round 6, site site_01_a" in words and "privacy budget" in words and "the plan says" in words
    assert f"epsilon {budget:.2f} spent; this round would make it" in words and f"at most {budget:g}" in words
    assert [one.round for one in entries(tmp_path / "cut", SITES[0])] == [1, 2, 3, 4, 5]
    with pytest.raises(UltraFMError, match=r"round 6, site site_01_a.*privacy budget"):
        run(tmp_path / "cut", replace(PRIVATE, passes=4, epsilon=budget))


def test_a_site_whose_budget_is_spent_is_dropped_where_faults_are(tmp_path, stripes):
    write_json(tmp_path / "curated" / "site_02_b" / BUDGET, {"epsilon": 1.0, "delta": 0.01})
    made = run(tmp_path, replace(PRIVATE, on_fault="drop"))
    dropped = {(one.round, one.site) for one in made.incidents}
    assert dropped and {site for _round, site in dropped} == {"site_02_b"}
    assert all("at most 1, as the site's manifest says" in one.found for one in made.incidents)
    allowed = [one.round for one in entries(tmp_path, "site_02_b")]
    assert {one for one, _site in dropped} == {1, 2, 3, 4} - set(allowed)


def test_a_sites_own_budget_counts_over_runs(tmp_path, stripes):
    federation = replace(PRIVATE, secure_noise=True, passes=1)
    run(tmp_path / "first", federation, curated=tmp_path / "curated")
    spent = epsilon_of([one.spending for one in entries(tmp_path, "site_03_c")], 0.01)
    write_json(tmp_path / "curated" / "site_03_c" / BUDGET, {"epsilon": spent * 1.01, "delta": 0.01})
    with pytest.raises(UltraFMError, match=r"round 1, site site_03_c.*the site's manifest says"):
        run(tmp_path / "second", federation, curated=tmp_path / "curated")
    assert len(entries(tmp_path, "site_03_c")) == 2


def test_the_same_round_of_the_same_run_with_less_noise_is_paid_again(tmp_path, stripes):
    """A coordinator cannot have the seeded noise of a cheap round taken away by asking once more."""
    here = site_room.open_site_model(RECIPE, (), torch.device("cpu"))
    weights, curated = here.weights.clone(), str(tmp_path / "curated")
    plan = site_room.RoundPlan(
        "run", 5, 1, 4, 0, [0], 1, 1, 2, 1, "server", 0.1, 0.0, "none", "", 0.3, 0.2, **PRIVATE.privacy_settings()
    )
    for noise in (1.0, 1.0, 0.5):
        here.weights.copy_(weights)
        train_protected(here, RECIPE, replace(plan, noise=noise), curated, SITES[1], tmp_path)
    assert [one.noise for one in entries(tmp_path, SITES[1])] == [1.0, 0.5]


@pytest.mark.parametrize("federation", [
    replace(PRIVATE, privacy="none", noise=0.0, clip=0.0, delta=0.0),
    replace(PRIVATE, privacy="sites", weighting="equal", delta=0.1),
])  # fmt: skip
def test_a_site_with_a_budget_tells_nothing_without_privacy_of_patients(tmp_path, stripes, federation):
    write_json(tmp_path / "curated" / "site_01_a" / BUDGET, {"epsilon": 1.0, "delta": 0.01})
    with pytest.raises(UltraFMError, match=f"a plan with privacy '{federation.privacy}', where the site's manifest"):
        run(tmp_path, federation)


def ask(folder, content, kind):
    nodes = [{"site": site, "curated": str(folder / "curated"), "folder": str(folder / site)} for site in SITES]
    grid = LocalGrid(REFERENCE, nodes)
    message = Message(RecordDict({name: ConfigRecord(one) for name, one in content.items()}), 2, kind)
    [reply] = grid.pull_messages(grid.push_messages([message]))
    return reply


def test_a_protected_site_tells_its_patients_and_no_grey_values(tmp_path, stripes, monkeypatch):
    monkeypatch.setattr(site_room, "describe_site", lambda *_: pytest.fail("images were looked at"))
    asked = {"config": {"organs": False, "licences": False, "privacy": "patients"}}
    reply = ask(tmp_path, asked, "query.describe")
    assert dict(reply.content["metrics"]) == {"images": 4, "grey": 0.0, "squares": 0.0}
    assert set(reply.content) == {"metrics", "names"}
    asked["config"]["organs"] = True
    reply = ask(tmp_path, asked, "query.describe")
    assert "a question for counts of organs under a plan with privacy" in reply.error.reason


def test_a_delta_too_large_for_the_smallest_site_is_refused(tmp_path, stripes):
    with pytest.raises(UltraFMError, match=r"site site_01_a, federation, delta: found delta 0\.25 with 4 patients"):
        run(tmp_path, replace(PRIVATE, delta=0.25))
    assert not ledger_path(str(tmp_path / "curated"), SITES[0]).exists()


def test_what_leaves_depends_on_images_through_noisy_sums_alone(tmp_path, stripes, monkeypatch):
    """With gradients of nothing, the answers of sites are the same whatever their images are."""

    def nothing(model, patients, *_):
        return {
            name: torch.zeros_like(one, dtype=torch.float64)
            for name, one in model.named_parameters()
            if one.requires_grad
        }

    monkeypatch.setattr("ultrafm.federation.privacy.training.sum_of_patients", nothing)
    sent = []
    honest = site_room.site_scans

    def listen(at):
        def on_round(_number, loss):
            assert math.isnan(loss)

        made = run(tmp_path / at, on_round=on_round)
        facts = [{key: value for key, value in row.items() if "bytes" not in key} for row in made.history]
        sent.append((to_vector(made.model).tobytes(), json.dumps(facts)))

    listen("one")
    for room in (site_room, "ultrafm.federation.privacy.at_site"):
        target = room if isinstance(room, str) else room.__name__
        monkeypatch.setattr(
            f"{target}.site_scans", lambda *about: replace(honest(*about), images=255 - honest(*about).images)
        )
    listen("other")
    assert sent[0] == sent[1]
