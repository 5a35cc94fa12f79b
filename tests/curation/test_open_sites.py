"""The open sources of the 16 sites, on imitations of their archives: names and folders as the manifests expect them.

This shows that the manifests' patterns fit each other, not that the real archives look so.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import made_archives
import pytest
from loopback import Loopback, serving
from PIL import Image

from ultrafm.curation.reading.remote import fetch_source
from ultrafm.curation.reading.rows import read_rows
from ultrafm.curation.reading.table import row_words
from ultrafm.manifests import load_sites
from ultrafm.manifests.lock import Lock
from ultrafm.manifests.schema import ArchiveFile, ArchiveSource, SiteManifest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sites() -> dict[str, SiteManifest]:
    return {manifest.site[:7]: manifest for manifest in load_sites(ROOT / "data_manifests")}


def picture(seed: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(made_archives.framed(made_archives.speckle(seed))).save(data, kind)
    return data.getvalue()


def thyroid() -> dict[str, bytes]:
    numbers = (1, 1699, 1700, 3399, 3400, 5000)
    files = {f"TN5000_forReview/JPEGImages/{n:06d}.jpg": picture(n, "JPEG") for n in numbers}
    words = "<annotation><object><name>{}</name></object></annotation>"
    return files | {f"TN5000_forReview/Annotations/{n:06d}.xml": words.format(n % 2).encode() for n in numbers}


def liver() -> dict[str, bytes]:
    kinds = ("Benign", "Malignant", "Normal")
    files = {f"7272660/{kind}/image/{n}.jpg": picture(n, "JPEG") for kind in kinds for n in (1, 2)}
    outline = json.dumps([[30, 30], [90, 30], [90, 90]]).encode()
    return files | {f"7272660/{kind}/segmentation/mass/{n}.json": outline for kind in kinds[:2] for n in (1, 2)}


MUSCLE = "ultrasound-automated-algorithm-1c90/Example images"
SETS = {
    "site_02": {
        "BUSBRA/bus_data.csv": b"ID,Case,Histology,Pathology\nbus_0001-l,1,x,benign\nbus_0002-r,2,x,malignant\n",
        "BUSBRA/Images/bus_0001-l.png": picture(1), "BUSBRA/Images/bus_0002-r.png": picture(2),
        "BUSBRA/Masks/mask_0001-l.png": picture(3), "BUSBRA/Masks/mask_0002-r.png": picture(4),
    },
    "site_04": thyroid(), "site_05": thyroid(), "site_06": thyroid(), "site_07": liver(), "site_09": liver(),
    "site_11": {"COVID-BLUES-8c71/lus_videos/patient_10_L1.mp4": b"x", "COVID-BLUES-8c71/README.md": b"words"},
    "site_12": {"LEPset/a/1.png": picture(1), "LEPset/b/2.jpg": picture(2)},
    "site_13": {
        "FETAL_PLANES_DB_data.csv": b"Image_name;Patient_num;Plane\nPatient00001_Plane1_1_of_2;1;Fetal brain\n",
        "Images/Patient00001_Plane1_1_of_2.png": picture(1),
    },
    "site_16": {
        f"{MUSCLE}/raw/TimTrack paper/dataset 1/S10/S10_L20_step_025.png": picture(1),
        f"{MUSCLE}/raw/TimTrack paper/dataset 1/S11_L20_step_025.png": picture(2),
        f"{MUSCLE}/raw/TimTrack paper/dataset 2/jumping/gastroc_jumping_048.png": picture(3),
        f"{MUSCLE}/analyzed/TimTrack paper/dataset 1/S1/S1_L20_step_025.jpg": picture(4),
    },
}  # fmt: skip
# site -> patient, label in words, and whether there is a mask, of each row
EXPECTED = {
    "site_02": [("1", "benign", True), ("2", "malignant", True)],
    "site_04": [("000001", "malignant", False), ("001699", "malignant", False)],
    "site_05": [("001700", "benign", False), ("003399", "malignant", False)],
    "site_06": [("003400", "benign", False), ("005000", "benign", False)],
    "site_07": [("Benign/image/1", "benign", True), ("Malignant/image/1", "malignant", True),
                ("Normal/image/1", "normal", False)],
    "site_09": [("Benign/image/2", "benign", True), ("Malignant/image/2", "malignant", True),
                ("Normal/image/2", "normal", False)],
    "site_11": [("10", None, False)],
    "site_12": [("1", None, False), ("2", None, False)],
    "site_13": [("1", None, False)],
    "site_16": [("S11", None, False), ("S10", None, False), ("dataset 2", None, False)],
}  # fmt: skip


@pytest.mark.parametrize("site", SETS)
def test_an_archive_as_the_manifest_expects_it_is_read(sites, tmp_path, site):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in SETS[site].items():
            archive.writestr(name, content)
    source = sites[site].sources.open
    assert isinstance(source, ArchiveSource)
    with serving(Loopback(files={"/set.zip": data.getvalue()})) as server:
        here = source.model_copy(update={"archives": (ArchiveFile(address=f"{server.address}/set.zip"),)})
        found = fetch_source(sites[site], here, tmp_path, Lock(), True)
    rows = read_rows(sites[site], found.source, found.root)
    words = [row_words(row, sites[site]) for row in rows]
    assert [(row.patient, word.label, bool(row.mask)) for row, word in zip(rows, words)] == EXPECTED[site]
    assert {word.organ for word in words} == {source.organ or "unknown"}


def test_volumes_of_the_brain_are_files_of_their_own(sites):
    source = sites["site_15"].sources.open
    names = [archive.address.rsplit("/", 1)[-1] for archive in source.archives]
    assert len(set(names)) == 23 and all(name.endswith("-US-before.nii.gz") for name in names)
