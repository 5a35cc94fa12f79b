"""The figures of the notebook name the kind of images, label their axes and survive a site without faults."""

from __future__ import annotations

import pytest
from made_archives import SITE, made_manifest, write_plain

from ultrafm.curation import curate_sites
from ultrafm.curation.figures import (
    flow_figure,
    folds_table,
    gallery_figure,
    left_out_figure,
    left_out_table,
    quality_figure,
)
from ultrafm.curation.records import curation_records


@pytest.fixture
def study(tmp_path):
    write_plain(tmp_path / "archive", patients=5)
    sites = [made_manifest()]
    table = curate_sites(sites, "local", tmp_path / "out", tmp_path, tmp_path / "archive", 0, 16, 1.0, 1)
    return tmp_path / "out", table


def test_every_figure_says_real_and_labels_its_axes(study):
    out, table = study
    for figure in (flow_figure(table), quality_figure(out, table), left_out_figure(out, table)):
        text = figure.get_suptitle() + "".join(axes.get_title(loc="left") + axes.get_title() for axes in figure.axes)
        assert "real" in text and "simulated" not in text
        assert all(axes.get_xlabel() for axes in figure.axes) and figure.alt
    assert "real" in gallery_figure(out, table).get_suptitle()


def test_flow_figure_draws_the_counts(study):
    _out, table = study
    widths = [bar.get_width() for bar in flow_figure(table).axes[0].patches]
    assert sum(widths) == table["rows"].sum() == 10


def test_tables_for_reading(study):
    out, table = study
    assert left_out_table(out, [SITE]).empty
    row = folds_table(table).iloc[0]
    told = [int(cell.split()[0]) for cell in row[["train", "validation", "test", "evaluation"]] if cell]
    assert sum(told) == 10


def test_records_count_each_site_and_all(study):
    records = curation_records(study[1])
    assert [(made["level"], made["metric"], made["estimate"]) for made in records] == [
        (SITE, "images_kept", 10), (SITE, "patients_kept", 5),
        ("all_sites", "images_kept", 10), ("all_sites", "patients_kept", 5),
    ]  # fmt: skip
    assert {(made["images"], made["ci_low"], made["section"]) for made in records} == {("real", None, "curation")}
