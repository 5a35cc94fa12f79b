from dataclasses import replace

import pytest

from ultrafm import pipeline, study
from ultrafm.errors import UltraFMError
from ultrafm.profiles import load_profile, profile_names
from ultrafm.study import STEPS, Identity, claim_folder, only_run, open_step, plan_of, step_key

MINE = Identity("smoke", 0, "default", "data_manifests")


def test_needs_point_backwards():
    names = [step.name for step in STEPS]
    for place, step in enumerate(STEPS):
        assert set(step.needs) <= set(names[:place])


def test_every_step_has_a_notebook():
    assert set(study.NOTEBOOKS.glob("*.ipynb")) == {step.notebook for step in STEPS}
    assert set(study.NOTEBOOKS.glob("*/*.ipynb")) == {step.notebook for step in study.EXPERIMENTS}


def test_an_unknown_step_names_the_nearest():
    with pytest.raises(UltraFMError, match="did you mean '20_pretrain'"):
        plan_of("20_pretraining")


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(UltraFMError, match="did you mean 'laptop'"):
        load_profile("labtop")


def test_a_profile_must_carry_its_own_name(tmp_path):
    (tmp_path / "other.yaml").write_text("profile: smoke\n")
    with pytest.raises(UltraFMError, match="profile: other"):
        load_profile("other", tmp_path)


def test_profiles_exist():
    assert {"smoke", "laptop"} <= set(profile_names())


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (Identity("laptop", 0, "default", "data_manifests"), "profile"),
        (Identity("smoke", 1, "default", "data_manifests"), "seed"),
        (Identity("smoke", 0, "open", "data_manifests"), "source"),
        (Identity("smoke", 0, "default", "real_sites"), "manifests"),
    ],
)
def test_a_folder_holds_one_study(tmp_path, other, field):
    claim_folder(tmp_path, MINE)
    claim_folder(tmp_path, MINE)
    with pytest.raises(UltraFMError, match=f"another study \\({field}"):
        claim_folder(tmp_path, other)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UltraFMError, match="cannot be written"):
        claim_folder(tmp_path / "file" / "study", MINE)


def test_one_run_at_a_time(tmp_path):
    with only_run(tmp_path), pytest.raises(UltraFMError, match="another run"), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        assert True, "the lock is free again"


def test_a_step_asks_for_what_comes_before(tmp_path):
    step = open_step("30_diagnosis", str(tmp_path), "smoke", 0)
    with pytest.raises(UltraFMError, match=r"no finished step 10_curate.*run 10_curate.ipynb first"):
        step.input("10_curate")


def test_records_are_handed_on(tmp_path):
    open_step("30_diagnosis", str(tmp_path), "smoke", 0).save_records([{"id": "a"}])
    later = open_step("50_reader_study", str(tmp_path), "smoke", 0)
    assert later.input("30_diagnosis") == tmp_path / "30_diagnosis"
    assert later.all_records() == [{"id": "a"}]


def test_later_steps_take_the_studys_source_and_manifests(tmp_path):
    open_step("00_start_here", str(tmp_path), "smoke", 0, source="open", manifests="tests/real_sites")
    assert open_step("20_pretrain", str(tmp_path), "smoke", 0).folder.is_dir()
    with pytest.raises(UltraFMError, match="source"):
        open_step("00_start_here", str(tmp_path), "smoke", 0, source="phantom", manifests="tests/real_sites")


def test_the_key_of_a_step_sees_parameters_and_inputs_but_not_workers_or_place():
    plan = plan_of("50_reader_study")
    base = step_key(plan, {"seed": 0, "out": "a", "workers": 1}, ["x"])
    assert base == step_key(plan, {"seed": 0, "out": "b", "workers": 2}, ["x"])
    assert base != step_key(plan, {"seed": 1, "out": "a", "workers": 1}, ["x"])
    assert base != step_key(plan, {"seed": 0, "out": "a", "workers": 1}, ["y"])


@pytest.fixture
def no_files(monkeypatch):
    """Every step has the files that it is said to have."""
    monkeypatch.setattr(pipeline, "step_output", lambda folder, step: f"files of {step.name}")


def finished_run(plan):
    """run.json's value as if every step had just finished."""
    run = {"steps": {}}
    for step in STEPS:
        key = pipeline.current_key(plan, step, run)
        run["steps"][step.name] = {"status": "finished", "key": key, "output": f"files of {step.name}"}
    return run


