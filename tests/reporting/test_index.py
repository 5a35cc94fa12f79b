"""The index page: numbers from records only, real and simulated apart, the paper on its own, nothing unescaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from ultrafm.reporting.html import Page, external_references
from ultrafm.reporting.index import write_index
from ultrafm.reporting.overview import reader_figure, section_figures
from ultrafm.reporting.records import merge_records, record
from ultrafm.reporting.tables import duration, headline_tables, memory, record_frame, reported_table, setting_table

PAPER_NUMBERS = ("0.927", "0.878")


def diagnosis(task: str, encoder: str, value: float | None, images: str, **more: Any) -> dict[str, Any]:
    words = {"section": "diagnosis", "task": task, "method": f"linear_probe/{encoder}", "metric": "auroc"}
    interval = {"ci_low": value - 0.1, "ci_high": value + 0.1, "ci_method": "clustered"} if value is not None else {}
    return record(estimate=value, images=images, fold="test", n=1200, n_patients=40, **words, **interval, **more)


def readers(level: str, value: float) -> dict[str, Any]:
    words = {"section": "reader_study", "task": "macro average", "metric": "auroc", "method": "linear_probe/federated"}
    words |= {"comparator": "readers", "level": level, "images": "real", "readers": "simulated"}
    return record(estimate=value, ci_low=value - 0.05, ci_high=value + 0.05, ci_method="delong", **words)


RECORDS = [
    diagnosis("macro_average", "federated", 0.811, "simulated", level="simulated images"),
    diagnosis("macro_average", "random", None, "simulated", level="simulated images"),
    diagnosis("macro_average", "federated", 0.722, "real", level="real images"),
    diagnosis("macro_average", "federated", -0.033, "real", level="real images", comparator="linear_probe/random"),
    diagnosis("liver", "federated", 0.644, "real"),
    readers("all", 0.012),
    readers("expert", -0.041),
]
RUN = {
    "profile": "<smoke>", "seed": 0, "git_commit": "c" * 40, "manifests": {"site_01_a": "1", "vocabulary": "2"},
    "parameters": {"image_size": 64, "size": "laptop", "rounds": 40},
    "steps": {
        "10_curate": {"status": "finished", "seconds": 3.6, "peak_memory_bytes": 5 * 2**28},
        "30_diagnosis": {"status": "failed", "error": "ValueError: <b>few</b>", "seconds": 1.0, "peak_memory_bytes": 0},
    },
}  # fmt: skip
PAGES = [Page("10_curate", "10_curate.html"), Page("30_diagnosis", "30_diagnosis.html")]


@pytest.fixture
def page(tmp_path: Path) -> BeautifulSoup:
    (tmp_path / "10_curate.html").write_text("there")
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG")
    path = write_index(tmp_path, merge_records([RECORDS]), RUN, PAGES, {"A <phantom>": picture})
    assert path == tmp_path / "index.html"
    return BeautifulSoup(path.read_text(), "html.parser")


def find_tables(page: BeautifulSoup, words: str) -> list[Tag]:
    return [table for table in page.find_all("table") if table.caption and words in table.caption.get_text()]


def test_index_opens_offline_and_escapes(page: BeautifulSoup) -> None:
    html = str(page)
    assert external_references(html) == []
    assert "<b>few" not in html and "<smoke>" not in html and "<script" not in html
    assert page.find("img")["alt"] == "A <phantom>" and page.find("img")["src"].startswith("data:image/png;base64,")


def test_real_and_simulated_stand_in_different_labelled_tables(page: BeautifulSoup) -> None:
    real, simulated = find_tables(page, "Disease diagnosis")
    assert "real images" in real.caption.get_text() and "0.722 [0.622, 0.822]" in real.get_text()
    assert "simulated images" in simulated.caption.get_text() and "0.811 [0.711, 0.911]" in simulated.get_text()
    assert "0.811" not in real.get_text() and "0.722" not in simulated.get_text()
    assert "not defined" in simulated.get_text()
    assert "−0.033 [−0.133, 0.067]" in real.get_text() and "0.644" not in page.get_text()
    (study,) = find_tables(page, "Reader study")
    assert "real images, simulated readers" in study.caption.get_text()
    assert "+0.012 [−0.038, 0.062]" in study.get_text()
    assert "The readers are simulated" in page.select_one(".notice").get_text()


def test_the_paper_has_a_table_of_its_own(page: BeautifulSoup) -> None:
    (paper,) = find_tables(page, "What the paper reports")
    for number in PAPER_NUMBERS:
        assert number in paper.get_text()
        assert sum(number in table.get_text() for table in page.find_all("table")) == 1
    assert "doi:10.1038/s41746-025-02085-0" in page.get_text()


def test_setting_says_what_differs(page: BeautifulSoup) -> None:
    (setting,) = find_tables(page, "differs from the paper")
    rows = {row.td.get_text(): row.find_all("td")[2].get_text() for row in setting.find_all("tr")[1:]}
    assert rows["Institutions"] == "1 site" and rows["Picture size"] == "64 x 64 pixels"
    assert rows["Encoder"] == "ViT of size laptop" and rows["Kind of images"] == "real and simulated"
    assert rows["Readers"] == "simulated"


def test_steps_failures_and_links(page: BeautifulSoup) -> None:
    (steps,) = find_tables(page, "Steps")
    assert "4 s" in steps.get_text() and "1.2 GiB" in steps.get_text() and "failed" in steps.get_text()
    assert "ValueError: <b>few</b>" in page.select_one(".banner").get_text()
    links = [link["href"] for link in page.select(".pages a")]
    assert links == ["10_curate.html"], "a page that does not exist is not linked"


def test_index_of_a_study_without_numbers(tmp_path: Path) -> None:
    html = write_index(tmp_path, merge_records([]), {}, []).read_text()
    assert "No step with numbers has finished yet" in html and external_references(html) == []


def test_headlines_put_values_first_and_the_main_encoder_on_top() -> None:
    made = [diagnosis("macro_average", encoder, 0.6, "real") for encoder in ("random", "pooled", "federated")]
    made += [diagnosis("macro_average", "federated", 0.1, "real", comparator="linear_probe/random")]
    (table,) = headline_tables(made)
    names = [f"linear probe: {name}" for name in ("federated", "pooled", "random", "federated − random")]
    assert table.frame[""].tolist() == names
    assert table.frame["images or cases"].tolist() == ["1,200"] * 4
    assert "simulated" not in table._repr_html_()


def test_headlines_show_two_ways_of_asking_and_the_controls_task_by_task() -> None:
    made = [diagnosis("macro_average", "federated", 0.6, "real")]
    made.append(made[0] | {"method": "ridge_probe/federated", "id": "ridge"})
    control = {"section": "controls", "metric": "auroc", "images": "real", "fold": "test"}
    for task, value in (("liver_mass", 0.55), ("breast_mass", 0.7)):
        made.append(record(task=task, method="shortcut/everything", estimate=value, **control))
        made.append(record(task=task, method="shortcut/size", estimate=value, **control))
        beside = {"method": "linear_probe/federated", "comparator": "shortcut/everything"}
        made.append(record(task=task, estimate=0.8 - value, **beside, **control))
    diagnosed, controls = headline_tables(made)
    assert diagnosed.frame[""].tolist() == ["linear probe: federated"]
    assert controls.frame[""].tolist() == [
        "breast mass, shortcut: everything",
        "liver mass, shortcut: everything",
        "breast mass, linear probe: federated − shortcut: everything",
        "liver mass, linear probe: federated − shortcut: everything",
    ]
    assert record_frame(made, "diagnosis", "auroc", differences=False)["model"].tolist() == ["linear probe"]


def test_record_frame_and_figures() -> None:
    frame = record_frame(RECORDS, "diagnosis", "auroc", differences=False)
    assert frame["task"].tolist()[0] == "liver" and frame["task"].iloc[-1] == "average over tasks"
    figures = section_figures(RECORDS, "diagnosis", "auroc", differences=False)
    titles = [figure.axes[0].get_title(loc="left") for figure in figures]
    assert titles == [f"Diagnosis, linear probe: AUROC ({images} images)" for images in ("real", "simulated")]
    assert section_figures(RECORDS, "segmentation", "dice", differences=True) == []
    (figure,) = reader_figure(RECORDS)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["all readers", "expert"]
    assert reader_figure(RECORDS[:3]) == []


def test_curated_images_come_from_records() -> None:
    curated = record(section="curation", metric="images_kept", estimate=1234, images="simulated", level="all_sites")
    rows = setting_table([curated], {}, 16).frame.set_index("")["this study"]
    assert rows["Images for pre-training"].startswith("1,234") and rows["Institutions"] == "16 sites, fictional"
    assert reported_table().frame["the paper reports"].tolist()[:2] == list(PAPER_NUMBERS)


def test_the_setting_says_how_models_were_chosen_and_training_cut() -> None:
    told = {"section": "diagnosis", "metric": "auroc", "estimate": 0.8, "images": "real"}
    tested = [record(**told, fold=fold) for fold in ("test", "cross-validation")]

    def rows(records: list, parameters: dict) -> dict:
        return setting_table(records, parameters, 16).frame.set_index("")["this study"]

    both = rows(tested, {})["Choice of the model"]
    assert "read once" in both and "inner groups" in both
    assert "inner groups" not in rows(tested[:1], {})["Choice of the model"]
    assert "validation fold" not in rows(tested[1:], {})["Choice of the model"]
    assert rows([], {})["Choice of the model"] == "no model was tested"
    cut = rows([], {"passes": 25, "shares": 1, "sites_per_round": 0})["Rounds of federation"]
    assert cut == "25 passes over all images, each in 1 share, all sites a round"


def test_steps_that_had_nothing_to_do_are_named_with_their_reason(tmp_path: Path) -> None:
    run = {"profile": "laptop", "steps": {"30_diagnosis": {"status": "finished", "note": "no site has a <task>"}}}
    text = write_index(tmp_path, {"records": []}, run, []).read_text()
    assert "step 30_diagnosis: no site has a &lt;task&gt;" in text and "nothing to do" in text
    run["steps"]["30_diagnosis"] |= {"status": "out of date", "error": "its input changed"}
    text = write_index(tmp_path, {"records": []}, run, []).read_text()
    assert "is out of date" in text and "Not in this study" not in text and "nothing to do" not in text


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (0.4, "0 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min")])
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
    assert memory(None) == "–" and memory(3 * 2**29) == "1.5 GiB"
