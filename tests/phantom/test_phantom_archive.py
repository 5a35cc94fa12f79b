"""The archive on disk: complete, the same each time, and with exactly the faults that were planted."""

import csv

import numpy as np
import pytest
from phantom_makers import make_device, make_manifest, make_source
from PIL import Image

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder, read_json
from ultrafm.manifests.schema import FolderSource, Planted
from ultrafm.phantom import archive_as_folder, write_archive

THREE = {"normal": 0.3, "benign": 0.4, "malignant": 0.3}
PLANTED = Planted(exact_duplicates=2, near_duplicates=2, truncated_files=1)


def read_rows(folder):
    with (folder / "metadata.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def site():
    source = make_source(THREE, make_device(overlays=("text", "scale")), patients=10, planted=PLANTED)
    return make_manifest(source, ("breast", "liver"), ("B-mode", "3-D sweep")), source


@pytest.fixture(scope="module")
def archive(site, tmp_path_factory):
    return write_archive(*site, tmp_path_factory.mktemp("phantom") / "archive", seed=4)


def test_table_and_files_agree(archive):
    rows = read_rows(archive)
    assert len(rows) == 10 * 2 + 5
    assert {row["file"] for row in rows} == {f"images/{path.name}" for path in (archive / "images").iterdir()}
    assert {row["mask"] for row in rows if row["mask"]} == {
        f"masks/{path.name}" for path in (archive / "masks").iterdir()
    }
    assert {row["simulated"] for row in rows} == {"yes"}
    assert all(0 <= float(row["difficulty"]) <= 1 for row in rows)
    assert len({row["patient"] for row in rows}) == 10


def test_labels_are_per_patient_and_not_in_file_names(archive):
    rows = read_rows(archive)
    labels = {row["patient"]: row["label"] for row in rows}
    assert set(labels.values()) == set(THREE)
    for row in rows:
        assert row["label"] == labels[row["patient"]]
        assert not any(word in row["file"] + row["mask"] for word in THREE)


def test_masks_are_there_where_there_is_a_lesion(archive):
    for row in read_rows(archive):
        assert bool(row["mask"]) == (row["label"] != "normal")
        if row["mask"]:
            mask = np.asarray(Image.open(archive / row["mask"]))
            assert set(np.unique(mask)) == {0, 1} and mask.sum() > 500
            assert mask.shape == (256, 320)


def test_planted_faults_are_what_they_say(archive):
    rows = {row["file"]: row for row in read_rows(archive)}
    planted = sorted(name for name in rows if "export" in name)
    own = {name: (archive / name).read_bytes() for name in rows if "export" not in name}
    exact = [name for name in planted if (archive / name).read_bytes() in own.values()]
    broken = [name for name in planted if not readable(archive / name)]
    near = [name for name in planted if name not in exact + broken]
    assert (len(exact), len(near), len(broken)) == (2, 2, 1)
    for name in near:
        picture = np.asarray(Image.open(archive / name), float)
        same_patient = [key for key in own if rows[key]["patient"] == rows[name]["patient"]]
        likeness = [
            np.corrcoef(picture.ravel(), np.asarray(Image.open(archive / key), float).ravel())[0, 1]
            for key in same_patient
        ]
        assert max(likeness) > 0.999
    for name in exact:
        source = next(key for key, data in own.items() if data == (archive / name).read_bytes())
        assert {**rows[source], "file": ""} == {**rows[name], "file": ""}


def readable(path):
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def test_same_seed_same_bytes_other_seed_other_bytes(site, archive, tmp_path):
    assert hash_folder(write_archive(*site, tmp_path / "again", seed=4)) == hash_folder(archive)
    assert hash_folder(write_archive(*site, tmp_path / "other", seed=5)) != hash_folder(archive)


def test_a_patient_is_the_same_whatever_the_share(site, archive, tmp_path):
    half = write_archive(*site, tmp_path / "half", seed=4, patients_share=0.5)
    assert len({row["patient"] for row in read_rows(half)}) == 5
    for name in ("images/P0003_1.png", "images/P0003_2.png"):
        assert (half / name).read_bytes() == (archive / name).read_bytes()

    def of_third(folder):
        return [row for row in read_rows(folder) if row["patient"] == "P0003" and "export" not in row["file"]]

    assert of_third(half) == of_third(archive)


@pytest.mark.parametrize(("patients", "expected"), [(10, 3), (2, 2), (1, 1)])
def test_at_least_three_patients_where_there_are_three(patients, expected, tmp_path):
    source = make_source({"normal": 1.0}, patients=patients, images=1)
    folder = write_archive(make_manifest(source), source, tmp_path / "a", 0, patients_share=0.01)
    assert len(read_rows(folder)) == expected
    assert not list((folder / "masks").iterdir())


def test_slices_of_a_sweep_share_a_clip(archive):
    sweeps = [row for row in read_rows(archive) if row["modality"] == "3-D sweep"]
    assert sweeps
    assert all(row["clip"] == f"{row['patient']}-sweep" for row in sweeps)
    assert all(row["clip"] == "" for row in read_rows(archive) if row["modality"] == "B-mode")


def test_the_archive_is_described_as_a_folder(site, archive):
    described = archive_as_folder(*site)
    assert isinstance(described, FolderSource)
    columns = set(read_rows(archive)[0])
    assert set(described.columns.model_dump().values()) <= columns
    assert described.publisher == "Test Street Clinic (fictional)"
    assert (archive / described.path / described.table).is_file()


@pytest.mark.parametrize("scan_mode", ["linear", "convex"])
def test_geometry_says_where_the_scan_lies(scan_mode, tmp_path):
    source = make_source({"normal": 1.0}, make_device(scan_mode, overlays=("scale", "text")), patients=1, images=1)
    folder = write_archive(make_manifest(source, ("liver",)), source, tmp_path / "a", 0)
    told = read_json(folder / "geometry.json")
    grey = np.asarray(Image.open(folder / "images" / "P0001_1.png"))
    column, row = (round(value) for value in told["origin_px_xy"])
    end = row + int(told["depth_mm"] / told["mm_per_pixel"]) - 1
    scan = grey[row + 1 : end, column]
    assert (scan > 0).mean() > 0.8
    assert told["image_size_px"] == [320, 256] and end <= 256


def test_an_archive_is_replaced_whole_but_nothing_else_is(site, tmp_path):
    source = make_source({"normal": 1.0}, patients=1, images=1)
    small = (make_manifest(source), source)
    write_archive(*site, tmp_path / "a", 0)
    write_archive(*small, tmp_path / "a", 0)
    assert len(list((tmp_path / "a" / "images").iterdir())) == 1
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(UltraFMError, match="other files"):
        write_archive(*small, tmp_path / "precious", 0)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "x"


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_impossible_shares_are_refused(share, tmp_path):
    source = make_source({"normal": 1.0})
    with pytest.raises(UltraFMError, match="patients_share"):
        write_archive(make_manifest(source), source, tmp_path / "a", 0, patients_share=share)


def test_unknown_findings_and_modalities_are_refused_with_site_and_hint(tmp_path):
    source = make_source({"benin": 1.0})
    with pytest.raises(UltraFMError, match=r"site_01_test, findings.*did you mean 'benign'"):
        write_archive(make_manifest(source), source, tmp_path / "a", 0)
    source = make_source({"benign": 1.0})
    with pytest.raises(UltraFMError, match=r"site_01_test, modalities.*did you mean 'M-mode'"):
        write_archive(make_manifest(source, modalities=("N-mode",)), source, tmp_path / "a", 0)
