"""Three small sites federated in this process; their images are put in place of stores on disk."""

import contextlib
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation import site as site_room
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.driver import drive, federate
from ultrafm.federation.grid import LocalGrid
from ultrafm.federation.incidents import RoundFailed
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import load_vector, to_vector
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import as_scans
from ultrafm.pretraining.weights import load_facts, load_state

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
        {"adaptive": "server", "shares": 2, "compression": "int8"},
        {"adaptive": "reset", "compression": "bf16", "sites_per_round": 2},
        {"adaptive": "reset", "local_weights": "decoder* mask_token"},
        {"adaptive": "reset", "server_optimizer": "momentum", "proximal": 0.5},
        {"adaptive": "server", "server_optimizer": "yogi", "aggregation": "median"},
        {"local_weights": "decoder*", "compression": "bf16", "shares": 2},
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
    next(tmp_path.glob("sites/site_02_b/memory_*_000001.safetensors")).unlink()
    with pytest.raises(UltraFMError, match=r"site_02_b.*memory_\w+_000001"):
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
        site_room.RoundPlan("run", 5, 1, 9, 0, [0], 2, share, count, 1, "kept", 0.1, 0.0, "none", "", 0.5, 0.2)
        for share in range(1, count + 1)
    ]
    shares = [site_room.batches_of_round(images, batch_size, plan, "site_01_a") for plan in plans]
    assert sorted(np.concatenate([rows for share in shares for rows in share])) == list(range(images))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_two_local_epochs_are_two_passes_without_a_meeting(tmp_path, images):
    """Passes 3 and 4 in one round: the batches of both, in that order."""
    plan = site_room.RoundPlan("run", 5, 1, 2, 0, [0], 4, 1, 1, 2, "kept", 0.1, 0.0, "none", "", 0.5, 0.2)
    both = site_room.batches_of_round(10, 4, plan, "site_01_a")
    single = [
        rows
        for number in (3, 4)
        for rows in site_room.batches_of_round(10, 4, replace(plan, pass_number=number, local_epochs=1), "site_01_a")
    ]
    assert [rows.tolist() for rows in both] == [rows.tolist() for rows in single] and len(both) == 6
    _, _, history = run(tmp_path, rounds=4, local_epochs=2, site_batch_size=4, adaptive="reset")
    assert [row["pass"] for row in history] == [0, 0, 0, 2, 2, 2, 4, 4, 4]
    assert [row["images"] for row in history[3:6]] == [12, 16, 20]


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
    path = next(tmp_path.glob("sites/site_02_b/memory_*_000001.safetensors"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UltraFMError, match=r"site_02_b.*memory_\w+_000001.*checksum"):
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
            plan = {
                "run": "",
                "seed": 5,
                "last_round": 0,
                "grey_mean": grey_scale.mean,
                "grey_deviation": grey_scale.deviation,
            }
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


def break_site(monkeypatch, name, rounds):
    """Let a site fail in these rounds."""
    honest = site_room.batches_of_round

    def batches(images, size, plan, site):
        if site == name and plan.round in rounds:
            raise RuntimeError("out of memory")
        return honest(images, size, plan, site)

    monkeypatch.setattr(site_room, "batches_of_round", batches)


@pytest.mark.parametrize("adaptive", ["kept", "server"])
def test_a_run_that_drops_faults_goes_on_and_records_them(tmp_path, images, monkeypatch, adaptive):
    break_site(monkeypatch, "site_02_b", (2, 3))
    federation = Federation(passes=5, adaptive=adaptive, on_fault="drop")
    made = federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5)
    assert [(one.round, one.site, one.kind) for one in made.incidents] == [
        (2, "site_02_b", "error"), (3, "site_02_b", "error"),
    ]  # fmt: skip
    assert "out of memory" in made.incidents[0].found
    images_seen = {row["pass"]: row["images"] for row in made.history if row["site"] == "site_02_b"}
    assert images_seen == {0: 0, 1: 8, 2: 0, 3: 0, 4: 8, 5: 8}


def test_incidents_survive_the_end_of_the_process(tmp_path, images, monkeypatch):
    break_site(monkeypatch, "site_01_a", (2,))
    federation = Federation(passes=5, adaptive="kept", on_fault="drop")
    whole = federate(tmp_path / "whole", SITES, tmp_path / "whole", RECIPE, federation, seed=5)
    with pytest.raises(Killed):
        federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5, on_round=kill_after(3))
    again = federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5)
    assert again.incidents == whole.incidents and len(again.incidents) == 1
    assert torch.equal(weights(whole.model), weights(again.model)) and whole.history == again.history


def test_a_round_without_enough_sites_ends_the_run_with_an_error(tmp_path, images, monkeypatch):
    break_site(monkeypatch, "site_02_b", (2,))
    with pytest.raises(UltraFMError, match=r"round 2: found usable answers of 2 sites \(site_02_b: .*out of memory"):
        run(tmp_path, on_fault="drop", least_sites=3)


