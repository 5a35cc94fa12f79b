"""Simulated DICOM archives: what is in the files, and that curation drops the made-up people and keeps the pictures."""

import io

import numpy as np
import pydicom
import pytest
from phantom_makers import BOTH, make_device, make_manifest, make_source

from ultrafm.curation import curate_site, load_store
from ultrafm.files import hash_folder, read_json
from ultrafm.manifests.schema import Planted
from ultrafm.phantom import archive_as_folder, write_archive
from ultrafm.phantom.identities import draw_identity

SITE = "site_01_test"


def dicom_site(**device):
    made = make_device("convex", picture_width=256, picture_height=256, **device)
    planted = Planted(exact_duplicates=1, near_duplicates=1, truncated_files=1)
    source = make_source(BOTH, made, patients=4, planted=planted).model_copy(update={"files": "dicom"})
    return make_manifest(source, ("liver",), ("B-mode", "colour Doppler")), source


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    manifest, source = dicom_site()
    return write_archive(manifest, source, tmp_path_factory.mktemp("dicom") / "a", 3)


def test_files_name_a_person_and_say_where_the_tissue_is(archive):
    identity = draw_identity(3, SITE, 1)
    header = pydicom.dcmread(archive / "images" / "P0001_1.dcm")
    assert (header.PatientName, header.PatientID, header.PatientBirthDate) == (
        identity.name, identity.number, identity.birth
    )  # fmt: skip
    assert header.InstitutionName.endswith("(fictional)")
    region = header.SequenceOfUltrasoundRegions[0]
    assert 10 * region.PhysicalDeltaY == pytest.approx(read_json(archive / "geometry.json")["mm_per_pixel"], rel=1e-6)
    assert header.pixel_array.shape[:2] == (256, 256)


def test_identities_differ_between_patients_and_repeat_with_the_seed():
    people = {draw_identity(0, SITE, number) for number in range(60)}
    assert len({person.number for person in people}) == 60
    assert draw_identity(0, SITE, 5) == draw_identity(0, SITE, 5) != draw_identity(1, SITE, 5)


def test_the_same_seed_gives_the_same_bytes_and_the_pixels_of_the_png_archive(archive, tmp_path):
    manifest, source = dicom_site()
    assert hash_folder(write_archive(manifest, source, tmp_path / "again", 3)) == hash_folder(archive)
    as_png = source.model_copy(update={"files": "png"})
    plain = write_archive(make_manifest(as_png, ("liver",), ("B-mode", "colour Doppler")), as_png, tmp_path / "png", 3)
    for path in sorted((archive / "images").glob("P000*_[12].dcm")):
        pixels = pydicom.dcmread(path).pixel_array
        np.testing.assert_array_equal(pixels, read_png(plain / "images" / f"{path.stem}.png"))


def read_png(path):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(path.read_bytes())))


def test_curation_keeps_the_pictures_and_no_person(archive, tmp_path, capfd):
    manifest, source = dicom_site()
    summary = curate_site(manifest, archive_as_folder(manifest, source), tmp_path / "out", archive, 0, 64)
    assert summary.flow["kept"] == 8 and summary.flow["rows"] == 11
    table = load_store(tmp_path / "out", SITE).to_pandas()
    assert table["pixel_mm"].map(lambda size: size is not None).all()
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    said = "".join(capfd.readouterr())
    for number in range(1, 5):
        person = draw_identity(3, SITE, number)
        for secret in (person.name, person.name.split("^")[0], person.number, person.birth, person.physician):
            assert secret.encode() not in written and secret not in said
