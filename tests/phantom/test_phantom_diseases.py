"""Diseases that are no lesion, findings by organ, wrong labels, sweeps as clips."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from phantom_makers import make_device, make_manifest, make_source

from ultrafm.curation import curate_site
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Planted
from ultrafm.phantom import archive_as_folder, write_archive
from ultrafm.phantom.anatomy import ORGANS, draw_body
from ultrafm.phantom.grid import geometry_of, grid_of
from ultrafm.phantom.patients import draw_patient, take_photo

LUNG = grid_of(geometry_of(make_device("convex")))
HEART = grid_of(geometry_of(make_device("phased sector")))


def bodies(organ, grid, label, count=30):
    return [draw_body(organ, grid, np.random.default_rng(seed), label) for seed in range(count)]


def columns_lit(tissue):
    """How unevenly lines are lit below the pleura: what B-lines do."""
    return tissue.echo_db[len(tissue.echo_db) // 2 :].mean(axis=0)[40:90].std()


def test_a_lung_with_covid_has_more_b_lines_and_weaker_a_lines():
    healthy, sick = (bodies("lung", LUNG, label) for label in ("normal", "COVID-19"))
    below = len(LUNG.depth) // 2
    assert np.mean([columns_lit(body) for body in sick]) > np.mean([columns_lit(body) for body in healthy])
    mirrors = [np.mean([body.mirror[below:].max() for body in group]) for group in (healthy, sick)]
    assert mirrors[1] < 0.6 * mirrors[0]


@pytest.mark.parametrize("label", sorted(ORGANS["lung"].diseased))
def test_a_sick_lung_lies_in_the_same_chest(label):
    healthy, sick = (bodies("lung", LUNG, one, 3) for one in ("normal", label))
    for one, other in zip(healthy, sick):
        np.testing.assert_array_equal(one.attenuation, other.attenuation)  # ribs


def test_consolidated_lung_scatters_like_tissue_below_the_pleura():
    share = {}
    for label in ("normal", "bacterial pneumonia"):
        zone = slice(int(0.32 * len(LUNG.depth)), int(0.42 * len(LUNG.depth)))
        share[label] = np.mean([(body.echo_db[zone, 45:85] > -5).mean() for body in bodies("lung", LUNG, label)])
    assert share["bacterial pneumonia"] > 1.3 * share["normal"]


def test_a_narrow_valve_has_a_jet_and_chalk_between_the_leaflets():
    healthy, sick = (bodies("heart", HEART, label, 8) for label in ("normal", "valve disease"))
    assert max(body.flow.max() for body in healthy) < 0.5 < 1.0 < min(body.flow.max() for body in sick)


@pytest.mark.parametrize("organ", ["heart", "lung"])
def test_a_disease_of_the_whole_organ_shows_and_has_no_mask(organ):
    device = make_device("convex")
    source = make_source({"normal": 1.0}, device)
    manifest = make_manifest(source, (organ,))
    person = draw_patient(manifest, source, 0, 1)
    for label in ORGANS[organ].diseased:
        other = take_photo(manifest, source, 0, replace(person, label=label), 0)
        assert not other.mask.any()
        assert not np.array_equal(np.asarray(other.image), np.asarray(take_photo(manifest, source, 0, person, 0).image))


def test_findings_by_organ_hold_for_that_organ_alone():
    source = make_source({"benign": 1.0}).model_copy(update={"findings_by_organ": {"lung": {"COVID-19": 1.0}}})
    manifest = make_manifest(source, ("lung", "breast"))
    people = [draw_patient(manifest, source, 0, number) for number in range(1, 30)]
    assert {(person.organ, person.label) for person in people} == {("lung", "COVID-19"), ("breast", "benign")}
    assert all((person.lesion is None) == (person.organ == "lung") for person in people)


def test_a_finding_that_the_organ_cannot_have_is_refused(tmp_path):
    source = make_source({"COVID-19": 1.0})
    with pytest.raises(UltraFMError, match="findings in the breast: found 'COVID-19'; expected one of normal, benign"):
        write_archive(make_manifest(source), source, tmp_path / "archive", 0)


def test_label_noise_changes_the_stated_label_of_its_share_of_patients_and_nothing_else(tmp_path):
    clean = make_source({"benign": 0.5, "malignant": 0.5})
    noisy = clean.model_copy(update={"label_noise": 0.2})
    draw = lambda source, number: draw_patient(make_manifest(source), source, 1, number)  # noqa: E731
    pairs = [(draw(clean, number), draw(noisy, number)) for number in range(1, 401)]
    wrong = [after.stated != after.label for _before, after in pairs]
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.06)  # three standard errors
    for before, after in pairs:
        assert before.stated == before.label == after.label and before.lesion.echo_db == after.lesion.echo_db
    write_archive(make_manifest(noisy), noisy, tmp_path / "archive", 1)
    rows = list(csv.DictReader((tmp_path / "archive" / "metadata.csv").open()))
    told = {row["patient"]: (row["label"], row["true_label"]) for row in rows}
    people = [after for _before, after in pairs[: len(told)]]
    assert told == {person.name: (person.stated, person.label) for person in people}


def test_faults_cannot_be_planted_where_there_are_clips_only(tmp_path):
    source = make_source({"benign": 1.0}, make_device("convex"), 3, 4, Planted(exact_duplicates=1))
    source = source.model_copy(update={"sweeps": "clip"})
    with pytest.raises(UltraFMError, match="planted: found clips only; expected pictures to plant faults in"):
        write_archive(make_manifest(source, ("liver",), ("3-D sweep",)), source, tmp_path / "archive", 0)


def test_sweeps_as_clips_are_curated_frame_by_frame_with_the_same_bytes_each_time(tmp_path):
    source = make_source({"benign": 1.0}, make_device("convex"), 3, 4).model_copy(update={"sweeps": "clip"})
    manifest = make_manifest(source, ("liver",), ("3-D sweep",))
    for name in ("one", "two"):
        write_archive(manifest, source, tmp_path / name, 0)
    files = sorted(path.name for path in (tmp_path / "one" / "images").iterdir())
    assert files == [f"P{number:04d}_sweep.avi" for number in (1, 2, 3)]
    for name in files:
        first, second = ((tmp_path / folder / "images" / name).read_bytes() for folder in ("one", "two"))
        assert first == second
    summary = curate_site(manifest, archive_as_folder(manifest, source), tmp_path / "out", tmp_path / "one", 0, 64)
    assert summary.flow["rows"] == 12 and summary.flow["quarantined"] == 0 and summary.flow["kept"] > 6
    assert summary.patients == 3
