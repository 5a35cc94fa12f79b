"""Curating whole small archives: what is kept, what is left out and why, and what is written."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_archives import SITE, fan, framed, made_manifest, made_source, save, speckle, write_plain, write_table
from PIL import Image

from ultrafm.curation import (
    Places,
    Wish,
    cross_site_duplicates,
    curate_archive,
    curate_site,
    curate_sites,
    load_masks,
    load_pictures,
    load_store,
)
from ultrafm.curation.across import site_fingerprints
from ultrafm.curation.duplicates import Likeness, find_duplicates
from ultrafm.curation.identity.pseudonyms import Pseudonyms
from ultrafm.curation.split import Ties
from ultrafm.curation.store import COLUMNS, read_table, store_schema
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder, read_json
from ultrafm.manifests import load_sites

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
FOLDS = ("train", "validation", "test", "evaluation")


def curated(tmp_path: Path, manifest=None, size: int = 32, out: str = "out", archive: str = "archive"):
    """Curate tmp_path/archive into tmp_path/out."""
    manifest = manifest or made_manifest()
    return curate_site(manifest, manifest.sources.local, tmp_path / out, tmp_path / archive, 0, size)


def left_out(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(tmp_path / "out" / SITE / "house" / "quarantine.csv").set_index("file")


def places(tmp_path: Path, data_root: Path | None = None, out: str = "out") -> Places:
    """Where a study of this test reads and writes."""
    manifests = tmp_path / "manifests"
    manifests.mkdir(exist_ok=True)
    return Places(tmp_path / out, tmp_path / "made", tmp_path / out / "work", manifests, data_root)


def test_sound_archive_is_kept_whole(tmp_path):
    write_plain(tmp_path / "archive")
    summary = curated(tmp_path)
    assert summary.flow == {
        "rows": 12, "quarantined": 0, "read": 12, "duplicates": 0, "low_quality": 0, "kept": 12
    }  # fmt: skip
    assert summary.patients == 6 and summary.images == "real"
    assert (tmp_path / "out" / SITE / "house" / "quarantine.csv").read_text() == "file,row,reason\n"


def test_store_has_the_agreed_columns_and_pictures(tmp_path):
    write_plain(tmp_path / "archive")
    curated(tmp_path)
    store = load_store(tmp_path / "out", SITE)
    assert store.column_names == list(COLUMNS)
    assert store.data.schema.remove_metadata() == store_schema().remove_metadata()
    first = store[0]
    assert first["image"].size == (32, 32) and first["image"].mode == "L"
    assert first["image_id"].startswith(f"{SITE}/") and first["mask"] is None
    assert first["crop"] == [20, 20, 180, 140] and first["original_width"] == 200
    assert {row["label"] for row in store} == {"benign", "malignant"}
    assert {row["organ"] for row in store} == {"breast"}
    assert store["image_id"][:] == sorted(store["image_id"][:])


def test_picture_is_the_area_average_of_the_scan(tmp_path):
    """160 x 120 pixels of scan become 32 x 24 in the middle of 32 x 32: the mean of each 5 x 5."""
    write_plain(tmp_path / "archive", patients=1, each=1)
    curated(tmp_path)
    image = load_pictures(tmp_path / "out", [SITE], FOLDS).images[0].astype(float)
    expected = speckle(0).reshape(24, 5, 32, 5).mean(axis=(1, 3))
    assert np.abs(image[4:28] - expected).max() <= 1, "rows and columns are rounded in turn"
    assert not image[:4].any() and not image[28:].any()


def test_every_fault_is_told_with_file_row_and_reason(tmp_path):
    archive = tmp_path / "archive"
    rows = write_plain(archive)
    sound = (archive / rows[0]["file"]).read_bytes()
    (archive / "cut.png").write_bytes(sound[: len(sound) // 2])
    (archive / "empty.png").write_bytes(b"")
    (archive / "text.png").write_bytes(b"not a picture at all")
    save(archive, "masked.png", framed(speckle(50)))
    save(archive, "small_mask.png", np.ones((10, 10), dtype=np.uint8))
    save(archive, "flat.png", framed(np.full((120, 160), 90, dtype=np.uint8)))
    save(archive, "tiny.png", framed(speckle(51)[:40, :40]))
    save(archive, "odd.png", framed(speckle(52)))
    save(archive, "nobody.png", framed(speckle(53)))
    extra = [
        ("cut.png", "p", "good", ""), ("empty.png", "p", "good", ""), ("text.png", "p", "good", ""),
        ("gone.png", "p", "good", ""), ("masked.png", "p", "good", "small_mask.png"), ("flat.png", "p", "good", ""),
        ("tiny.png", "p", "good", ""), ("odd.png", "p", "goood", ""), ("nobody.png", "", "good", ""),
    ]  # fmt: skip
    names = ("file", "patient", "label", "mask")
    write_table(archive, rows + [dict(zip(names, row), clip="") for row in extra])
    summary = curated(tmp_path)
    found = left_out(tmp_path)
    kinds = {name: reason.split(":")[0] for name, reason in found["reason"].items()}
    assert kinds == {
        "cut.png": "damaged file", "empty.png": "empty file", "text.png": "not a picture", "gone.png": "missing file",
        "masked.png": "mask of another size", "flat.png": "too little contrast", "tiny.png": "scan area too small",
        "odd.png": "unknown label", "nobody.png": "no patient",
    }  # fmt: skip
    assert found.loc["cut.png", "row"] == 14, "12 sound rows below the header"
    assert "did you mean 'good'" in found.loc["odd.png", "reason"]
    assert summary.flow["quarantined"] == 7 and summary.flow["low_quality"] == 2 and summary.flow["kept"] == 12


def test_exact_duplicates_are_kept_once_whatever_their_format(tmp_path):
    archive = tmp_path / "archive"
    rows = write_plain(archive, patients=2)
    Image.fromarray(framed(speckle(0))).save(archive / "again.bmp")
    write_table(archive, [*rows, {**rows[0], "file": "again.bmp"}])
    assert curated(tmp_path).flow["duplicates"] == 1
    reason = left_out(tmp_path).loc["again.bmp", "reason"]
    assert reason == f"same pixels: found the pixels of row 2 ({rows[0]['file']}) again; expected each picture once"


def test_the_same_pixels_of_two_patients_are_told_as_an_error_of_the_table(tmp_path):
    archive = tmp_path / "archive"
    rows = write_plain(archive, patients=4, each=1)
    save(archive, "again.png", framed(speckle(0)))
    write_table(archive, [*rows, {**rows[0], "file": "again.png", "patient": "Jones"}])
    assert curated(tmp_path).left_out == [{"stage": "duplicates", "kind": "same pixels, two patients", "images": 1}]
    assert left_out(tmp_path).loc["again.png", "reason"] == (
        "same pixels, two patients: found the pixels of row 2 (pictures/Smith_000.png) again, of another patient; "
        "expected one patient for one picture: one of the two is wrong, and should be corrected at its source"
    )


def test_a_site_without_a_table_is_told_of_files(tmp_path):
    archive = tmp_path / "archive"
    for name, seed in (("1/a.png", 0), ("1/b.png", 0), ("1/c.png", 1), ("2/d.png", 1), ("2/e.png", 2)):
        save(archive, name, framed(speckle(seed)))
    save(archive, "2/f.png", nearly(framed(speckle(2))))
    source = made_source(table=None, patient_pattern=r"^(\d)/")
    curated(tmp_path, made_manifest(source, label_map={}))
    found = left_out(tmp_path)["reason"]
    assert found["1/b.png"].startswith("same pixels: found the pixels of 1/a.png again; expected")
    assert found["2/d.png"].startswith("same pixels, two patients: found the pixels of 1/c.png again, of another p")
    assert found["2/f.png"].startswith("near duplicate: found a correlation of") and "with 2/e.png;" in found["2/f.png"]
    for path in archive.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UltraFMError, match=r"among 6 pictures; the first, 1/a\.png: not a picture") as caught:
        curated(tmp_path, made_manifest(source, label_map={}))
    assert "row" not in str(caught.value)


def test_same_pixels_with_two_labels_are_all_left_out(tmp_path):
    archive = tmp_path / "archive"
    rows = write_plain(archive, patients=2)
    save(archive, "again.png", framed(speckle(0)))
    write_table(archive, [*rows, {**rows[0], "file": "again.png", "label": "bad"}])
    assert curated(tmp_path).flow["kept"] == 3
    first = rows[0]["file"]
    assert set(left_out(tmp_path).index) == {"again.png", first}
    told = f"found benign and malignant for the same pixels in row 2 ({first}), row 6 (again.png); expected"
    assert left_out(tmp_path)["reason"].str.contains(told, regex=False).all()


def test_contradictory_labels_of_many_pictures_are_told_in_few_words():
    pictures = [Likeness(f"p{number}", "", ("good", "bad")[number % 2], "same", 0) for number in range(7)]
    left = find_duplicates(pictures, Ties({}), lambda position: None, lambda position: f"row {position + 2}")
    assert len(left) == 7
    assert str(left[6]) == (
        "contradictory labels: found bad and good for the same pixels in row 2, row 3, row 4, row 5, row 6 and 2 more, "
        "of different patients; expected one label for one picture"
    )


def nearly(picture: np.ndarray) -> np.ndarray:
    """The same picture with a little noise and another gain."""
    noise = np.random.default_rng(9).normal(0, 3, picture.shape)
    return np.where(picture > 0, np.clip(picture * 0.95 + noise, 1, 255), 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("patients", "clips", "kind"),
    [
        (("1", "1"), ("", ""), "near duplicate"),
        (("1", "1"), ("a", "b"), "near duplicate"),
        (("1", "1"), ("a", "a"), None),
        (("1", "2"), ("", ""), None),
        (("1", "2"), ("a", "a"), None),
    ],
)
def test_near_duplicates(tmp_path, patients, clips, kind):
    """Of one patient the second is left out; of two patients both stay, in one fold."""
    archive = tmp_path / "archive"
    rows = write_plain(archive, patients=8, each=1)
    picture = framed(speckle(100))
    for file, patient, clip in zip(("one.png", "two.png"), patients, clips):
        save(archive, file, picture if file == "one.png" else nearly(picture))
        rows.append({"file": file, "patient": patient, "label": "good", "mask": "", "clip": clip})
    write_table(archive, rows)
    curated(tmp_path)
    reasons = left_out(tmp_path)["reason"].to_dict()
    assert list(reasons) == ([] if kind is None else ["two.png"])
    assert all(reason.startswith(f"{kind}: found a correlation of") for reason in reasons.values())
    if patients[0] != patients[1]:
        pseudonyms = Pseudonyms(SITE, SITE.encode())
        folds = load_pictures(tmp_path / "out", [SITE], FOLDS).table.groupby("patient")["fold"].first()
        assert folds[pseudonyms.of("patient", "1")] == folds[pseudonyms.of("patient", "2")]
    tied = read_json(tmp_path / "out" / SITE / "datasheet.json")["tied_patients"]
    assert tied == (2 if patients[0] != patients[1] else 0)


def test_a_new_picture_that_ties_two_folds_is_left_out(tmp_path):
    """With a lock: patients who were dealt apart stay apart, and the picture that would tie them is told of."""
    archive = tmp_path / "archive"
    rows = write_plain(archive, patients=8, each=1)
    write_table(archive, rows)
    manifest, folder = made_manifest(), tmp_path / "manifests"
    folder.mkdir()

    def curate_again():
        return curate_site(manifest, manifest.sources.local, tmp_path / "out", archive, 0, 32, folder)

    curate_again()
    table = load_pictures(tmp_path / "out", [SITE], FOLDS).table
    folds = table.groupby("patient")["fold"].first()
    pseudonyms = Pseudonyms(SITE, SITE.encode())
    named = {fold: row["patient"] for row in rows if (fold := folds[pseudonyms.of("patient", row["patient"])])}
    number = next(n for n, row in enumerate(rows) if row["patient"] == named["train"])
    save(archive, "late.png", nearly(framed(speckle(number))))
    late = {"file": "late.png", "patient": named["test"], "label": "good", "mask": "", "clip": ""}
    write_table(archive, [*rows, late])
    curate_again()
    assert left_out(tmp_path).loc["late.png", "reason"].startswith("ties two folds: found a correlation of")
    after = load_pictures(tmp_path / "out", [SITE], FOLDS).table
    pd.testing.assert_frame_equal(after, table)


def test_different_pictures_are_no_duplicates(tmp_path):
    write_plain(tmp_path / "archive", patients=40)
    assert curated(tmp_path).flow["kept"] == 80


def test_adding_files_drops_no_picture_and_moves_nobody(tmp_path):
    rows = write_plain(tmp_path / "archive", patients=8)
    manifest, folder = made_manifest(), tmp_path / "manifests"
    folder.mkdir()
    for out in ("before", "out"):
        curate_site(manifest, manifest.sources.local, tmp_path / out, tmp_path / "archive", 0, 32, folder)
        more = write_plain(tmp_path / "archive", patients=14)
        write_table(tmp_path / "archive", rows + more[len(rows) :])
    before = load_pictures(tmp_path / "before", [SITE], FOLDS).table.set_index("image_id")
    after = load_pictures(tmp_path / "out", [SITE], FOLDS).table.set_index("image_id")
    assert len(after) == 28 and set(before.index) < set(after.index)
    pd.testing.assert_frame_equal(after.loc[before.index], before)


def test_row_order_changes_nothing_in_the_store(tmp_path):
    rows = write_plain(tmp_path / "archive")
    curated(tmp_path, out="one")
    write_table(tmp_path / "archive", rows[::-1])
    curated(tmp_path, out="two")
    stores = [hash_folder(tmp_path / out / SITE / "store") for out in ("one", "two")]
    assert stores[0] == stores[1]


def test_a_second_run_writes_the_same_bytes(tmp_path):
    write_plain(tmp_path / "archive")
    for out in ("one", "two"):
        curated(tmp_path, out=out)
    curated(tmp_path, out="two")
    assert hash_folder(tmp_path / "one" / SITE) == hash_folder(tmp_path / "two" / SITE)
    names = sorted(path.name for path in (tmp_path / "two" / SITE).iterdir())
    assert names == [
        "croissant.json", "datasheet.html", "datasheet.json", "datasheet.md", "house", "images.parquet", "release.json",
        "store", "summary.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [SITE, "work"], "no temporary folder is left"


def test_no_name_of_file_or_patient_leaves_the_site(tmp_path):
    """The quarantine list may name files; it stays with the site."""
    write_plain(tmp_path / "archive")
    curated(tmp_path)
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.name not in ("quarantine.csv", "files.csv"):
            assert b"smith" not in path.read_bytes().lower(), path.name


def test_one_patient_is_curated_and_noted(tmp_path):
    write_plain(tmp_path / "archive", patients=1)
    summary = curated(tmp_path)
    assert summary.folds == {"train": {"images": 2, "patients": 1}}
    sheet = json.loads((tmp_path / "out" / SITE / "datasheet.json").read_text())
    assert any("One patient only" in note for note in sheet["notes"])
    assert any("No patient fell into the fold" in note for note in sheet["notes"])


def test_data_sheet_counts_what_is_in_the_store(tmp_path):
    write_plain(tmp_path / "archive")
    curated(tmp_path)
    sheet = json.loads((tmp_path / "out" / SITE / "datasheet.json").read_text())
    table = load_pictures(tmp_path / "out", [SITE], FOLDS).table
    assert sheet["counts"]["label"] == {
        "benign": {"images": 6, "patients": 3}, "malignant": {"images": 6, "patients": 3}
    }  # fmt: skip
    in_folds = {fold: both["images"] for fold, both in sheet["counts"]["fold"].items()}
    assert in_folds == table["fold"].value_counts().to_dict()
    assert sheet["quality"]["contrast"]["median"] == pytest.approx(table["contrast"].median(), abs=1e-3)
    assert sheet["scan_area"] == {"sector": 0, "rectangle": 12, "whole": 0}
    assert "| kept | 12 |" in (tmp_path / "out" / SITE / "datasheet.md").read_text()


def test_masks_of_two_structures(tmp_path):
    archive = tmp_path / "archive"
    mask = np.zeros((160, 200), dtype=np.uint8)
    mask[20:80, 20:100], mask[80:140, 100:180] = 5, 9  # the scan is 20:140 by 20:180
    save(archive, "mask.png", mask)
    rows = [{**row, "mask": "mask.png" if number else ""} for number, row in enumerate(write_plain(archive, 2, 1))]
    write_table(archive, rows)
    source = made_source(mask_values={"vessel": [5], "nerve": [9]})
    curated(tmp_path, made_manifest(source))
    pictures = load_pictures(tmp_path / "out", [SITE], FOLDS)
    parts = {"vessel": (slice(4, 16), slice(0, 16)), "nerve": (slice(16, 28), slice(16, 32))}
    for structure, part in parts.items():
        masks, known = load_masks(tmp_path / "out", [SITE], FOLDS, structure)
        expected = np.zeros((32, 32), dtype=np.uint8)
        expected[part] = 1
        assert sorted(known.tolist()) == [False, True] and masks.dtype == np.uint8
        assert np.array_equal(masks[known][0], expected) and not masks[~known].any()
    masks, known = load_masks(tmp_path / "out", [SITE], FOLDS, "lesion")
    assert not known.any() and len(masks) == len(pictures.table)


def test_loading_a_fold_without_pictures_gives_empty_arrays(tmp_path):
    write_plain(tmp_path / "archive", patients=1)
    curated(tmp_path)
    empty = load_pictures(tmp_path / "out", [SITE], ["evaluation"])
    assert empty.images.shape == (0, 32, 32) and empty.sectors.shape == (0, 32, 32) and len(empty.table) == 0


def test_sites_of_different_sizes_are_not_mixed(tmp_path):
    write_plain(tmp_path / "archive", patients=1)
    curated(tmp_path)
    curated(tmp_path, made_manifest(site="site_02_test"), size=16)
    with pytest.raises(UltraFMError, match="one picture size"):
        load_pictures(tmp_path / "out", [SITE, "site_02_test"], FOLDS)


def test_a_store_of_an_earlier_version_is_not_mixed_with_newer_ones(tmp_path, monkeypatch):
    write_plain(tmp_path / "archive", patients=1)
    curated(tmp_path)
    curated(tmp_path, made_manifest(site="site_02_test"))

    def earlier(out, site):
        table = read_table(out, site)
        return table.drop_columns(["measured"]) if site == "site_02_test" else table

    monkeypatch.setattr("ultrafm.curation.pictures.read_table", earlier)
    with pytest.raises(UltraFMError, match=r"site_02_test: found a store without measured.*curate the site again"):
        load_pictures(tmp_path / "out", [SITE, "site_02_test"], FOLDS)
    assert "measured" not in load_pictures(tmp_path / "out", ["site_02_test"], FOLDS).table


def test_sector_of_a_fan_is_stored_and_its_text_is_gone(tmp_path):
    archive = tmp_path / "archive"
    save(archive, "fan.png", fan(1, text="JOHN DOE 1960-01-01")[0])
    write_table(archive, [{"file": "fan.png", "patient": "1", "label": "", "mask": "", "clip": ""}])
    curated(tmp_path, size=64)
    pictures = load_pictures(tmp_path / "out", [SITE], FOLDS)
    assert 0.4 < pictures.sectors.mean() < 0.75
    assert not pictures.images[~pictures.sectors].any()
    assert pictures.table["label"].isna().all()


def test_the_same_picture_at_two_sites_is_found_by_its_hash(tmp_path):
    write_plain(tmp_path / "archive", patients=3)
    curated(tmp_path)
    curated(tmp_path, made_manifest(site="site_02_test"))
    sites = [SITE, "site_02_test"]
    pairs = cross_site_duplicates(tmp_path / "out", sites, b"one key")
    assert len(pairs) == 6 and pairs["same_pixels"].all() and (pairs["bits"] == 0).all()
    folds = load_pictures(tmp_path / "out", sites, FOLDS).table.set_index("image_id")["fold"]
    apart = [folds[one] != folds[other] for one, other in zip(pairs["image_id"], pairs["other_image_id"])]
    assert pairs["two_folds"].tolist() == apart
    pd.testing.assert_frame_equal(pairs, cross_site_duplicates(tmp_path / "out", sites, b"another key"))
    assert len(cross_site_duplicates(tmp_path / "out", [SITE], b"one key")) == 0


def test_what_a_site_hands_out_shows_no_open_hash_unless_it_agrees(tmp_path):
    write_plain(tmp_path / "archive", patients=3)
    curated(tmp_path)
    table = load_pictures(tmp_path / "out", [SITE], FOLDS).table
    handed = site_fingerprints(tmp_path / "out", SITE, b"key")
    assert set(handed) == {"site", "image_id", "fold", "exact"}
    assert not set(handed["exact"]) & set(table["sha256"])
    assert set(site_fingerprints(tmp_path / "out", SITE, b"key", near=True)) == {*handed, "perceptual_hash"}


def test_nearly_the_same_picture_at_two_sites_is_found_only_when_both_agree(tmp_path):
    for site, picture in ((SITE, framed(speckle(0))), ("site_02_test", nearly(framed(speckle(0))))):
        save(tmp_path / "archive", "one.png", picture)
        write_table(tmp_path / "archive", [{"file": "one.png", "patient": "1", "label": "", "mask": "", "clip": ""}])
        curated(tmp_path, made_manifest(site=site))
    sites = [SITE, "site_02_test"]
    assert cross_site_duplicates(tmp_path / "out", sites, b"k").empty
    near = cross_site_duplicates(tmp_path / "out", sites, b"k", near=True)
    assert len(near) == 1 and not near["same_pixels"].any() and near["bits"].iloc[0] <= 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {"file": "fill", "patient": "patient"}}, "did you mean 'file'"),
        ({"table": "table.csv"}, "no such file"),
        ({"path": "elsewhere"}, "no such folder"),
        ({"where": {"patient": "Smith-77"}}, "no row with patient 'Smith-77'"),
        ({"where": {"patients": "1", "file": "x"}}, "did you mean 'patient'"),
    ],
)
def test_what_the_manifest_names_must_be_there(tmp_path, change, said):
    write_plain(tmp_path / "archive", patients=1)
    with pytest.raises(UltraFMError, match=SITE) as caught:
        curated(tmp_path, made_manifest(made_source(**change)))
    assert said in str(caught.value)


def test_missing_data_root_is_told(tmp_path):
    with pytest.raises(UltraFMError, match="no such folder"):
        curated(tmp_path)
    with pytest.raises(UltraFMError, match="--data-root"):
        curate_archive(made_manifest(), places(tmp_path), Wish("local", 0, 32))


def test_no_usable_image_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "archive").mkdir()
    rows = [{"file": "gone.png", "patient": "1", "label": "good", "mask": "", "clip": ""}]
    write_table(tmp_path / "archive", rows)
    with pytest.raises(UltraFMError, match=r"no usable image among 1 rows.*gone.png in row 2: missing file"):
        curated(tmp_path)
    assert not (tmp_path / "out" / SITE).exists()


def test_spreadsheet_tables_are_read(tmp_path):
    """Semicolons, a byte order mark, blank lines and the Western code page are what spreadsheets write."""
    archive = tmp_path / "archive"
    save(archive, "über.png", framed(speckle(0)))
    for encoding in ("utf-8-sig", "cp1252"):
        text = "file;patient;label;mask;clip\n\nüber.png; 7 ;good;;\n;;;;\n"
        (archive / "metadata.csv").write_bytes(text.encode(encoding))
        summary = curated(tmp_path)
        assert summary.flow["rows"] == summary.flow["kept"] == 1


def test_workers_change_nothing(tmp_path):
    """Two processes give the bytes of one, and end."""
    write_plain(tmp_path / "archive", patients=2)
    sites = [made_manifest(), made_manifest(site="site_02_test")]
    tables = [
        curate_sites(sites, places(tmp_path, tmp_path / "archive", out), Wish("local", 0, 16, workers=workers))
        for out, workers in (("one", 1), ("two", 2))
    ]
    pd.testing.assert_frame_equal(*tables)
    for site in sites:
        assert hash_folder(tmp_path / "one" / site.site) == hash_folder(tmp_path / "two" / site.site)
    assert tables[0]["site"].tolist() == [SITE, "site_02_test"] and multiprocessing.active_children() == []


def test_files_read_side_by_side_give_the_same_bytes(tmp_path, monkeypatch):
    """One site, two processes, batches of two files."""
    write_plain(tmp_path / "archive")
    monkeypatch.setattr("ultrafm.curation.process.FILES_AT_ONCE", 2)
    monkeypatch.setattr("ultrafm.curation.process.WORTH_A_PROCESS", 1)
    for out, workers in (("one", 1), ("two", 2)):
        wish = Wish("local", 0, 16, workers=workers)
        curate_sites([made_manifest()], places(tmp_path, tmp_path / "archive", out), wish)
    assert hash_folder(tmp_path / "one" / SITE / "store") == hash_folder(tmp_path / "two" / SITE / "store")
    assert multiprocessing.active_children() == []


def test_a_store_in_several_shards_is_one_store(tmp_path, monkeypatch):
    write_plain(tmp_path / "archive")
    whole = curated(tmp_path, out="whole")
    monkeypatch.setattr("ultrafm.curation.store.ROWS_PER_SHARD", 5)
    monkeypatch.setattr("ultrafm.curation.store.ROWS_PER_BATCH", 2)
    parts = curated(tmp_path, out="parts")
    assert whole.content == parts.content
    assert len(list((tmp_path / "parts" / SITE / "store").glob("*.arrow"))) == 3
    stores = [load_store(tmp_path / out, SITE) for out in ("whole", "parts")]
    assert stores[0]["image_id"][:] == stores[1]["image_id"][:] and len(stores[1]) == 12
    loaded = [load_pictures(tmp_path / out, [SITE], FOLDS) for out in ("whole", "parts")]
    assert np.array_equal(loaded[0].images, loaded[1].images)
    assert len(pd.read_parquet(tmp_path / "parts" / SITE / "images.parquet")) == 12


def test_an_error_travels_between_processes_whole():
    error = UltraFMError("site, file", "nothing", "something", "look")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.mend == "look"


def test_simulated_archive_is_curated_and_its_planted_faults_are_found(tmp_path):
    """The phantom plants 2 exact and 3 near duplicates at this site; both kinds of count come from its manifest."""
    site = next(site for site in load_sites(MANIFESTS) if site.sources.phantom.planted.exact_duplicates == 2)
    summary = curate_archive(site, places(tmp_path), Wish("phantom", 0, 32, 0.1))
    assert not list((tmp_path / "manifests").iterdir()), "a simulated site keeps no key and no lock"
    kinds = {entry["kind"]: entry["images"] for entry in summary.left_out}
    assert summary.images == "simulated" and kinds == {"same pixels": 2, "near duplicate": 3}
    table = load_pictures(tmp_path / "out", [site.site], FOLDS).table
    assert table["simulated"].all() and table["label"].notna().all()
    known = table["difficulty"].dropna()
    assert len(known) and known.between(0, 1).all()


def test_strips_of_m_mode_and_spectra_tie_no_simulated_patients(tmp_path):
    """All pictures of this site's device share a fan, a strip and a dotted line; each patient is a cluster alone."""
    site = next(site for site in load_sites(MANIFESTS) if site.site.startswith("site_10"))
    curate_archive(site, places(tmp_path), Wish("phantom", 0, 64, 0.9))
    assert read_json(tmp_path / "out" / site.site / "datasheet.json")["tied_patients"] == 0


