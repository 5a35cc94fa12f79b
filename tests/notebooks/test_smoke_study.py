"""The whole study at its smallest: every notebook runs, every page is complete, a second run has nothing to do."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import papermill
import pytest

from ultrafm.cli import main
from ultrafm.files import hash_file, hash_folder, read_json
from ultrafm.profiles import load_profile
from ultrafm.reporting.html import external_references
from ultrafm.reporting.records import read_results
from ultrafm.reporting.runner import run_notebook
from ultrafm.study import NOTEBOOKS, REPOSITORY, STEP_NAMES

ULTRAFM = [sys.executable, "-m", "ultrafm"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder of a finished smoke study."""
    folder = tmp_path_factory.mktemp("study") / "smoke"
    assert main(["study", "--profile", "smoke", "--out", str(folder)]) == 0
    return folder


def test_every_step_leaves_a_page_that_opens_without_a_network(smoke):
    for name in ("index", *STEP_NAMES):
        page = (smoke / f"{name}.html").read_text()
        assert external_references(page) == [], name
        assert "simulated" in page.lower(), name


def test_results_cover_every_section_and_say_simulated(smoke):
    records = read_results(smoke / "results.json")["records"]
    sections = {record["section"] for record in records}
    assert {"curation", "pretraining", "diagnosis", "segmentation", "reader_study", "privacy"} <= sections
    assert {record["images"] for record in records} == {"simulated"}
    assert {record["readers"] for record in records if record["section"] == "reader_study"} == {"simulated"}


def test_headline_comparisons_have_intervals(smoke):
    records = read_results(smoke / "results.json")["records"]
    differences = [one for one in records if one["comparator"] and one["metric"] in ("auroc", "dice")]
    defined = [one for one in differences if one["ci_low"] is not None]
    assert {one["section"] for one in defined} == {"diagnosis", "segmentation", "reader_study", "controls"}
    assert all(one["ci_low"] <= one["estimate"] <= one["ci_high"] for one in defined)


def test_no_path_of_this_machine_is_in_the_results(smoke):
    text = (smoke / "results.json").read_text()
    assert str(smoke) not in text and str(REPOSITORY) not in text


def test_simulated_pictures_are_shown_and_measured(tmp_path, real_data):
    command = ["study", "--profile", "smoke", "--out", str(tmp_path / "out"), "--data-root", str(real_data)]
    assert main([*command, "--only", "simulated_pictures"]) == 0
    records = read_json(tmp_path / "out" / "simulated_pictures" / "records.json")
    sets = {record["method"].split("/")[1] for record in records if record["metric"] == "auroc"}
    assert sets == {"fair", "confounded"} and any(record["comparator"] == "real scans" for record in records)
    page = (tmp_path / "out" / "simulated_pictures.html").read_text()
    assert page.count("<img") > 8 and "(simulated)" in page


def test_the_run_is_accounted_for(smoke):
    run = read_json(smoke / "run.json")
    assert set(run["steps"]) == set(STEP_NAMES)
    assert all(step["status"] == "finished" for step in run["steps"].values())
    assert max(step["peak_memory_bytes"] for step in run["steps"].values()) < 4 * 2**30
    assert run["seed"] == 0 and len(run["manifests"]) == 17 and run["versions"]["torch"]


def test_a_second_run_has_nothing_to_do(smoke, capsys):
    before = hash_file(smoke / "results.json")
    assert main(["study", "--profile", "smoke", "--out", str(smoke)]) == 0
    assert capsys.readouterr().out.count("finished before, skipped") == len(STEP_NAMES)
    assert hash_file(smoke / "results.json") == before


def test_an_experiment_runs_on_top_of_the_study(smoke):
    before = hash_file(smoke / "results.json")
    command = ["study", "--profile", "smoke", "--out", str(smoke), "--only"]
    assert main([*command, "optimizer_state"]) == 0
    records = read_results(smoke / "results.json")["records"]
    settings = [one for one in records if one["task"] == "federation_setting"]
    assert len(settings) == 5 and {one["fold"] for one in settings} == {"validation"}
    page = (smoke / "optimizer_state.html").read_text()
    assert external_references(page) == [] and "simulated" in page.lower()
    shutil.rmtree(smoke / "optimizer_state")
    assert main([*command, "00_start_here"]) == 0
    assert hash_file(smoke / "results.json") == before


@pytest.mark.slow
def test_ways_of_working_together_are_compared_and_the_comparison_goes_on(smoke):
    before = hash_file(smoke / "results.json")
    study = ["study", "--profile", "smoke", "--out", str(smoke), "--only"]
    assert main([*study, "federation_choices"]) == 0
    folder = smoke / "federation_choices"
    records = read_json(folder / "records.json")
    assert {one["task"] for one in records} == {"trained_on", "setting", "how_different", "rule"}
    assert {one["fold"] for one in records} == {"validation"}, "no test fold"
    shutil.rmtree(min((folder / "trials").iterdir()))
    (folder / "records.json").unlink()
    assert main([*study, "federation_choices"]) == 0 and read_json(folder / "records.json") == records
    shutil.rmtree(folder)
    assert main([*study, "00_start_here"]) == 0
    assert hash_file(smoke / "results.json") == before


