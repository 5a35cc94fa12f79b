"""What a run tells while it goes on and afterwards, and what is found before any site is waited for."""

import os
from types import SimpleNamespace

import pytest

from ultrafm import cli
from ultrafm.cli.federation import ask
from ultrafm.errors import UltraFMError
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.deployment import follow
from ultrafm.federation.deployment.control import SuperLinkAway
from ultrafm.federation.deployment.coordinate import Progress, read_progress, require_same_plan, run_rounds
from ultrafm.federation.deployment.follow import Follower, describe_status, run_plan
from ultrafm.federation.deployment.plans import allowed_keys, read_plan
from ultrafm.federation.grid import LocalGrid
from ultrafm.files import read_json

SITES = ("site_01_a", "site_02_b")


@pytest.fixture
def run_here(tmp_path, images):
    """Drives a plan over both sites in this process, as the ServerApp does over nodes."""

    def run(plan):
        nodes = [{"site": site, "curated": "", "folder": str(tmp_path / site)} for site in SITES]
        rounds = plan.federation.schedule(len(SITES), plan.file.seed).rounds
        path = plan.folder / "checkpoints"
        begun = max([int(one.stem.split("_")[2]) for one in path.glob("*.safetensors")], default=0)
        run_rounds(LocalGrid(REFERENCE, nodes), plan, rounds, Progress(plan.folder, rounds, begun))

    return run


class FakeControl:
    """A SuperLink at which these keys are online."""

    def __init__(self, keys):
        self.keys = keys

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def nodes(self):
        return [SimpleNamespace(key=key, online=True) for key in self.keys]

    def stop_run(self, run):
        raise SuperLinkAway


@pytest.fixture
def all_online(monkeypatch):
    monkeypatch.setattr(follow, "Control", lambda plan: FakeControl(allowed_keys(plan).values()))


def test_the_card_of_a_deployment_tells_the_licences_that_its_sites_told(write_plan, run_here):
    plan = read_plan(write_plan(training={"passes": 1}))
    run_here(plan)
    about = read_json(plan.folder / "encoder" / "config.json")["ultrafm"]
    assert about["licences"]["conditions"] == ["attribution", "non-commercial"]
    assert [site["publisher"] for site in about["licences"]["sites"]] == ["A clinic"] * 2
    card = (plan.folder / "encoder" / "README.md").read_text()
    assert "| site_01_a | 8 | CC BY-NC 4.0 |" in card and "site_02_b: Doe 2020" in card and "Images: real" in card


def test_rounds_stay_told_when_a_finished_model_is_run_again(write_plan, run_here, all_online):
    plan = read_plan(write_plan())
    run_here(plan)
    losses = read_progress(plan)["losses"]
    assert sorted(losses) == ["1", "2"]
    run_here(plan)
    again = read_progress(plan)
    assert again["losses"] == losses and again["state"] == "finished" and again["begun"] == 2
    lines, well = describe_status(plan.path)
    assert well and f"round 2: loss {losses['2']:.4f}" in lines


def test_losses_of_rounds_that_are_trained_again_are_forgotten(tmp_path):
    progress = Progress(tmp_path, 9)
    for number in (1, 2, 3):
        progress.add_round(number, number / 4, 1.0)
    assert Progress(tmp_path, 9, begun=2)._told["losses"] == {"1": 0.25, "2": 0.5}
    assert Progress(tmp_path, 9)._told["losses"] == {}


def test_a_follower_tells_new_rounds_only(write_plan):
    plan, said = read_plan(write_plan()), []
    progress = Progress(plan.folder, 3)
    progress.add_round(1, 0.5, 10.0)
    progress = Progress(plan.folder, 3, begun=1)
    progress.add_round(2, 0.25, 5.0)
    progress.set(state="failed", error="a site stayed away")
    assert Follower(plan, FakeControl([]), 1, said.append).follow() == "failed"
    assert said == [
        "goes on after round 1 of 3", "round 2 of 3: loss 0.2500; 5 s left", "failed: a site stayed away",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "well"),
    [
        ({"state": "running"}, True),
        ({"state": "finished"}, True),
        ({"state": "failed", "error": "x"}, False),
        ({"state": "running", "process": 2**22 + 1}, False),
    ],
)
def test_status_is_not_well_after_a_run_that_failed_or_died(write_plan, all_online, told, well):
    plan = read_plan(write_plan())
    Progress(plan.folder, 2).set(**{"process": os.getpid(), **told})
    lines, found = describe_status(plan.path)
    assert found is well and lines[:2] == [f"{site}: online" for site in SITES]
    assert cli.main(["federation", "status", str(plan.path)]) == (0 if well else 1)


def test_a_changed_plan_is_told_before_anything_is_started_or_waited_for(write_plan, plan_values, run_here):
    """What is done at faults, and how long is waited, may change; the sites' images are not known yet."""
    run_here(read_plan(write_plan()))
    require_same_plan(read_plan(write_plan(training={"passes": 2, "on_fault": "drop"}, wait_minutes=1)))
    for changes in (
        {"training": {"passes": 3}},
        {"seed": 6},
        {"network": {"size": "micro", "image_size": 32, "depth": 1}},
    ):
        with pytest.raises(
            UltraFMError, match=r"plan.yaml: found a plan other than .*at round 2; .*move that folder away"
        ):
            run_plan(write_plan(**changes), 0, print)
    with pytest.raises(UltraFMError, match="at round 2 with the sites site_01_a, site_02_b"):
        run_plan(write_plan(sites=plan_values["sites"][:1]), 0, print)


@pytest.mark.parametrize("ending", [EOFError, RuntimeError("input(): lost sys.stdin")])
def test_a_question_to_nobody_names_the_flag(monkeypatch, capsys, ending):
    def nobody(question):
        print(question, end="")
        raise ending

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(UltraFMError, match=r"nobody at the terminal.*nothing was sent.*--accept"):
        ask("Join? ")
    assert capsys.readouterr().out == "Join? \n"
