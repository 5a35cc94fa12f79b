"""Running the designs: parts are kept and go on, questions are asked once, figures are drawn from what comes out."""

import made_designs
import numpy as np
import pandas as pd
import pytest

from ultrafm.downstream.designs import design_figures as figures
from ultrafm.downstream.designs import runs, summaries
from ultrafm.downstream.designs.settings import Settings, Tuning
from ultrafm.downstream.methods.aggregation import aggregate
from ultrafm.downstream.records import MACRO_AVERAGE
from ultrafm.downstream.tasks import TaskData

SETTINGS = Settings(
    shares=(0.5, 1.0), shots=(1, 2), repeats=2, kinds=("gain", "shadow"), tuned=(), tuning=Tuning(5, 1, 0)
)


@pytest.fixture
def data(monkeypatch) -> TaskData:
    """A task at two sites, whose pictures fill their frames."""
    found = made_designs.made_task(sites=2, patients=36, each=1)
    found.images[found.truth == 1, :4, :4] = 230
    monkeypatch.setattr(
        "ultrafm.downstream.designs.perturbations.scan_frames", lambda _, data: made_designs.whole_frames(data)
    )
    return found


def run(data: TaskData, place, settings: Settings = SETTINGS) -> dict[str, pd.DataFrame]:
    """Both encoders read pixels: this tests the runs, not the encoders."""
    jobs = runs.design_jobs({"mass": data}, {"federated": None, "random": None}, place, settings, place)
    for job in jobs:
        runs.compute_parts(job)
    return runs.tables_of(jobs)


def test_parts_are_kept_and_only_what_is_missing_is_computed(data, tmp_path) -> None:
    first = run(data, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert len(files) == 2 * len(runs.DESIGNS) and set(first) == set(runs.DESIGNS)
    gone = sorted(files)[0]
    gone.unlink()
    again = run(data, tmp_path)
    assert all(first[name].equals(again[name]) for name in first)
    assert {path for path, when in files.items() if path.stat().st_mtime_ns != when} == {gone}


def test_other_settings_pictures_or_answers_are_other_parts(data, tmp_path) -> None:
    kept = runs.design_jobs({"mass": data}, {"a": None}, tmp_path, SETTINGS, tmp_path)[0]
    changed = data.images.copy()
    changed[0, 0, 0] ^= 1
    others = [TaskData(**{**vars(data), "images": changed}), TaskData(**{**vars(data), "truth": 1 - data.truth})]
    found = {kept.part("tuning")}
    found |= {
        runs.design_jobs({"mass": one}, {"a": None}, tmp_path, SETTINGS, tmp_path)[0].part("tuning") for one in others
    }
    found.add(runs.design_jobs({"mass": data}, {"a": None}, tmp_path, Settings(seed=1), tmp_path)[0].part("tuning"))
    by_patient = TaskData(**{**vars(data), "task": data.task.model_copy(update={"unit": "patient"})})
    moved = TaskData(**{**vars(data), "table": data.table.assign(clip="a clip")})
    for one in (by_patient, moved):  # the same numbers, but another unit, or other clips to be put together
        found.add(runs.design_jobs({"mass": one}, {"a": None}, tmp_path, SETTINGS, tmp_path)[0].part("tuning"))
    assert len(found) == 6


def test_a_question_is_asked_once_and_of_images_first(data) -> None:
    by_patient = data.task.model_copy(update={"name": "by_patient", "unit": "patient"})
    again = TaskData(**{**vars(data), "task": by_patient})
    skipped = TaskData(**{**vars(data), "skipped": "too few"})
    other = TaskData(**{**vars(data), "truth": np.roll(data.truth, 1)})
    asked = runs.asked_once({"by_patient": again, "mass": data, "other": other, "skipped": skipped})
    assert list(asked) == ["mass", "other"]
    assert list(runs.asked_once({"by_patient": again})) == ["by_patient"]
    told = runs.left_out({"by_patient": again, "mass": data, "skipped": skipped}, SETTINGS).set_index("task")
    assert told.loc["by_patient", "why"] == runs.ASKED_ALREADY and told.loc["skipped", "why"] == "too few"
    assert set(told["what"]) == {"the whole task"}


def test_a_task_by_patient_is_answered_by_patient(data, tmp_path) -> None:
    by_patient = data.task.model_copy(update={"unit": "patient"})
    twice = made_designs.made_task(by_patient, patients=24)
    found = run(twice, tmp_path)["label_efficiency"]
    rows = found[(found["share"] == 1.0) & (found["encoder"] == "federated")]
    asked = twice.table.loc[twice.table["fold"] == "test", "patient"]
    assert len(rows) == asked.nunique() and set(rows["images"]) == {2}
    single = aggregate(rows.drop(columns="images"), "image")
    assert np.array_equal(single["score"], rows["score"])


def test_what_cannot_be_asked_is_a_table(data) -> None:
    table = runs.left_out({"mass": data}, Settings(shares=(0.01, 1.0), shots=(1, 40), repeats=2))
    assert list(table["what"]) == ["1% of patients", "40 patients a class"] and set(table["task"]) == {"mass"}


def test_every_figure_and_record_can_be_made_from_a_run(data, tmp_path) -> None:
    tables, said = run(data, tmp_path), made_designs.described(data)
    shares = summaries.condition_table(tables["label_efficiency"], ["share"], said)
    lost = summaries.change_table(
        tables["leave_one_site_out"], ["trained_on"], {"trained_on": "all sites"}, said, summaries.WITHIN_SITES
    )
    cells = summaries.condition_table(tables["site_matrix"], ["train_site", "test_site"], said)
    worse = summaries.condition_table(tables["robustness"], ["perturbation", "level"], said)
    tuned = summaries.tuning_table(tables["tuning"], said)
    drawn = [
        figures.curve_figure(shares, "share", "Few labels", "labelled patients", "{:.0%}"),
        figures.difference_figure(lost, lost["trained_on"], "Left out", "difference"),
        figures.matrix_figure(cells, "federated", "Sites"),
        figures.tuning_figure(tuned, "head", "difference"),
        figures.robustness_figure(worse, "Worse"),
    ]
    assert all(figure.alt and "nothing to show" not in figure.alt for figure in drawn)
    assert "site 02" not in figures.values_style(shares, ["share"]).to_html()
    records = summaries.design_records(shares, "label_efficiency", ["share"])
    assert {row["task"] for row in records} == {MACRO_AVERAGE} and {row["images"] for row in records} == {"simulated"}


def test_figures_without_rows_say_so(data, tmp_path) -> None:
    one_site = made_designs.made_task(patients=36, each=1)
    tables, said = run(one_site, tmp_path), made_designs.described(one_site)
    assert tables["site_matrix"].empty and tables["tuning"].empty
    cells = summaries.condition_table(tables["site_matrix"], ["train_site", "test_site"], said)
    lost = summaries.change_table(tables["leave_one_site_out"], ["trained_on"], {"trained_on": "all sites"}, said)
    away = summaries.elsewhere_changes(tables["site_matrix"], said)
    drawn = [
        figures.matrix_figure(cells, "federated", "Sites"),
        figures.tuning_figure(summaries.tuning_table(tables["tuning"], said), "head", "difference"),
        figures.difference_figure(lost, lost["trained_on"], "Left out", "difference"),
    ]
    assert all("nothing to show" in figure.alt for figure in drawn) and away.empty
    assert summaries.design_records(cells, "site_matrix", ["train_site", "test_site"], False) == []