@pytest.mark.slow
def test_the_ablation_of_pretraining_runs_and_goes_on(smoke):
    before = hash_file(smoke / "results.json")
    study = ["study", "--profile", "smoke", "--out", str(smoke), "--only"]
    command = [*study, "pretraining_choices"]
    assert main(command) == 0
    folder = smoke / "pretraining_choices"
    records = read_json(folder / "records.json")
    assert {one["section"] for one in records} == {"ablation", "ablation_repeats"}
    assert {one["fold"] for one in records} == {"validation"}, "no test fold"
    first = (folder / "screening.csv").read_text()
    shutil.rmtree(smoke / "pretraining_choices" / "arms" / "texture_correct_clean_seed-0")
    (folder / "records.json").unlink()
    assert main(command) == 0 and (folder / "screening.csv").read_text() == first
    shutil.rmtree(folder)
    assert main([*study, "00_start_here"]) == 0
    assert hash_file(smoke / "results.json") == before


@pytest.mark.slow
def test_the_designs_of_evaluation_run_on_top_of_the_study_and_go_on(smoke):
    before = hash_file(smoke / "results.json")
    study = ["study", "--profile", "smoke", "--out", str(smoke), "--only"]
    assert main([*study, "evaluation_designs"]) == 0
    folder = smoke / "evaluation_designs"
    records = read_json(folder / "records.json")
    assert {one["section"] for one in records} == {"designs"} and {one["images"] for one in records} == {"simulated"}
    assert {one["method"].split("/")[0] for one in records} >= {"label_efficiency", "few_shot", "robustness"}
    parts = {path: path.stat().st_mtime_ns for path in (folder / "parts").glob("*.parquet")}
    gone = min(parts)
    gone.unlink()
    (folder / "records.json").unlink()
    assert main([*study, "evaluation_designs"]) == 0 and read_json(folder / "records.json") == records
    assert [path for path, when in parts.items() if path.stat().st_mtime_ns != when] == [gone]
    page = (smoke / "evaluation_designs.html").read_text()
    assert external_references(page) == [] and "simulated" in page.lower()
    shutil.rmtree(folder)
    assert main([*study, "00_start_here"]) == 0
    assert hash_file(smoke / "results.json") == before


def test_encoders_of_one_study_are_tested_on_the_pictures_of_another(smoke, tmp_path):
    shutil.copytree(smoke / "10_curate", tmp_path / "other" / "10_curate")
    parameters = {"out": str(tmp_path / "other"), "profile": "smoke", "bootstrap": 50, "workers": 1}
    parameters |= {"manifests": "data_manifests", "pretrained": str(smoke)}
    source = NOTEBOOKS / "experiments" / "phantom_to_real.ipynb"
    run = run_notebook(source, tmp_path / "page.ipynb", parameters)
    assert run.ok, run.error
    records = read_json(tmp_path / "other" / "phantom_to_real" / "records.json")
    assert {row["section"] for row in records} == {"transfer"} and {row["images"] for row in records} == {"simulated"}
    of_study = {row["method"]: row for row in read_json(smoke / "30_diagnosis" / "records.json") if is_average(row)}
    here = {row["method"]: row for row in records if is_average(row)}
    assert here["linear_probe/federated"]["estimate"] == of_study["linear_probe/federated"]["estimate"]
    page = (tmp_path / "page.ipynb").read_text()
    assert "pre-trained by all sites, images staying there" in page and "pre-trained at one site alone" in page
    missing = run_notebook(source, tmp_path / "page.ipynb", parameters | {"pretrained": str(tmp_path)})
    assert not missing.ok and "no finished step 20_pretrain" in missing.error


def test_measurements_of_a_study_without_such_a_task_are_those_of_drawn_scenes(smoke, tmp_path):
    for name in ("10_curate", "20_pretrain"):
        shutil.copytree(smoke / name, tmp_path / "study" / name)
    parameters = {"out": str(tmp_path / "study"), "profile": "smoke", "scene_sides": [32, 64], "scenes_each": 2}
    run = run_notebook(NOTEBOOKS / "experiments" / "measurements.ipynb", tmp_path / "page.ipynb", parameters)
    assert run.ok, run.error
    records = read_json(tmp_path / "study" / "measurements" / "records.json")
    assert {(row["method"], row["images"]) for row in records} == {("drawn_scenes", "simulated")}
    assert "No site of this study has a measurement task" in (tmp_path / "page.ipynb").read_text()


def is_average(row: dict) -> bool:
    """Is a record the average AUROC over tasks of one encoder?"""
    return row["task"] == "macro_average" and row["metric"] == "auroc" and row["comparator"] is None


