"""The figures of the notebook name the kind of images, label their axes and survive a site without faults."""

from __future__ import annotations

import pytest
from made_archives import SITE, fan, made_manifest, save, write_plain

from ultrafm.curation import Places, Wish, curate_sites
from ultrafm.curation.close_look import look_at, pick_site
from ultrafm.curation.figures import (
    flow_figure,
    folds_table,
    gallery_figure,
    left_out_figure,
    left_out_table,
    look_figure,
    quality_figure,
    straightened_figure,
)
from ultrafm.curation.records import curation_records
from ultrafm.errors import UltraFMError


@pytest.fixture
def study(tmp_path):
    write_plain(tmp_path / "archive", patients=5)
    table = curate_sites([made_manifest()], places(tmp_path), Wish("local", 0, 16))
    return tmp_path / "out", table


def places(tmp_path):
    return Places(tmp_path / "out", tmp_path, tmp_path / "work", tmp_path, tmp_path / "archive")


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


def test_a_close_look_shows_what_was_found_and_what_is_stored(tmp_path):
    rows = write_plain(tmp_path / "archive", patients=2)
    picture, _inside = fan(3, text="J DOE")
    save(tmp_path / "archive", rows[0]["file"], picture)
    looks = look_at(made_manifest(), places(tmp_path), Wish("local", 0, 32), count=2)
    assert [look.area.kind for look in looks] == ["sector", "rectangle"] and not looks[0].simulated
    assert looks[0].stored.shape == (32, 32) and looks[0].scanned.shape == picture.shape
    figure = look_figure(looks)
    assert len(figure.axes) == 4 and "real" in figure.alt
    assert straightened_figure(looks).alt and straightened_figure(looks[1:]) is None


def test_the_site_of_the_close_look_can_be_chosen():
    linear, convex = made_manifest(), made_manifest(site="site_02_test", scan_modes=["convex"])
    assert pick_site([linear, convex], "") == convex and pick_site([linear], "") == linear
    assert pick_site([linear, convex], "site_01_test") == linear
    with pytest.raises(UltraFMError, match="did you mean 'site_01_test'"):
        pick_site([linear, convex], "site_01_tset")
