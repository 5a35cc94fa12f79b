"""Three small sites federated in this process; their images are put in place of stores on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation import site as site_room
from ultrafm.federation.driver import federate
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import load_vector, to_vector
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import as_scans
from ultrafm.pretraining.weights import load_facts

RECIPE = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1, batch_size=4)
SITES = ["site_01_a", "site_02_b", "site_03_c"]


class Killed(Exception):
    """Stands for the end of the process."""


def kill_after(last):
    """Ends a run when its round `last` is saved."""

    def on_round(number, _loss):
        if number == last:
            raise Killed

    return on_round


@pytest.fixture
def images(monkeypatch):
    """Stripes of another angle at each site; 6, 8, 10 training images, 2 for validation (c: none)."""

    def pictures(_curated, site, fold):
        number = SITES.index(site)
        count = {"train": 6 + 2 * number, "validation": 0 if number == 2 else 2}[fold]
        y, x = np.mgrid[:32, :32]
        shift = np.arange(count)[:, None, None]
        waves = np.sin((x * np.cos(number) + y * np.sin(number)) / 2 + shift)
        return as_scans(((waves + 1) * 127).astype(np.uint8), np.ones((count, 32, 32), bool))

    monkeypatch.setattr(site_room, "site_scans", pictures)


def run(folder, rounds=3, on_round=None, **changes):
    federation = Federation(passes=rounds, **{"adaptive": "kept"} | changes)
    made = federate(folder, SITES, folder, RECIPE, federation, seed=5, on_round=on_round)
    return made.model, made.grey_scale, made.history


def weights(model):
    return torch.cat([weight.flatten() for weight in model.state_dict().values()])


@pytest.mark.parametrize("adaptive", ["kept", "reset", "server"])
def test_training_together_lowers_the_loss(tmp_path, images, adaptive):
    _, _, history = run(tmp_path, rounds=10, shares=2, adaptive=adaptive)
    losses = [np.mean([row["loss"] for row in history if row["pass"] == number]) for number in (1, 10)]
    assert losses[1] < losses[0]
    assert [row["site"] for row in history[:3]] == SITES and len(history) == 3 * (1 + 10)
    assert history[2]["validation_loss"] is None and history[0]["validation_loss"] > history[-3]["validation_loss"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adaptive": "reset"},
        {"shares": 2},
        {"sites_per_round": 2},
        {"adaptive": "server", "shares": 2, "sites_per_round": 1},
    ],
)
def test_a_killed_run_ends_with_the_same_weights(tmp_path, images, changes):
    whole, _, history = run(tmp_path / "whole", rounds=4, **changes)
    with pytest.raises(Killed):
        run(tmp_path / "cut", rounds=4, on_round=kill_after(3), **changes)
    assert max(load_facts(path)["round"] for path in (tmp_path / "cut").glob("*.safetensors")) == 3
    resumed, _, again = run(tmp_path / "cut", rounds=4, **changes)
    assert torch.equal(weights(whole), weights(resumed)) and history == again


def test_a_round_that_was_cut_short_is_repeated_from_the_same_moments(tmp_path, images, monkeypatch):
    """Site c fails in round 3 after a and b have trained and kept new moments."""
    whole, _, _ = run(tmp_path / "whole", rounds=3)
    honest, calls = site_room.epoch_batches, []

    def fail_once(*arguments):
        calls.append(1)
        if len(calls) == 9:
            raise RuntimeError("power cut")
        return honest(*arguments)

    monkeypatch.setattr(site_room, "epoch_batches", fail_once)
    with pytest.raises(UltraFMError, match=r"round 3, site site_03_c.*power cut"):
        run(tmp_path / "cut", rounds=3)
    resumed, _, _ = run(tmp_path / "cut", rounds=3)
    assert torch.equal(weights(whole), weights(resumed))


def test_kept_and_reset_moments_differ_from_the_second_round_on(tmp_path, images):
    kept, reset = run(tmp_path / "kept", 1)[0], run(tmp_path / "reset", 1, adaptive="reset")[0]
    assert torch.equal(weights(kept), weights(reset))
    kept, reset = run(tmp_path / "kept2", 2)[0], run(tmp_path / "reset2", 2, adaptive="reset")[0]
    assert not torch.equal(weights(kept), weights(reset))


def test_a_state_of_other_settings_is_not_continued(tmp_path, images):
    run(tmp_path, rounds=1, weighting="equal")
    changed = run(tmp_path, rounds=1)[0]
    fresh = run(tmp_path / "fresh", rounds=1)[0]
    assert torch.equal(weights(changed), weights(fresh))


def test_lost_moments_are_named_and_not_made_up(tmp_path, images):
    with pytest.raises(Killed):
        run(tmp_path, rounds=2, on_round=kill_after(1))
    (tmp_path / "sites" / "site_02_b" / "memory_000001.safetensors").unlink()
    with pytest.raises(UltraFMError, match=r"site_02_b.*memory_000001"):
        run(tmp_path, rounds=2)


def test_a_site_without_training_images_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        site_room, "site_scans", lambda *_: as_scans(np.zeros((0, 32, 32), np.uint8), np.zeros((0, 32, 32), bool))
    )
    with pytest.raises(UltraFMError, match="site_01_a: found no training image"):
        run(tmp_path)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 12))
def test_the_shares_of_a_pass_hold_a_sites_images_once(images, batch_size, count):
    plans = [
        site_room.RoundPlan(5, 1, 9, 0, [0], 2, share, count, "kept", 0.1, 0.0, "none", "", 0.5, 0.2)
        for share in range(1, count + 1)
    ]
    shares = [site_room.batches_of_round(images, batch_size, plan, "site_01_a") for plan in plans]
    assert sorted(np.concatenate([rows for share in shares for rows in share])) == list(range(images))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_site_with_few_images_sits_rounds_out(tmp_path, images):
    """6 images in batches of 4 are two batches; of a pass's four rounds, it sits two out."""
    _, _, history = run(tmp_path, rounds=2, shares=4, site_batch_size=4, adaptive="reset")
    assert [row["images"] for row in history] == [0, 0, 0, 6, 8, 10, 6, 8, 10]
    assert all(row["loss"] > 0 for row in history[3:]) and history[0]["loss"] is None