def test_another_seed_in_the_same_folder_is_an_error(smoke, capsys):
    assert main(["study", "--profile", "smoke", "--out", str(smoke), "--seed", "1"]) == 1
    assert "another study (seed 0)" in capsys.readouterr().err


def test_plain_papermill_with_a_profile_file_runs_a_notebook(smoke, tmp_path):
    parameters = load_profile("smoke") | {"out": str(smoke)}
    papermill.execute_notebook(
        NOTEBOOKS / "00_start_here.ipynb", tmp_path / "out.ipynb", parameters, kernel_name="python3", progress_bar=False
    )  # fmt: skip
    assert "site_16" in (tmp_path / "out.ipynb").read_text()


def run_smoke(folder, *more):
    command = [*ULTRAFM, "study", "--profile", "smoke", "--out", str(folder), *more]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(smoke, tmp_path):
    assert run_smoke(tmp_path / "again").returncode == 0
    assert hash_file(smoke / "results.json") == hash_file(tmp_path / "again" / "results.json")


@pytest.mark.slow
def test_kill_in_pretraining_and_the_weights_are_the_same(smoke, tmp_path):
    """Kill the whole process group as soon as a federated round is saved; run the same command again."""
    folder = tmp_path / "killed"
    federated = folder / "20_pretrain" / "federated"
    command = [*ULTRAFM, "study", "--profile", "smoke", "--out", str(folder)]
    process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL)
    for _ in range(3000):
        if list(federated.glob("*.safetensors")):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(["pkill", "-9", "-f", str(folder)], check=False)
    assert list(federated.glob("*.safetensors"))
    again = run_smoke(folder)
    assert again.returncode == 0 and re.search("10_curate: finished before", again.stdout)
    for arm in ("random", "one_site", "pooled", "federated"):
        encoder = f"20_pretrain/encoders/{arm}"
        assert hash_folder(folder / encoder) == hash_folder(smoke / encoder), arm
    assert hash_file(folder / "results.json") == hash_file(smoke / "results.json")


@pytest.mark.slow
def test_a_study_without_tasks_runs_to_its_end_and_says_why_steps_are_empty(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    for name in ("vocabulary.yaml", "site_10_lavender_heart.yaml", "site_15_fjord_brain.yaml"):
        shutil.copy(REPOSITORY / "data_manifests" / name, manifests)
    done = run_smoke(tmp_path / "study", "--manifests", str(manifests))
    assert done.returncode == 0, done.stderr
    steps = read_json(tmp_path / "study" / "run.json")["steps"]
    assert {step["status"] for step in steps.values()} == {"finished"}
    for name in ("30_diagnosis", "40_segmentation", "50_reader_study"):
        page = (tmp_path / "study" / f"{name}.html").read_text()
        assert steps[name]["note"] and "NothingToDo" not in steps[name]["note"]
        assert "This step had nothing to do" in page and "Traceback" not in page
    assert done.stdout.count("no diagnosis task can be evaluated (no site has such a task)") == 1


@pytest.mark.slow
def test_real_sites_run_through_the_whole_study(real_data, tmp_path):
    manifests = ["--manifests", str(REPOSITORY / "tests" / "real_sites"), "--data-root", str(real_data)]
    done = run_smoke(tmp_path / "real", *manifests)
    assert done.returncode == 0, done.stderr
    records = read_results(tmp_path / "real" / "results.json")["records"]
    assert {record["images"] for record in records} == {"real"}
    tasks = {record["task"] for record in records}
    assert {"breast_mass", "liver_mass", "pneumonia", "breast_lesion", "liver_lesion", "nerve"} <= tasks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sections", "tasks"),
    [
        ("leakage", {"leakage"}, {"membership_inference", "inversion", "origin_of_update"}),
        ("privacy_costs", {"privacy_costs", "privacy"}, {"macro_average", "cost_of_protection"}),
    ],
)  # fmt: skip
def test_attacks_and_costs_of_protection_run_on_top_of_the_study(smoke, name, sections, tasks):
    before = hash_file(smoke / "results.json")
    study = ["study", "--profile", "smoke", "--out", str(smoke), "--only"]
    assert main([*study, name]) == 0
    records = read_json(smoke / name / "records.json")
    assert {one["section"] for one in records} == sections and tasks <= {one["task"] for one in records}
    assert "test" not in {one["fold"] for one in records}
    page = (smoke / f"{name}.html").read_text()
    assert external_references(page) == [] and "simulated" in page.lower()
    shutil.rmtree(smoke / name)
    assert main([*study, "00_start_here"]) == 0
    assert hash_file(smoke / "results.json") == before


def test_the_page_for_an_ethics_board_lies_beside_the_step_and_opens_alone(smoke):
    board = (smoke / "60_privacy" / "ethics_board.html").read_text()
    assert external_references(board) == [] and "no patient is behind them" in board
    assert "60_privacy/ethics_board.html" in (smoke / "60_privacy.html").read_text()
