"""Identities planted everywhere a hospital's files can hold them are found nowhere in what curation writes or says."""

from __future__ import annotations

import gzip
import io
import logging
import sqlite3
import zlib

import numpy as np
import pydicom
import pytest
from made_archives import SITE, fan, made_manifest, made_source
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ultrafm.curation import curate_site, load_store
from ultrafm.curation.prepare import unheard
from ultrafm.curation.store import decode_png
from ultrafm.manifests.schema import DicomSource

PLANTED = (
    "Krumbholz", "Eulalia", "19371224", "Hopital Saint Zephyrin", "MRN-77-4242", "Dr Quixano", "ACC0099887",
    "secretowner",
)  # fmt: skip
UNICODE_FORMS = ("utf-8", "utf-16-le", "utf-16-be")


def burn_in(picture: np.ndarray, text: str, place: tuple[int, int], size: int = 16) -> np.ndarray:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(place, text, fill=255, font=ImageFont.load_default(size))
    return np.asarray(image)


def write_dicom(path, picture, frames=1):
    """An ultrasound file that holds an identity in every way that a header can."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["secretowner", path.parent.name])
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Modality, file.SOPClassUID = "US", meta.MediaStorageSOPClassUID
    file.SOPInstanceUID, file.StudyInstanceUID = meta.MediaStorageSOPInstanceUID, generate_uid()
    file.SeriesInstanceUID = generate_uid()
    file.PatientName, file.PatientID, file.PatientBirthDate = "Krumbholz^Eulalia", "MRN-77-4242", "19371224"
    file.InstitutionName, file.ReferringPhysicianName = "Hopital Saint Zephyrin", "Dr Quixano"
    file.AccessionNumber, file.ImageComments = "ACC0099887", "seen by Dr Quixano"
    nested = Dataset()
    nested.PatientName, nested.AccessionNumber = "Krumbholz^Eulalia", "ACC0099887"
    file.ReferencedStudySequence = [nested]
    block = file.private_block(0x0011, "secretowner", create=True)
    block.add_new(0x01, "LO", "Krumbholz Eulalia 19371224")
    file.add_new(0x60003000, "OW", b"Krumbholz Eulalia MRN-77-4242 ")
    file.add_new(0x60000010, "US", 2)
    file.Rows, file.Columns = picture.shape
    if frames > 1:
        file.NumberOfFrames = frames
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.PixelData = np.stack([np.where(picture > 9, picture - number, picture) for number in range(frames)]).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)


def written(folder) -> dict[str, bytes]:
    """Everything below a folder that may leave the house or be kept, by name; compressed parts also unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file() or path.name in ("quarantine.csv", "files.csv"):
            continue
        data = path.read_bytes()
        found[str(path)] = data
        if data[:2] == b"\x1f\x8b":
            found[f"{path} unpacked"] = gzip.decompress(data)
    return found


def everywhere(folder, capsys, caplog, real_uids) -> None:
    """Assert that nothing planted stands in a file's name or bytes, in what was printed, or in the log."""
    said = capsys.readouterr()
    texts = written(folder) | {"printed": (said.out + said.err).encode(), "log": caplog.text.encode()}
    for place, data in texts.items():
        for word in (*PLANTED, *real_uids):
            for code in UNICODE_FORMS:
                assert word.lower().encode(code) not in data.lower(), f"{word} in {place}"
            assert word.lower() not in place.lower().rsplit("/sites/", 1)[-1]


