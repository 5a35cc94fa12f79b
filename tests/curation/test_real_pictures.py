"""The whole chain on the real pictures beside the repository: everything curates, and what must be black is black."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ultrafm.curation import Places, Wish, curate_site, curate_sites, load_store
from ultrafm.curation.duplicates import CLOSE_HASHES
from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.leaks import find_leaks, near_leaks
from ultrafm.curation.likeness import compared, resemblance
from ultrafm.curation.prepare import Job, Settings, prepare_file, prepare_frame
from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.store import decode_png
from ultrafm.downstream.tasks import CLASSIFYING, select_tasks
from ultrafm.manifests import gather_tasks, load_sites
from ultrafm.manifests.schema import FolderSource, SiteManifest

MANIFESTS = Path(__file__).parents[1] / "real_sites"
BOXES = yaml.safe_load((Path(__file__).parent / "burnt_in_boxes.yaml").read_text())
FULL = 2048  # pixels: larger than any picture with a marked box, so that nothing is lost by shrinking


@pytest.fixture(scope="module")
def everything(real_data, tmp_path_factory):
    """All 16 real sites, curated with the locks beside their manifests."""
    out = tmp_path_factory.mktemp("everything")
    where = Places(out, out / "none", out / "work", MANIFESTS, real_data)
    return out, curate_sites(load_sites(MANIFESTS), where, Wish("open", 0, 64, workers=2))


def test_all_sixteen_sites_are_curated_with_hardly_a_loss(everything):
    _out, table = everything
    assert len(table) == 16 and set(table["images"]) == {"real"}
    assert table["quarantined"].sum() == 0 and table["low_quality"].sum() == 0
    assert table["rows"].sum() == 1181 and table["kept"].sum() >= 0.97 * 1181


def test_no_real_site_leaks_between_folds(everything):
    out, table = everything
    for site in table["site"]:
        assert find_leaks(out / site / "images.parquet").empty, site
        assert near_leaks(out, site).empty, site


def test_folds_of_the_real_sites_are_those_of_their_locks(everything):
    """The locks are part of the repository: no run may change them, and a lock that is missing would be written."""
    _out, table = everything
    known = {path.name.removesuffix(".lock.json") for path in MANIFESTS.glob("*.lock.json")}
    assert known == set(table["site"])


def test_tasks_of_the_real_sites_can_be_evaluated_and_measures_are_those_of_the_observers(everything, real_data):
    out, _table = everything
    asked = gather_tasks(load_sites(MANIFESTS))
    found = select_tasks(out, asked, *CLASSIFYING, "segmentation", "measurement")
    assert set(found) == set(asked) and {name: data.skipped for name, data in found.items() if data.skipped} == {}
    muscle = found["muscle_thickness"]
    table = pd.read_csv(real_data / "muscle_timtrack" / "manual_by_3_observers.csv")
    by_file = table[table["file"].str.contains("vl_ge")].groupby("file")["thickness_px"].mean()
    assert len(muscle.truth) == 152 and len(set(muscle.patients)) == 9 and muscle.left_out == {}
    assert np.isin(muscle.truth.round(9), by_file.round(9)).all()
    assert muscle.unit_scale.min() > 6  # original pictures of some 500 pixels, curated to 64
    assert set(np.unique(found["nerve_and_vessel"].truth)) == {0, 1, 2}


def test_real_patients_with_both_labels_cannot_be_asked_by_patient(everything):
    out, _table = everything
    asked = gather_tasks(load_sites(MANIFESTS))["pneumonia_clip"]
    by_patient = replace(asked, task=asked.task.model_copy(update={"unit": "patient"}))
    told = select_tasks(out, {"asked": by_patient}, "diagnosis")["asked"].skipped
    assert "holds images of 'bacterial pneumonia' and 'regular'" in told and "the patient site_07_northumbria/" in told


def dicom_and_clips(real_data: Path) -> tuple[SiteManifest, FolderSource]:
    """A site of the 5 DICOM files and 11 clips."""
    table = pd.read_csv(real_data / "metadata.csv", dtype=str, keep_default_na=False)
    source = FolderSource.model_validate(
        {
            "kind": "folder", "publisher": "Various", "country": "not stated", "licence": "see metadata.csv",
            "citation": "see README", "table": "chosen.csv", "columns": {"patient": "split_group", "clip": "video_id"},
            "deidentification": {"pseudonyms": "public", "sign_off": False},
        }
    )  # fmt: skip
    manifest = SiteManifest.model_validate(
        {
            "schema_version": 1, "site": "site_99_media", "title": "DICOM files and clips", "organs": ["lung"],
            "modalities": ["B-mode"], "scan_modes": ["unknown"], "probe": "various", "sources": {"local": source},
            "split": {"rule": "pretrain_only"},
        }
    )  # fmt: skip
    return manifest, source, table[table["media"] != "image"]


def test_dicom_files_and_clips_curate(real_data, tmp_path):
    manifest, source, rows = dicom_and_clips(real_data)
    root = tmp_path / "root"
    root.mkdir()
    for name in {row.split("/")[0] for row in rows["file"]}:
        (root / name).symlink_to(real_data / name)
    chosen = rows[["file", "split_group", "video_id"]].copy()
    for number, name in enumerate(rows["file"]):
        target = root / f"{number:02d}_{Path(name).name}"
        target.write_bytes((real_data / name).read_bytes())
        chosen.iloc[number, 0] = target.name
    chosen.to_csv(root / "chosen.csv", index=False)
    summary = curate_site(manifest, source, tmp_path / "out", root, 0, 64, workers=2)
    assert summary.flow["quarantined"] == 0, summary.left_out
    store = load_store(tmp_path / "out", manifest.site)
    assert len(set(store["source_hash"])) == 14, "two DICOM files hold the pixels of two others in another syntax"
    assert len({uid for uid in store["instance_uid"] if uid}) == 3
    assert sum(size is not None for size in store["pixel_mm"]) >= 2, "sizes in millimetres from the headers"


@pytest.mark.parametrize("name", sorted(BOXES))
def test_every_pixel_of_the_marked_boxes_is_black(real_data, name):
    """Date, time and id burnt into the GE screens, and the text in the DICOM pictures, in what goes into the store.

    The boxes were marked on first frames. (The second frame of the one file with two is made of inverted numbers.)
    """
    settings = Settings(real_data, FULL, 5, {}, True, False, Pseudonyms("site", b"k"))
    files = sorted(real_data.glob(name)) or [real_data / name]
    for path in files[:: max(1, len(files) // 8)]:
        decoded = read_frames(path, [0])[0]
        picture = prepare_frame(settings, Job("", path.name, "", ""), decoded, {})
        stored, crop = decode_png(picture.image), picture.facts["crop"]
        for box in BOXES[name]:
            assert not seen_of(stored, crop, box["box"]).any(), f"{path.name}: {box['holds']}"


def seen_of(stored: np.ndarray, crop: list[int], box: list[int]) -> np.ndarray:
    """What a stored picture shows of a box of its original; nothing where the box lies outside the crop."""
    scale = FULL / max(crop[2] - crop[0], crop[3] - crop[1])
    shift = [(FULL - round((crop[2 + axis] - crop[axis]) * scale)) // 2 - crop[axis] * scale for axis in (0, 1)]
    left, right = (int(np.clip(side * scale + shift[0], 0, FULL)) for side in (box[0], box[2]))
    top, bottom = (int(np.clip(side * scale + shift[1], 0, FULL)) for side in (box[1], box[3]))
    return stored[top + 2 : max(top + 2, bottom - 2), left + 2 : max(left + 2, right - 2)]  # enlarging blurs the edge


def test_pictures_that_the_set_names_as_alike_tie_their_patients(real_data):
    """Nerve pictures that are other renderings of one scan, and lung clips of one scan under two stated patients.

    Every file or clip is taken for a patient of its own. Not one pair outside the groups that the set names may be
    tied. The nerve groups hold 70 pairs, of which 35 have hashes that are close.
    """
    pairs = {source: list(tied_pairs(real_data, source, patient)) for source, patient in NAMED_DOUBLES.items()}
    assert all(one["split_group"] == other["split_group"] for found in pairs.values() for one, other in found)
    assert len(pairs["usgra-seg"]) >= 33 and len(pairs["covid19_ultrasound/Northumbria"]) >= 21


def test_healthy_lungs_of_different_people_are_not_tied(real_data):
    """Volunteers whose lungs look much alike: same hospital, same device, the same lines below the pleura."""
    assert list(tied_pairs(real_data, "covid19_ultrasound/Neuruppin", "split_group")) == []


NAMED_DOUBLES = {"usgra-seg": "file", "covid19_ultrasound/Northumbria": "video_id"}  # source: column of the patient


def tied_pairs(real_data: Path, source: str, patient: str):
    """Pairs of rows of one source that are tied, although they stand under different patients."""
    table = pd.read_csv(real_data / "metadata.csv", dtype=str, keep_default_na=False)
    rows = table[(table["source"] == source) & (table["media"] == "image")].to_dict("records")
    settings = Settings(real_data, 64, 5, {}, True, False, Pseudonyms("site", b"k"))
    pictures = [prepare_file(settings, Job("", row["file"], "", "")).pictures[0] for row in rows]
    looks = [compared(decode_png(picture.image), decode_png(picture.sector)) for picture in pictures]
    for one, other in itertools.combinations(range(len(rows)), 2):
        close = (pictures[one].perceptual ^ pictures[other].perceptual).bit_count() <= CLOSE_HASHES
        if close and rows[one][patient] != rows[other][patient] and resemblance(looks[one], looks[other]).tied:
            yield rows[one], rows[other]
