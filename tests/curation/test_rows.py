"""What a look at a site's rows finds before a picture is opened: files that are there by another name, and patients
written in two ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_archives import framed, made_manifest, made_source, save, speckle, write_table

from ultrafm.curation.reading.enough import task_warnings
from ultrafm.curation.reading.rows import Inspection, blank_row, look_at_site, similar_file
from ultrafm.manifests.schema import DicomSource, FolderSource, HubSource, SiteManifest

ORIGIN = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
NAMES = {"bilder/a.png": "Bilder/a.png", "b.png": "b.PNG"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Bilder\\a.png", "Bilder/a.png"),
        ("bilder/A.PNG", "Bilder/a.png"),
        ("b.png", "b.PNG"),
        ("D:\\Export\\Bilder\\a.png", "Bilder/a.png"),
        ("../Bilder/a.png", "Bilder/a.png"),
        ("a.png", ""),
        ("Bilder/c.png", ""),
        ("", ""),
    ],
)
def test_a_file_is_found_by_another_spelling(written, meant):
    assert similar_file(written, NAMES) == meant


def site_with(folder: Path, cells: list[dict]) -> Inspection:
    """A look at a site with the given rows and three pictures."""
    for name in ("img/a.png", "img/b.png", "img/c.png"):
        save(folder, name, framed(speckle(1)))
    write_table(folder, [{"label": "good", "mask": "", "clip": "", **row} for row in cells])
    found = look_at_site(made_manifest(), made_source(), folder)
    assert found is not None
    return found


def test_the_file_that_is_there_is_named_where_one_is_missing(tmp_path):
    files = ["img\\a.png", "img/b.PNG", "img/z.png", "img/c.png"]
    found = site_with(tmp_path, [{"file": name, "patient": str(n)} for n, name in enumerate(files)])
    wanted = "expected a file of that name in the site's folder"
    assert found.problems == [
        f"site_01_test, row 2: missing file: found no file img\\a.png; {wanted} (there is img/a.png: write it so)",
        f"site_01_test, row 3: missing file: found no file img/b.PNG; {wanted} (there is img/b.png: write it so)",
        f"site_01_test, row 4: missing file: found no file img/z.png; {wanted}",
    ]


def test_a_mask_by_another_spelling_is_named_too(tmp_path):
    found = site_with(tmp_path, [{"file": "img/a.png", "patient": "1", "mask": "IMG\\b.png"}])
    (problem,) = found.problems
    assert "no file IMG\\b.png" in problem and "(there is img/b.png: write it so)" in problem


def test_a_link_out_of_the_folder_is_not_offered(tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save(outside, "x.png", framed(speckle(1)))
    (tmp_path / "x.png").symlink_to(outside / "x.png")
    (problem,) = site_with(tmp_path, [{"file": "X.png", "patient": "1"}]).problems
    assert "missing file" in problem and "there is" not in problem


def test_rows_with_the_same_problem_are_told_together(tmp_path):
    cells = [{"file": "img/a.png", "patient": str(n), "label": "bad?" if n < 8 else "good"} for n in range(9)]
    (problem,) = site_with(tmp_path, cells).problems
    assert problem.startswith("site_01_test, rows 2, 3, 4, 5, 6 and 3 more: unknown label: found 'bad?'")


def with_task(rule: dict) -> SiteManifest:
    task = {
        "name": "mass", "kind": "diagnosis", "organ": "breast", "disease": "breast cancer",
        "positive": ["malignant"], "negative": ["benign"],
    }  # fmt: skip
    return made_manifest(tasks=[task], split=rule)


@pytest.mark.parametrize(
    ("rule", "positive", "told"),
    [
        ({"rule": "patients", "train": 0.6, "validation": 0.2}, 10, None),
        (
            {"rule": "patients", "train": 0.6, "validation": 0.2},
            9,
            "9 positive patients, by its split about 1.8 in ",
        ),
        ({"rule": "patients", "train": 0.2, "validation": 0.1}, 9, "about 1.8 in train and about 0.9 in validation"),
        ({"rule": "cross_validation", "train": 0.5}, 4, None),
        ({"rule": "cross_validation", "train": 0.5}, 3, "about 1.5 in evaluation; expected at least 2 in evaluation"),
        ({"rule": "pretrain_only"}, 1, None),
    ],
)
def test_a_task_with_too_few_patients_is_told_before_anything_is_read(rule, positive, told):
    labels = ["bad"] * positive + ["good"] * 40 + ["a word that is not known"] * 3
    rows = [blank_row(number, "a.png", str(number), label) for number, label in enumerate(labels)]
    rows += rows  # a patient with two pictures counts once
    found = task_warnings(with_task(rule), rows)
    assert [told in text for text in found] == [True] if told else found == []


def test_each_class_of_a_task_needs_patients():
    classes = {"none": ["normal"], "harmless": ["benign"], "cancer": ["malignant"]}
    task = {"name": "finding", "kind": "severity", "organ": "breast", "classes": classes}
    split = {"rule": "cross_validation", "train": 0.5}
    manifest = made_manifest(
        tasks=[task], split=split, label_map={"good": "benign", "bad": "malignant", "no": "normal"}
    )
    labels = ["bad"] * 3 + ["good"] * 4
    rows = [blank_row(number, "a.png", str(number), label) for number, label in enumerate(labels)]
    found = task_warnings(manifest, rows)
    assert ["0 none patients" in found[0], "3 cancer patients" in found[1], len(found)] == [True, True, 2]


def test_patients_with_another_organ_do_not_count_for_a_task():
    row = blank_row(2, "a.png", "1", "good")
    rows = [replace(row, patient=f"{label}{n}", label=label) for label in ("good", "bad") for n in range(30)]
    manifest = with_task({"rule": "patients"})
    assert task_warnings(manifest, rows) == []
    two = made_manifest(organs=["breast", "liver"], tasks=[manifest.tasks[0].model_dump()])
    elsewhere = [replace(row, organ="liver" if row.label == "bad" else "breast") for row in rows]
    (told,) = task_warnings(two, elsewhere)
    assert "found 0 positive patients" in told


def test_patients_in_two_spellings_are_a_warning_and_files_and_patients_are_counted(tmp_path):
    cells = [
        ("img/a.png", "P001"),
        ("img/b.png", "P001"),
        ("img/c.png", "p-1"),
        ("img/c.png", "P002"),
        ("img/c.png", ""),
    ]
    found = site_with(tmp_path, [{"file": name, "patient": patient} for name, patient in cells])
    assert [problem.split(":")[1] for problem in found.problems] == [" no patient"]
    (warning,) = found.warnings
    assert warning.startswith(
        "site_01_test, table metadata.csv, column patient: found the patients 'P001' in 2 rows and 'p-1' in 1 row"
    )
    assert "write each patient in one way" in warning
    assert (found.files, found.patients) == (3, 3)  # P001, p-1, P002


def test_the_place_of_patients_is_named_without_a_table(tmp_path):
    save(tmp_path, "P1/a.png", framed(speckle(1)))
    save(tmp_path, "p1/b.png", framed(speckle(2)))
    source = FolderSource.model_validate({"kind": "folder", **ORIGIN, "table": None, "patient_pattern": "^([^/]+)/"})
    found = look_at_site(made_manifest(source), source, tmp_path)
    assert found.problems == [] and (found.files, found.patients) == (2, 2)
    assert "site_01_test, patient_pattern on the paths: found the patients 'P1' in 1 row" in found.warnings[0]


def test_patients_of_dicom_headers_are_compared_too(tmp_path, monkeypatch):
    from ultrafm.curation.reading import rows

    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    ids = iter(["K 7", "k7"])
    monkeypatch.setattr(rows, "header_words", lambda _source, _path: (next(ids), ""))
    source = DicomSource.model_validate({"kind": "dicom", **ORIGIN})
    found = look_at_site(made_manifest(source), source, tmp_path)
    assert "header field PatientID: found the patients 'K 7' in 1 row and 'k7' in 1 row" in found.warnings[0]


def test_a_missing_table_is_one_problem_and_a_source_to_download_is_not_looked_at(tmp_path):
    found = look_at_site(made_manifest(), made_source(), tmp_path)
    assert len(found.problems) == 1 and "no such file" in found.problems[0] and found.warnings == []
    hub = HubSource.model_validate({"kind": "huggingface", "hub": "a/b", **ORIGIN})
    assert look_at_site(made_manifest(hub), hub, tmp_path) is None