def test_dicom_with_an_identity_in_every_place(tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    for number in range(3):
        picture = burn_in(fan(number, 400, 560)[0], "Krumbholz Eulalia 19371224", (6, 4))
        path = tmp_path / "archive" / f"Krumbholz_{number}" / "MRN-77-4242.dcm"
        write_dicom(path, picture, frames=1 + number)
    source = DicomSource(
        kind="dicom", publisher="Testing", country="not stated", licence="CC0-1.0", citation="none",
        deidentification={"pseudonyms": "secret", "sign_off": True},
    )  # fmt: skip
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    manifest = made_manifest(source, scan_modes=["convex"], label_map={})
    sites = tmp_path / "sites"
    caplog.clear()
    summary = curate_site(manifest, source, sites, tmp_path / "archive", 0, 64, manifests)
    assert summary.flow["kept"] == 6 and summary.patients == 1, summary.left_out
    headers = [pydicom.dcmread(path) for path in (tmp_path / "archive").rglob("*.dcm")]
    uids = [str(h[name].value) for h in headers for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    everywhere(sites, capsys, caplog, uids)
    everywhere(manifests, capsys, caplog, uids)
    sheet = (sites / SITE / "datasheet.md").read_text()
    for tag in ("PatientName", "InstitutionName", "AccessionNumber", "ImageComments"):
        assert tag in sheet, "what was dropped is told by name"
    store = load_store(sites, SITE)
    assert len(set(store["instance_uid"])) == 3 and all(uid.startswith("2.25.") for uid in store["instance_uid"])
    assert len(set(store["clip"])) == 3, "None for a still, one for each of two clips"


@pytest.mark.parametrize("name", ["PIL", "pydicom", "libav"])
def test_libraries_get_their_voice_back(tmp_path, name):
    """While a file is read they say nothing, because what they say can hold values of its header."""
    logger = logging.getLogger(name)
    before = logger.level
    with unheard():
        assert not logger.isEnabledFor(logging.ERROR)
    assert logger.level == before


def test_pictures_with_an_identity_in_every_place(tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    archive = tmp_path / "archive" / "Krumbholz Eulalia"
    archive.mkdir(parents=True)
    rows = []
    for number in range(4):
        picture, _inside = fan(number, 400, 560)
        image = Image.fromarray(burn_in(picture, "Krumbholz Eulalia MRN-77-4242", (6, 4)))
        about, exif = PngInfo(), Image.Exif()
        about.add_text("Patient", "Krumbholz Eulalia 19371224")
        exif[0x013B] = "Dr Quixano"
        exif[0x010E] = "Krumbholz Eulalia"
        name = f"Krumbholz Eulalia/19371224_{number}" + (".png" if number % 2 else ".jpg")
        comment = {"pnginfo": about} if number % 2 else {"comment": b"secretowner", "quality": 92}
        options = {"exif": exif, **comment}
        image.save(tmp_path / "archive" / name, **options)
        rows.append(f"{name},MRN-77-4242-{number // 2},good,,")
    (tmp_path / "archive" / "metadata.csv").write_text("\n".join(["file,patient,label,mask,clip", *rows]) + "\n")
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    source = made_source(deidentification={"pseudonyms": "secret", "sign_off": True})
    manifest = made_manifest(source, scan_modes=["convex"])
    sites = tmp_path / "sites"
    caplog.clear()
    summary = curate_site(manifest, source, sites, tmp_path / "archive", 0, 64, manifests)
    assert summary.flow["kept"] == 4
    everywhere(sites, capsys, caplog, [])


@pytest.mark.parametrize("size", [12, 18, 26])
def test_text_outside_and_across_the_scan_is_black_in_what_is_kept(tmp_path, size):
    """A name above the fan, one across its border and one in its middle; no letter can be made out in what is kept."""
    picture, _inside = fan(5, 400, 560)
    plain = picture.copy()
    for place in ((6, 4), (60, 180), (230, 200)):
        picture = burn_in(picture, "Krumbholz 19371224", place, size)
    letters = picture != plain
    (tmp_path / "archive").mkdir()
    Image.fromarray(picture).save(tmp_path / "archive" / "one.png")
    (tmp_path / "archive" / "metadata.csv").write_text("file,patient,label,mask,clip\none.png,1,good,,\n")
    source = made_source(deidentification={"pseudonyms": "public", "sign_off": True})
    manifest = made_manifest(source, scan_modes=["convex"])
    curate_site(manifest, source, tmp_path / "sites", tmp_path / "archive", 0, 512)
    row = load_store(tmp_path / "sites", SITE).with_format("arrow")[0]
    stored = decode_png(row["image"][0]["bytes"].as_py())
    left, top, right, bottom = row["crop"][0].as_py()
    scale = 512 / max(right - left, bottom - top)
    down, across = np.nonzero(letters[top:bottom, left:right])
    size_down, size_across = round((bottom - top) * scale), round((right - left) * scale)
    rows = (down * scale).astype(int) + (512 - size_down) // 2
    columns = (across * scale).astype(int) + (512 - size_across) // 2
    seen = stored[np.clip(rows, 0, 511), np.clip(columns, 0, 511)]
    assert (seen > 0).mean() < 0.02, "at most the blur of enlarging at a box's edge"
    assert (stored > 0).mean() > 0.25, "and the tissue around it is still there"
    assert row["text_marks"][0].as_py() >= 2


def test_the_partial_work_names_no_file_that_is_missing(tmp_path):
    """Nor a folder, a mask, or a file outside; the quarantine list, which stays in the house, names them all."""
    archive = tmp_path / "archive"
    (archive / "Quixano.png").mkdir(parents=True)
    Image.fromarray(fan(1)[0]).save(archive / "one.png")
    rows = ["one.png,1,good,", "Krumbholz.png,Eulalia,good,", "one.png,1,good,Eulalia_mask.png",
            "../Zephyrin.png,3,good,", "Quixano.png,3,good,"]  # fmt: skip
    (archive / "metadata.csv").write_text("\n".join(["file,patient,label,mask", *rows]) + "\n")
    (tmp_path / "Zephyrin.png").write_bytes(b"")
    manifest = made_manifest(made_source(columns={"mask": "mask", "label": "label"}))
    curate_site(manifest, manifest.sources.local, tmp_path / "sites", archive, 0, 32)
    work = sqlite3.connect(tmp_path / "sites" / "work" / f"{SITE}.sqlite")
    dump = "\n".join(work.iterdump()).lower()
    assert "missing file" in dump and "outside the folder" in dump
    assert not any(word in dump for word in ("krumbholz", "eulalia", "zephyrin", "quixano", "one.png"))
    assert (tmp_path / "sites" / SITE / "house" / "quarantine.csv").read_text().splitlines() == [
        "file,row,reason",
        "Krumbholz.png,3,missing file: found no file Krumbholz.png; expected a file of that name in the site's folder",
        "one.png,4,missing file: found no file Eulalia_mask.png; expected a file of that name in the site's folder",
        "../Zephyrin.png,5,file outside the folder: found the path ../Zephyrin.png; expected a file inside the site's "
        "folder",
        "Quixano.png,6,folder in place of a file: found the folder Quixano.png; expected a file of that name in the "
        "site's folder",
    ]


def test_the_partial_work_holds_no_name_either(tmp_path):
    (tmp_path / "archive").mkdir()
    Image.fromarray(fan(1)[0]).save(tmp_path / "archive" / "Krumbholz.png")
    (tmp_path / "archive" / "metadata.csv").write_text("file,patient,label,mask,clip\nKrumbholz.png,Eulalia,good,,\n")
    manifest = made_manifest()
    curate_site(manifest, manifest.sources.local, tmp_path / "sites", tmp_path / "archive", 0, 32)
    path = tmp_path / "sites" / "work" / f"{SITE}.sqlite"
    dump = "\n".join(sqlite3.connect(path).iterdump()).lower()
    assert "insert into" in dump and not any(word in dump for word in ("krumbholz", "eulalia"))
    pictures = [blob for (blob,) in sqlite3.connect(path).execute("SELECT image FROM pictures")]
    with Image.open(io.BytesIO(pictures[0])) as picture:
        assert not picture.info, "a picture of the store carries no metadata"
    assert zlib.crc32(pictures[0]) and len(pictures) == 1