def test_weights_that_stay_at_sites_learn_there_and_nowhere_else(tmp_path, images):
    model, _, history = run(tmp_path, rounds=6, adaptive="kept", local_weights="decoder* to_pixels* mask_token")
    start, end = dict(build_model(RECIPE, 5).named_parameters()), dict(model.named_parameters())
    own = [name for name in start if name.startswith(("decoder", "to_pixels", "mask_token"))]
    assert own and all(torch.equal(start[name], end[name]) for name in own)
    assert any(not torch.equal(start[name], end[name]) for name in start if name not in own)
    kept = [load_state(path)[0] for path in sorted(tmp_path.glob("sites/*/memory_*_000006.safetensors"))]
    assert len(kept) == 3 and not torch.equal(kept[0]["own/to_pixels.weight"], kept[1]["own/to_pixels.weight"])
    losses = [np.mean([row["validation_loss"] for row in history if row["pass"] == n][:2]) for n in (0, 6)]
    assert losses[1] < losses[0]


def test_the_pull_of_fedprox_keeps_sites_nearer_to_what_they_were_sent(tmp_path, images):
    def moved(proximal):
        model = run(tmp_path / str(proximal), rounds=1, adaptive="server", server_optimizer="average", site_step=0.5,
                    site_batch_size=1, proximal=proximal)[0]  # fmt: skip
        return float((weights(model) - weights(build_model(RECIPE, 5))).norm())

    far, near, nearer = moved(0.0), moved(0.5), moved(5.0)
    assert far > near > nearer > 0


def test_a_pull_of_nothing_changes_nothing(tmp_path, images):
    plain, pulled = run(tmp_path / "a", adaptive="server")[0], run(tmp_path / "b", adaptive="server", proximal=1e-30)[0]
    assert weights(pulled) == pytest.approx(weights(plain), abs=1e-6)


@pytest.mark.parametrize("compression, share", [("bf16", 0.5), ("int8", 0.25)])
def test_compression_saves_what_it_says_and_learns_as_well(tmp_path, images, compression, share):
    _, _, plain = run(tmp_path / "plain", rounds=8, adaptive="server")
    _, _, small = run(tmp_path / "small", rounds=8, adaptive="server", compression=compression)
    received = [sum(row["bytes_received"] for row in history) for history in (plain, small)]
    assert received[1] / received[0] == pytest.approx(share, rel=0.02)
    ends = [np.mean([row["validation_loss"] for row in one if row["pass"] == 8][:2]) for one in (plain, small)]
    assert ends[1] == pytest.approx(ends[0], rel=0.02)


def test_sites_tell_of_organs_only_when_weights_go_by_them(tmp_path, images, monkeypatch):
    asked = []

    def organs(_curated, site):
        asked.append(site)
        return {"liver": 2, "heart": 4 + 2 * SITES.index(site)}

    monkeypatch.setattr("ultrafm.federation.client_app.site_organs", organs)
    run(tmp_path / "a", rounds=1)
    assert asked == []
    run(tmp_path / "b", rounds=1, weighting="organs")
    assert asked == SITES


@pytest.mark.parametrize("names, told", [
    (["site_01_a", "site_01_a", "site_03_c"], "site_01_a: found two nodes"),
    (["site_01_a", "site_02_b"], "site_03_c: found no node"),
    (["site_01_a", "site_02_b", "site_03_x"], "did you mean 'site_03_c'"),
])  # fmt: skip
def test_nodes_that_are_not_the_sites_of_the_plan_are_told(tmp_path, images, names, told):
    grid = LocalGrid(REFERENCE, [{"site": name, "curated": "", "folder": str(tmp_path / name)} for name in names])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ultrafm.federation.client_app.describe_site", lambda _curated, site: (4, 1.0, 1.0))
        with pytest.raises(UltraFMError, match=told):
            drive(grid, SITES, tmp_path, RECIPE, Federation(passes=1), seed=5)


def test_a_restarted_run_that_drops_faults_goes_on_without_a_site_that_is_gone(tmp_path, images):
    federation = Federation(passes=4, adaptive="reset", on_fault="drop")
    with pytest.raises(Killed):
        federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5, on_round=kill_after(2))
    grid = LocalGrid(REFERENCE, [{"site": one, "curated": "", "folder": str(tmp_path / one)} for one in SITES[:2]])
    made = drive(grid, SITES, tmp_path, RECIPE, federation, seed=5)
    assert {one.site for one in made.incidents} == {"site_03_c"} and {one.round for one in made.incidents} == {3, 4}
    assert [row["images"] for row in made.history if row["site"] == "site_03_c"] == [0, 10, 10, 0, 0]