@pytest.fixture(scope="module")
def real_sites(real_data, tmp_path_factory):
    """Four real sites curated: folder and table."""
    wanted = ("site_02", "site_03", "site_06", "site_14")
    manifests = [site for site in load_sites(Path(__file__).parents[1] / "real_sites") if site.site.startswith(wanted)]
    out = tmp_path_factory.mktemp("real")
    where = Places(out, out / "none", out / "work", Path(__file__).parents[1] / "real_sites", real_data)
    return out, curate_sites(manifests, where, Wish("open", 0, 64))


def test_real_sites_are_curated_without_loss(real_sites):
    _out, table = real_sites
    assert table["kept"].tolist() == [36, 20, 56, 15]
    assert set(table["images"]) == {"real"}


def test_real_lesions_stay_inside_the_crop(real_sites):
    out, _table = real_sites
    masks, known = load_masks(out, ["site_02_aul"], FOLDS)
    assert known.all() and masks.any(axis=(1, 2)).all()
    sheet = json.loads((out / "site_02_aul" / "datasheet.json").read_text())
    assert sheet["masks"] == {"with_mask": 36, "reaching_outside_the_scan_area": 0}


def test_real_scan_areas_have_the_right_kind(real_sites):
    out, _table = real_sites
    areas = {
        site: json.loads((out / site / "datasheet.json").read_text())["scan_area"]
        for site in ("site_02_aul", "site_03_imfusion_liver_sweep", "site_06_timtrack_gastrocnemius")
    }
    assert areas["site_02_aul"]["sector"] == 36
    assert areas["site_03_imfusion_liver_sweep"]["sector"] == 20
    assert areas["site_06_timtrack_gastrocnemius"]["rectangle"] == 56
