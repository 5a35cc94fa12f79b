"""The manifests that come with the project say what they promise, and agree with the real data at hand."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from ultrafm.manifests import (
    check_manifests,
    gather_tasks,
    is_simulated,
    load_site,
    load_sites,
    load_vocabulary,
    sites_table,
    write_sites_table,
)
from ultrafm.manifests.schema import (
    ArchiveFile,
    ArchiveSource,
    Deidentification,
    DicomSource,
    FolderSource,
    HubColumns,
    HubSource,
    MatlabPictures,
    PhantomSource,
    Quality,
    SideFile,
    SiteManifest,
    VideoSource,
)
from ultrafm.manifests.table import BEGIN, END, replace_table, simulated_images

ROOT = Path(__file__).parents[2]
SIMULATED = ROOT / "data_manifests"
REAL = ROOT / "tests" / "real_sites"


def phantom_of(manifest: SiteManifest) -> PhantomSource:
    source = manifest.sources.phantom
    assert isinstance(source, PhantomSource)
    return source


def open_of(manifest: SiteManifest) -> FolderSource:
    source = manifest.sources.open
    assert isinstance(source, FolderSource)
    return source


def test_the_simulated_sites_cover_countries_organs_modalities_and_probes() -> None:
    report = check_manifests(SIMULATED)
    assert report.problems == []
    assert len(report.lines) == 16
    assert report.totals == {"sites": 16, "countries": 12, "organs": 19, "modalities": 10}
    modes = Counter(phantom_of(manifest).device.scan_mode for manifest in load_sites(SIMULATED))
    assert set(modes) == {"linear", "convex", "phased sector", "endocavity"}


def test_no_two_simulated_scanners_look_alike() -> None:
    devices = [phantom_of(manifest).device for manifest in load_sites(SIMULATED)]
    looks = {tuple(value for name, value in device.model_dump().items() if name != "name") for device in devices}
    assert len(looks) == 16
    assert all(256 <= device.picture_width <= 384 and device.focus_mm < device.depth_mm for device in devices)


def test_the_simulated_study_has_the_size_it_promises() -> None:
    manifests = load_sites(SIMULATED)
    assert sum(simulated_images(manifest) for manifest in manifests) == 2300
    for manifest in manifests:
        judged = any(task.kind != "plane" for task in manifest.tasks)
        low, high = (70, 130) if judged else (40, 70)
        assert low <= phantom_of(manifest).patients <= high


def test_sites_with_a_task_have_one_organ_grey_pictures_and_both_answers() -> None:
    manifests = {manifest.site: manifest for manifest in load_sites(SIMULATED)}
    tasks = gather_tasks(list(manifests.values()))
    usual = ["breast_lesion", "breast_mass", "liver_lesion", "liver_mass", "thyroid_nodule"]
    assert list(tasks) == sorted([*usual, "breast_finding", "emergency_organ"])
    for task in (tasks[name] for name in usual):
        assert len(task.sites) == 3
        for site in task.sites:
            assert manifests[site].organs == (task.task.organ,)
            assert set(manifests[site].modalities) <= {"B-mode", "harmonic B-mode"}
            assert {"benign", "malignant"} <= set(phantom_of(manifests[site]).findings)


def test_every_class_of_a_simulated_task_of_several_is_seen_at_each_of_its_sites() -> None:
    sites = {manifest.site: manifest for manifest in load_sites(SIMULATED)}
    asked = [task for task in gather_tasks(list(sites.values())).values() if task.task.classes]
    assert [task.task.name for task in asked] == ["breast_finding", "emergency_organ"]
    for task in asked:
        for site in (sites[name] for name in task.sites):
            there = set(site.organs) if task.task.classes_of == "organ" else phantom_of(site).labels
            assert set(task.task.words) <= there


def test_counterparts_are_not_called_checked_and_phantom_labels_are_mapped() -> None:
    for manifest in load_sites(SIMULATED):
        assert manifest.public_counterpart is not None and not manifest.public_counterpart.checked
        assert is_simulated(phantom_of(manifest)) and manifest.sources.available() == ["phantom", "open"]
        assert phantom_of(manifest).labels <= set(manifest.label_map)


def test_every_simulated_site_has_a_real_source_that_claims_no_more_than_is_known() -> None:
    sources = {manifest.site: manifest.sources.open for manifest in load_sites(SIMULATED)}
    assert all(isinstance(source, ArchiveSource | HubSource) for source in sources.values())
    assert len({source.country for source in sources.values()}) >= 9
    for site, source in sources.items():
        assert not source.checked and source.licence and source.citation, site
        assert source.deidentification.pseudonyms == "public" and not source.deidentification.sign_off
        assert "EchoNet" not in source.model_dump_json()
        assert ("NC" in source.licence) == ("non-commercial" in source.conditions)
        assert ("ND" in source.licence) == ("no derivatives" in source.conditions)
        text = (SIMULATED / f"{site}.yaml").read_text(encoding="utf-8").partition("\n  open:\n")[2]
        assert "not tried" in text or "does not say" in text or site == "site_01_palm_breast", site


def test_no_two_sites_read_the_same_file_of_a_set() -> None:
    sources = [manifest.sources.open for manifest in load_sites(SIMULATED)]
    archives = [source for source in sources if isinstance(source, ArchiveSource)]
    tn5000 = [source for source in archives if "52597376" in source.archives[0].address]
    liver = [source for source in archives if "7272660" in source.archives[0].address]
    assert len(tn5000) == 3 and len(liver) == 2
    for number in range(1, 5001):
        name = f"TN5000_forReview/JPEGImages/{number:06d}.jpg"
        assert sum(re.search(source.file_pattern, name) is not None for source in tn5000) == 1, name
    for number in range(1, 500):
        name = f"7272660/Benign/image/{number}.jpg"
        assert sum(re.search(source.file_pattern, name) is not None for source in liver) == 1, name


def test_the_check_tells_what_a_run_would_download() -> None:
    lines = check_manifests(SIMULATED).lines
    assert all("; open would download " in line for line in lines)
    assert "RESECT/NIFTI/Case1/US/Case1-US-before.nii.gz and 22 more files" in lines[14]
    assert not any("would download" in line for line in check_manifests(REAL).lines)


def test_the_two_vocabularies_are_the_same() -> None:
    assert load_vocabulary(SIMULATED) == load_vocabulary(REAL)


def test_a_task_of_real_and_simulated_sites_is_the_same_question() -> None:
    both = gather_tasks([*load_sites(SIMULATED), *load_sites(REAL)])
    assert set(both) == {
        "breast_finding",
        "breast_lesion",
        "breast_mass",
        "emergency_organ",
        "fascicle_angle",
        "liver_lesion",
        "liver_mass",
        "muscle_thickness",
        "nerve",
        "nerve_and_vessel",
        "pneumonia",
        "pneumonia_clip",
        "thyroid_nodule",
    }
    assert "site_01_bus_bra" in both["breast_mass"].sites and len(both["breast_mass"].sites) == 4


def test_the_real_sites_are_open_and_none_is_called_the_hospital_it_is_not() -> None:
    report = check_manifests(REAL)
    assert report.problems == []
    assert report.totals["sites"] == 16 and report.totals["countries"] == 5  # "not stated" is no country
    for manifest in load_sites(REAL):
        source = open_of(manifest)
        assert not is_simulated(source) and not source.checked and source.licence and source.citation
        assert source.deidentification.pseudonyms == "public" and not source.deidentification.sign_off
        assert ("NC" in source.licence) == ("non-commercial" in source.conditions)
        assert ("BY" in source.licence) == ("attribution" in source.conditions)
        assert not re.search("hospital|clinic|university", source.publisher, re.IGNORECASE)


def rows_of(source: FolderSource, root: Path) -> list[dict[str, str]]:
    with (root / source.path / source.table).open(encoding="utf-8", newline="") as handle:
        return [
            row for row in csv.DictReader(handle) if all(row[name] == value for name, value in source.where.items())
        ]


def test_the_real_sites_agree_with_the_table_they_read(real_data: Path) -> None:
    organs = {"muscle": "skeletal muscle", "peripheral_nerve_vessel": "peripheral nerve"}
    total = 0
    for manifest in load_sites(REAL):
        source = open_of(manifest)
        rows = rows_of(source, real_data)
        total += len(rows)
        columns = [name for name in source.columns.model_dump().values() if name]
        assert rows and set(columns) <= set(rows[0])
        assert set(manifest.label_map) == {row["label"] for row in rows}
        assert set(manifest.scan_modes) == {row["scan_mode"] for row in rows}
        assert set(manifest.organs) == {organs.get(row["organ"], row["organ"]) for row in rows}
        assert source.licence == "; ".join(sorted({row["licence"] for row in rows}))
        assert (source.columns.mask is not None) == any(row["mask_file"] for row in rows)
        assert (source.columns.clip is not None) == any(row["video_id"] for row in rows)
        assert all((real_data / source.path / row["file"]).is_file() for row in rows)
    assert total == 1181  # of 1,189 pictures; three sources with 8 pictures are none of the 16 sites


def test_only_real_sites_with_enough_patient_groups_are_split(real_data: Path) -> None:
    for manifest in load_sites(REAL):
        patients = {row["split_group"] for row in rows_of(open_of(manifest), real_data)}
        assert (manifest.split.rule == "pretrain_only") == (len(patients) < 8)


def test_the_table_in_the_readme_is_current(tmp_path: Path) -> None:
    text = (SIMULATED / "README.md").read_text(encoding="utf-8")
    table = sites_table(load_sites(SIMULATED))
    assert text.count(BEGIN) == text.count(END) == 1
    assert replace_table(text, table) == text
    rows = [line for line in table.splitlines() if line.startswith("| **site_")]
    assert len(rows) == 16 and all("simulated" in row and "(fictional)" in row for row in rows)


def test_writing_the_table_mends_a_stale_one(tmp_path: Path) -> None:
    for path in SIMULATED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n", encoding="utf-8")
    text = write_sites_table(tmp_path).read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n| site |") and text.endswith(f"{END}\nafter\n") and "stale" not in text


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}\n{BEGIN}"])
def test_a_readme_without_markers_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="marker comments"):
        replace_table(text, "table")


def test_the_example_in_the_readme_is_a_valid_manifest(tmp_path: Path) -> None:
    text = (SIMULATED / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "site_01_own_breast.yaml"
    path.write_text(example, encoding="utf-8")
    manifest = load_site(path, load_vocabulary(SIMULATED))
    assert isinstance(manifest.sources.local, FolderSource) and manifest.sources.local.columns.patient == "case"
    assert gather_tasks([manifest, *load_sites(SIMULATED)])["breast_mass"].sites[0] == "site_01_own_breast"


def test_the_readme_names_every_field_of_a_manifest() -> None:
    text = (SIMULATED / "README.md").read_text(encoding="utf-8")
    fields = {*SiteManifest.model_fields, *FolderSource.model_fields, *PhantomSource.model_fields}
    fields |= {
        *DicomSource.model_fields,
        *VideoSource.model_fields,
        *ArchiveSource.model_fields,
        *HubSource.model_fields,
    }
    for part in (Deidentification, ArchiveFile, HubColumns, MatlabPictures, SideFile, Quality):
        fields |= set(part.model_fields)
    fields |= set(phantom_of(load_sites(SIMULATED)[0]).device.model_dump())
    assert {field for field in fields if f"`{field}`" not in text} <= {"checked", "kind"}