@pytest.mark.parametrize("changes, told", [
    ({"aggregation": "avarage"}, "aggregation"), ({"compression": "int4"}, "did you mean 'int8'"),
    ({"server_optimizer": "adams"}, "did you mean 'adam'"), ({"on_fault": "ignore"}, "on_fault"),
    ({"weighting": "image"}, "did you mean 'images'"), ({"proximal": -1}, "proximal"),
    ({"site_batch_size": 0}, "site_batch_size"), ({"site_step": 0}, "site_step"),
    ({"local_weights": "decodr*"}, "no weight matches"),
])  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, images, changes, told):
    with pytest.raises(UltraFMError, match=told):
        run(tmp_path, **changes)


@pytest.fixture
def full_disk():
    """A way to let files grow no more, as on a full disk, for the time of a block."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    @contextlib.contextmanager
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield full
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_the_run_goes_on_from_the_state_before(tmp_path, images, full_disk):
    whole, _, history = run(tmp_path / "whole", adaptive="reset")
    with pytest.raises(Killed):
        run(tmp_path / "cut", adaptive="reset", on_round=kill_after(1))
    with full_disk(), pytest.raises(UltraFMError, match=r"checkpoint_.*MB that can be written.*make room"):
        run(tmp_path / "cut", adaptive="reset")
    assert [path.suffix for path in (tmp_path / "cut").iterdir() if path.is_file()] == [".safetensors"]
    resumed, _, again = run(tmp_path / "cut", adaptive="reset")
    assert torch.equal(weights(whole), weights(resumed)) and history == again


def test_a_site_does_not_take_the_memory_of_another_run(tmp_path, images, monkeypatch):
    """A run that was cut is continued after another run in the same folder had begun: it is told, not wrong."""
    with pytest.raises(Killed):
        run(tmp_path, rounds=3, on_round=kill_after(1))
    with monkeypatch.context() as patch:
        break_site(patch, "site_03_c", (1,))
        with pytest.raises(RoundFailed, match="site_03_c"):
            federate(tmp_path, SITES, tmp_path, RECIPE, Federation(passes=3, adaptive="kept"), seed=6)
    with pytest.raises(UltraFMError, match=r"site site_01_a, memory_.*no such file"):
        run(tmp_path, rounds=3)


def test_what_is_done_at_faults_can_be_changed_when_a_run_has_stopped_at_one(tmp_path, images, monkeypatch):
    break_site(monkeypatch, "site_02_b", (3,))
    with pytest.raises(RoundFailed, match="round 3, site site_02_b"):
        run(tmp_path, rounds=4)
    seen = []
    run(tmp_path, rounds=4, on_fault="drop", least_sites=2, on_round=lambda number, _loss: seen.append(number))
    assert seen == [3, 4]


def test_where_nothing_may_be_lost_a_state_of_other_settings_is_refused(tmp_path, images):
    with pytest.raises(Killed):
        run(tmp_path, rounds=3, on_round=kill_after(2))
    grid = LocalGrid(REFERENCE, [{"site": one, "curated": "", "folder": str(tmp_path / one)} for one in SITES])
    with pytest.raises(UltraFMError, match=r"other settings or other images, at round 2.*move the folder away"):
        drive(grid, SITES, tmp_path, RECIPE, Federation(passes=4, adaptive="kept"), seed=5, begin_anew=False)


@pytest.mark.parametrize("told", [
    {"grey": float("nan")}, {"images": -5}, {"squares": 1e9}, {"grey": -1.0}, {"images": 2.5}, {"grey": "much"},
])  # fmt: skip
def test_a_description_that_cannot_be_is_told_with_the_site(tmp_path, images, told):
    def describing(_curated, site):
        usual = {"images": 6, "grey": 3.0, "squares": 2.0} | (told if site == SITES[1] else {})
        return tuple(usual.values())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ultrafm.federation.client_app.describe_site", describing)
        with pytest.raises(UltraFMError, match=r"site_02_b|node 3"):
            run(tmp_path)


@pytest.mark.parametrize("changes, told", [
    ({"least_sites": 3, "sites_per_round": 2}, "least_sites"),
    ({"aggregation": "krum"}, "aggregation krum: found 3 updates"),
    ({"aggregation": "trimmed_mean", "shares": 5}, "aggregation trimmed_mean"),
])  # fmt: skip
def test_a_plan_that_cannot_come_to_its_end_is_refused_before_training(tmp_path, images, changes, told):
    with pytest.raises(UltraFMError, match=told):
        run(tmp_path, **changes)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_known_site_that_fails_at_a_restart_is_dropped_where_faults_are(tmp_path, images, monkeypatch):
    federation = Federation(passes=3, adaptive="reset", on_fault="drop")
    with pytest.raises(Killed):
        federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5, on_round=kill_after(1))
    honest = site_room.site_scans

    def broken(curated, site, fold):
        if site == SITES[0]:
            raise OSError("disk gone")
        return honest(curated, site, fold)

    monkeypatch.setattr(site_room, "site_scans", broken)
    made = federate(tmp_path, SITES, tmp_path, RECIPE, federation, seed=5)
    assert {one.site for one in made.incidents} == {SITES[0]}
    assert {one.round for one in made.incidents} == {0, 2, 3}
