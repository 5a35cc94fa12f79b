import pytest

from ultrafm import study
from ultrafm.errors import UltraFMError
from ultrafm.profiles import load_profile, profile_names
from ultrafm.study import STEPS, Identity, claim_folder, only_run, open_step, plan_of, step_key

MINE = Identity("smoke", 0, "default", "data_manifests")


def test_needs_point_backwards():
    names = [step.name for step in STEPS]
    for place, step in enumerate(STEPS):
        assert set(step.needs) <= set(names[:place])


def test_every_step_has_a_notebook():
    assert {path.stem for path in study.NOTEBOOKS.glob("*.ipynb")} == {step.name for step in STEPS}


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