def test_an_unknown_word_for_the_optimizer_names_the_nearest(tmp_path, images):
    with pytest.raises(UltraFMError, match="did you mean 'kept'"):
        run(tmp_path, adaptive="keep")


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_continued(tmp_path, images):
    whole, _, _ = run(tmp_path, rounds=3)
    _first, last = sorted(tmp_path.glob("checkpoint_*.safetensors"))
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"checkpoint_.*_000000003.*before it"):
        again, _, _ = run(tmp_path, rounds=3)
    assert torch.equal(weights(whole), weights(again))


def test_with_kept_moments_the_round_before_damage_can_be_repeated(tmp_path, images):
    """Two passes of two rounds, then a third that is cut short; the newest checkpoint is damaged."""

    whole, _, _ = run(tmp_path / "whole", rounds=3, shares=2)
    with pytest.raises(Killed):
        run(tmp_path / "cut", rounds=3, shares=2, on_round=kill_after(5))
    (newest,) = (tmp_path / "cut").glob("passing_*.safetensors")
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="before it"):
        again, _, _ = run(tmp_path / "cut", rounds=3, shares=2)
    assert torch.equal(weights(whole), weights(again))


def test_damaged_moments_are_named(tmp_path, images):
    with pytest.raises(Killed):
        run(tmp_path, rounds=2, on_round=kill_after(1))
    path = tmp_path / "sites" / "site_02_b" / "memory_000001.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UltraFMError, match=r"site_02_b.*memory_000001.*checksum"):
        run(tmp_path, rounds=2)


def test_a_loss_that_is_not_finite_names_site_round_and_pictures(tmp_path, images):
    with pytest.raises(
        UltraFMError, match=r"round \d+, site site_0.*step \d+, pictures .*a (loss|gradient) that is finite"
    ):
        run(tmp_path, rounds=9, adaptive="server", site_step=1e20)


def test_the_log_holds_the_loss_of_the_models_that_it_speaks_of(tmp_path, images):
    """Before training, every site measures the same model; after it, the one that is returned."""
    model, grey_scale, history = run(tmp_path, rounds=2, sites_per_round=1)
    for number, measured in ((0, build_model(RECIPE, 5)), (2, model)):
        rows = {row["site"]: row["validation_loss"] for row in history if row["pass"] == number}
        for site in SITES[:2]:
            here = site_room.open_site_model(RECIPE, (), torch.device("cpu"))
            load_vector(here.weights, to_vector(measured))
            plan = {"seed": 5, "last_round": 0, "grey_mean": grey_scale.mean, "grey_deviation": grey_scale.deviation}
            expected = site_room.validate_site(here, RECIPE, plan, "", site, tmp_path).loss
            assert rows[site] == pytest.approx(expected, rel=1e-6)


def test_a_run_that_was_cut_in_its_first_pass_goes_on_beside_a_longer_run_of_other_settings(tmp_path, images):
    whole, _, _ = run(tmp_path / "whole", rounds=1, shares=2)
    run(tmp_path / "cut", rounds=3, weighting="equal")  # leaves the state of its third round
    with pytest.raises(Killed):
        run(tmp_path / "cut", rounds=1, shares=2, on_round=kill_after(1))
    seen = []
    resumed, _, _ = run(tmp_path / "cut", rounds=1, shares=2, on_round=lambda number, _loss: seen.append(number))
    assert seen == [2] and torch.equal(weights(whole), weights(resumed))
