"""Public sets in other forms: volumes, MATLAB files, outlines and labels in files of their own become pictures."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from made_archives import made_manifest, save
from PIL import Image

from ultrafm.curation.reading.convert import convert_all, convert_volume, drawn_masks, read_nifti
from ultrafm.curation.reading.media import count_frames
from ultrafm.curation.reading.rows import read_rows
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import ArchiveSource, FolderSource

ORIGIN = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
CODES = {"u1": 2, "i2": 4, "f4": 16, "u2": 512}


def archive(**changes: object) -> ArchiveSource:
    fields = {"kind": "archive", **ORIGIN, "table": None, "patient_pattern": r"(\d+)", **changes}
    return ArchiveSource.model_validate(fields | {"archives": [{"address": "http://127.0.0.1/x.zip"}]})


def nifti(volume: np.ndarray, order: str = "<") -> bytes:
    """A volume (x, y, slices) as a NIfTI-1 file, written by the standard's offsets."""
    header = bytearray(352)
    header[0:4] = struct.pack(f"{order}i", 348)
    header[40:56] = struct.pack(f"{order}8h", volume.ndim, *volume.shape, *([1] * (7 - volume.ndim)))
    header[70:72] = struct.pack(f"{order}h", CODES[volume.dtype.str[1:]])
    header[108:112] = struct.pack(f"{order}f", 352.0)
    header[344:348] = b"n+1\0"
    return bytes(header) + volume.astype(volume.dtype.newbyteorder(order)).tobytes(order="F")


@pytest.fixture
def volume() -> np.ndarray:
    """30 x 20 pixels, 5 slices, no two values in a row alike."""
    return (np.arange(30 * 20 * 5) % 251).astype(np.uint8).reshape(30, 20, 5)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", CODES)
def test_a_volume_becomes_a_frame_for_each_slice(tmp_path, volume, kind, order):
    path = tmp_path / "Case1.nii.gz"
    path.write_bytes(gzip.compress(nifti(volume.astype(kind), order)))
    assert np.array_equal(read_nifti(path), volume)
    target = convert_volume(path)
    assert [file.name for file in tmp_path.iterdir()] == ["Case1.tif"]
    with Image.open(target) as picture:
        assert picture.n_frames == 5 and picture.size == (30, 20)
        for number in range(5):
            picture.seek(number)
            found = np.asarray(picture)
            if kind != "f4":
                assert np.array_equal(found, volume[:, :, number].T)
            assert np.abs(found.astype(float) - volume[:, :, number].T.astype(float) * 255 / 250).max() <= 5.001


def test_values_beyond_a_byte_are_scaled_over_the_whole_volume(tmp_path):
    values = np.zeros((4, 3, 2), np.int16)
    values[0, 0, 0], values[1, 0, 1] = -1000, 1000
    (tmp_path / "v.nii").write_bytes(nifti(values))
    with Image.open(convert_volume(tmp_path / "v.nii")) as picture:
        first = np.asarray(picture)
        picture.seek(1)
        assert first[0, 0] == 0 and first[1, 1] == 128 and np.asarray(picture)[0, 1] == 255


def test_a_damaged_volume_keeps_its_bytes_and_is_left_to_the_quarantine(tmp_path, volume):
    whole = nifti(volume)
    for number, data in enumerate([b"", whole[:100], whole[:-1], whole[:40] + bytes(16) + whole[56:], b"x" * 400]):
        path = tmp_path / f"{number}.nii"
        path.write_bytes(data)
        assert convert_volume(path).read_bytes() == data and not path.exists()
    path = tmp_path / "cut.nii.gz"
    path.write_bytes(gzip.compress(whole)[:-30])
    assert convert_volume(path).name == "cut.tif"


def test_slices_are_read_as_the_frames_of_a_clip(tmp_path, volume):
    (tmp_path / "Case7.nii").write_bytes(nifti(volume))
    convert_all(archive(), tmp_path)
    source = FolderSource.model_validate({"kind": "folder", **ORIGIN, "table": None, "patient_pattern": r"(\d+)"})
    (row,) = read_rows(made_manifest(), source, tmp_path)
    assert (row.file, row.patient) == ("Case7.tif", "7") and count_frames(tmp_path / row.file) > 3