def outdated(run):
    return [name for name, entry in run["steps"].items() if entry["status"] == "out of date"]


def test_steps_that_rest_on_a_changed_step_are_out_of_date(tmp_path, no_files, monkeypatch):
    plan = pipeline.plan_study("smoke", tmp_path, 0, "data_manifests", "", None)
    run, told = finished_run(plan), []
    pipeline.mark_outdated(plan, run, told.append)
    assert outdated(run) == [] and told == []
    run["steps"]["30_diagnosis"]["output"] = "other files"  # as after `--only 30_diagnosis`
    monkeypatch.setattr(pipeline, "step_output", lambda folder, step: run["steps"][step.name]["output"])
    pipeline.mark_outdated(plan, run, told.append)
    assert outdated(run) == ["50_reader_study", "90_report"]
    assert "50_reader_study: out of date" in told[0]


def test_a_step_whose_files_were_deleted_is_out_of_date(tmp_path):
    plan = pipeline.plan_study("smoke", tmp_path, 0, "data_manifests", "", None)
    run = {"steps": {"00_start_here": {"status": "finished", "output": "files that were there"}}}
    run["steps"]["00_start_here"]["key"] = pipeline.current_key(plan, STEPS[0], run)
    pipeline.mark_outdated(plan, run, lambda line: None)
    assert outdated(run) == ["00_start_here"]


def test_a_changed_parameter_puts_its_step_and_all_later_ones_out_of_date(tmp_path, no_files):
    plan = pipeline.plan_study("smoke", tmp_path, 0, "data_manifests", "", None)
    run = finished_run(plan)
    longer = replace(plan, parameters=plan.parameters | {"passes": 3})
    pipeline.mark_outdated(longer, run, lambda line: None)
    assert outdated(run) == [
        "20_pretrain", "30_diagnosis", "40_segmentation", "50_reader_study", "60_privacy", "90_report"
    ]  # fmt: skip
    assert "20_pretrain changed" in run["steps"]["30_diagnosis"]["error"]


def test_an_experiment_is_out_of_date_when_the_encoders_it_borrowed_are_trained_anew(tmp_path, no_files):
    plan = pipeline.plan_study("smoke", tmp_path / "here", 0, "data_manifests", "", None)
    plan = replace(plan, parameters=plan.parameters | {"pretrained": str(tmp_path / "other")})
    encoder = tmp_path / "other" / "20_pretrain" / "encoders" / "federated" / "model.safetensors"
    encoder.parent.mkdir(parents=True)
    step, run = plan_of("phantom_to_real"), finished_run(plan)
    keys = []
    for content in (b"first", b"second", b"first"):
        encoder.write_bytes(content)
        keys.append(pipeline.current_key(plan, step, run))
    assert keys[0] == keys[2] != keys[1]
    (tmp_path / "other").rename(tmp_path / "moved")
    moved = replace(plan, parameters=plan.parameters | {"pretrained": str(tmp_path / "moved")})
    assert pipeline.current_key(moved, step, run) == keys[0], "a place decides nothing"
    without = {name: value for name, value in plan.parameters.items() if name != "pretrained"}
    assert pipeline.current_key(replace(plan, parameters=without), step, run)  # the notebook's own default


def test_steps_are_ready_when_nothing_that_they_read_from_is_unfinished():
    first = pipeline.ready_steps(STEPS, [])
    assert [step.name for step in first] == ["00_start_here", "10_curate"]
    after = [
        plan_of(name) for name in ("30_diagnosis", "40_segmentation", "50_reader_study", "60_privacy", "90_report")
    ]
    ready = pipeline.ready_steps(after, [])
    assert [step.name for step in ready] == ["30_diagnosis", "40_segmentation", "60_privacy"]
    assert pipeline.ready_steps(after[2:], [plan_of("30_diagnosis")]) == [plan_of("60_privacy")]


def test_a_ledger_of_privacy_beside_the_stores_does_not_make_a_step_out_of_date(tmp_path):
    plan = plan_of("10_curate")
    store = tmp_path / "10_curate" / "sites" / "site_01_a" / "store.arrow"
    store.parent.mkdir(parents=True)
    store.write_text("pictures")
    before = study.step_output(tmp_path, plan)
    ledger = tmp_path / "10_curate" / "sites_privacy" / "site_01_a" / "ledger.json"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("{}")
    assert study.step_output(tmp_path, plan) == before
    store.write_text("other pictures")
    assert study.step_output(tmp_path, plan) != before