def test_matlab_records_become_pictures_with_a_table(tmp_path):
    from scipy.io import savemat

    records = np.zeros(2, dtype=[("id", object), ("class", object), ("images", object)])
    pictures = np.random.default_rng(0).integers(0, 255, (2, 3, 16, 24), dtype=np.uint8)
    for number in range(2):
        records[number] = (number + 1, number, pictures[number])
    savemat(tmp_path / "set.mat", {"data": records})
    layout = {"variable": "data", "images": "images", "patient": "id", "label": "class"}
    convert_all(archive(matlab=layout, table="metadata.csv"), tmp_path)
    columns = {"label": "label"}
    source = FolderSource.model_validate({"kind": "folder", **ORIGIN, "columns": columns})
    rows = read_rows(made_manifest(), source, tmp_path)
    assert [(row.patient, row.label) for row in rows] == [("1", "0")] * 3 + [("2", "1")] * 3
    assert np.array_equal(np.asarray(Image.open(tmp_path / rows[4].file)), pictures[1, 1])
    with pytest.raises(UltraFMError, match=r"set\.mat.*records in 'other'"):
        convert_all(archive(matlab=layout | {"variable": "other"}, table="metadata.csv"), tmp_path)
    (tmp_path / "set.mat").write_bytes(b"MATLAB" * 40)
    with pytest.raises(UltraFMError, match="correct matlab"):
        convert_all(archive(matlab=layout, table="metadata.csv"), tmp_path)


def test_outlines_are_drawn_as_masks_of_their_pictures_size(tmp_path):
    for number in range(5):
        save(tmp_path, f"Benign/image/{number}.jpg", np.full((40, 60), 90, np.uint8))
    folder = tmp_path / "Benign" / "segmentation" / "mass"
    folder.mkdir(parents=True)
    square = [[10, 5], [30, 5], [30, 25], [10, 25]]
    for number, words in enumerate(
        [json.dumps(square), json.dumps([square, [[40, 30], [50, 30], [50, 35]]]), "[1", "{}"]
    ):
        (folder / f"{number}.json").write_text(words)
    rule = {"pattern": r"image/(\d+)\.jpg$", "becomes": r"segmentation/mass/\1.json"}
    source = archive(mask_path=rule)
    convert_all(source, tmp_path)
    read = FolderSource.model_validate(
        {
            "kind": "folder",
            **ORIGIN,
            "table": None,
            "patient_pattern": r"(\d+)\.jpg",
            "mask_path": drawn_masks(source.mask_path),
        }
    )
    rows = read_rows(made_manifest(), read, tmp_path)
    assert [bool(row.mask) for row in rows] == [True, True, False, False, False]
    mask = np.asarray(Image.open(tmp_path / rows[0].mask))
    inside = np.zeros((40, 60), bool)
    inside[5:26, 10:31] = True
    assert mask.shape == (40, 60) and np.array_equal(mask > 0, inside)
    assert (np.asarray(Image.open(tmp_path / rows[1].mask)) > 0).sum() > inside.sum()


def test_labels_are_read_from_files_of_their_own(tmp_path):
    for number in range(3):
        save(tmp_path, f"JPEGImages/{number}.jpg", np.full((40, 60), 90, np.uint8))
    (tmp_path / "Annotations").mkdir()
    for number in range(2):
        words = f"<annotation><object><name> {number} </name></object></annotation>"
        (tmp_path / "Annotations" / f"{number}.xml").write_text(words)
    side = {
        "pattern": r"JPEGImages/(\d+)\.jpg$",
        "becomes": r"Annotations/\1.xml",
        "finds": r"<name>\s*(\d+)\s*</name>",
    }
    words = {"organ": "breast", "modality": "B-mode"}
    fields = {"kind": "folder", **ORIGIN, "table": None, "patient_pattern": r"(\d+)\.jpg", "label_file": side, **words}
    rows = read_rows(made_manifest(), FolderSource.model_validate(fields), tmp_path)
    assert [row.label for row in rows] == ["0", "1", ""]
    assert {(row.organ, row.modality, row.scan_mode) for row in rows} == {("breast", "B-mode", "")}
    outside = fields | {"label_file": side | {"becomes": r"../../\1.xml"}}
    Path(tmp_path.parent.parent, "0.xml").unlink(missing_ok=True)
    assert {row.label for row in read_rows(made_manifest(), FolderSource.model_validate(outside), tmp_path)} == {""}
