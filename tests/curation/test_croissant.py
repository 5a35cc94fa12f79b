"""Croissant: what mlcroissant accepts without a word, and reads back without a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_archives import SITE, made_manifest, made_source

from ultrafm.curation.sheets.croissant import make_croissant, write_croissant
from ultrafm.curation.sheets.datasheet import count_flow, make_datasheet
from ultrafm.curation.sheets.fields import FIELDS
from ultrafm.curation.store import COLUMNS, PICTURES
from ultrafm.files import hash_file

mlcroissant = pytest.importorskip("mlcroissant")


def table(count: int = 5, simulated: bool = False) -> pd.DataFrame:
    """All columns of a store but the pictures, with empty cells of every kind."""
    numbers = np.arange(count)
    columns = {
        "image_id": [f"{SITE}/{number:016x}" for number in numbers], "site": SITE,
        "patient": [f"{number:08x}" for number in numbers], "clip": None, "structures": "{}",
        "label": ["benign" if number % 2 else None for number in numbers], "organ": "breast", "modality": "B-mode",
        "scan_mode": "linear", "found_scan_mode": "unknown", "fold": "train",
        "group": pd.array([1, *[None] * (count - 1)], dtype="Int32"), "difficulty": np.float32(0.5),
        "pixel_mm": [0.25, *[None] * (count - 1)], "original_width": 200, "original_height": 160,
        "crop": [[0, 1, 2, number] for number in numbers], "colour": [bool(number % 2) for number in numbers],
        "area": "rectangle", "sector_geometry": [[0.5, -8.0, 9.0, 40.0, -30.0, 30.0], *[None] * (count - 1)],
        "confidence": 0.8, "mask_outside": None, "text_marks": 0, "calipers": 0, "blur": 1.5,
        "contrast": 30.0, "entropy": 6.0, "saturated": 0.0, "blank": 0.1, "graphics": 0.0, "sha256": "ab",
        "source_hash": "cd", "perceptual_hash": "ef", "simulated": simulated,
    }  # fmt: skip
    return pd.DataFrame(columns)


def site_folder(tmp_path: Path, kept: pd.DataFrame, **origin: object) -> tuple[Path, dict]:
    """A curated site's folder with images.parquet and croissant.json; and its data sheet."""
    source = made_source(**origin)
    flow = count_flow(len(kept), [], len(kept))
    sheet = make_datasheet(made_manifest(source), source, kept, flow, [], {"image_size": 64})
    tmp_path.mkdir(exist_ok=True)
    kept.to_parquet(tmp_path / "images.parquet", index=False)
    write_croissant(tmp_path / "croissant.json", sheet, tmp_path / "images.parquet", "2026-11-25")
    return tmp_path, sheet


def no_network(*_args: object, **_more: object) -> None:
    raise AssertionError("a connection was tried")


def test_validator_accepts_it_without_a_word(tmp_path, caplog):
    folder, _sheet = site_folder(tmp_path, table(), licence="CC BY-NC 4.0", address="https://example.org/set")
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert dataset.metadata.ctx.issues.report() == ""
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    assert caplog.records == []
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert dataset.metadata.license == ["https://creativecommons.org/licenses/by-nc/4.0/"]
    assert dataset.metadata.personal_sensitive_information and dataset.metadata.data_biases
    assert dataset.metadata.data_collection and dataset.metadata.data_limitations


def test_records_are_read_back_without_a_network(tmp_path, monkeypatch):
    kept = table()
    folder, _sheet = site_folder(tmp_path, kept)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    records = list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("images"))
    assert len(records) == len(kept)
    assert [record["images/image_id"].decode() for record in records] == list(kept["image_id"])
    first, second = records[:2]
    assert set(first) == {f"images/{name}" for name in kept.columns}
    assert first["images/crop"] == [0, 1, 2, 0] and second["images/colour"] is True
    assert first["images/pixel_mm"] == 0.25 and second["images/pixel_mm"] is None
    assert first["images/group"] == 1 and second["images/group"] is None
    assert first["images/label"] is None and second["images/label"] == b"benign"
    assert first["images/blur"] == 1.5
    assert first["images/sector_geometry"] == [0.5, -8, 9, 40, -30, 30] and second["images/sector_geometry"] is None


def test_table_of_another_run_is_told_by_its_checksum(tmp_path):
    folder, _sheet = site_folder(tmp_path, table())
    made = json.loads((folder / "croissant.json").read_text())
    files = {entry["@id"]: entry for entry in made["distribution"]}
    assert files["images.parquet"]["sha256"] == hash_file(folder / "images.parquet")
    assert files["store-shards"]["includes"] == "store/*.arrow"


def test_every_column_has_words(tmp_path):
    assert set(COLUMNS) - set(PICTURES) <= set(FIELDS)
    folder, _sheet = site_folder(tmp_path, table().assign(brand_new_column=1))
    (records,) = json.loads((folder / "croissant.json").read_text())["recordSet"]
    told = {field["name"]: field for field in records["field"]}
    assert told["brand_new_column"]["description"] == "brand new column"
    assert told["crop"]["isArray"] and told["crop"]["dataType"] == "sc:Integer"
    assert told["sector_geometry"]["isArray"] and told["sector_geometry"]["dataType"] == "sc:Float"
    (read,) = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata.record_sets
    assert {field.name: field.array_shape for field in read.fields}["crop"] == "-1"
    assert told["colour"]["dataType"] == "sc:Boolean" and told["blur"]["dataType"] == "sc:Float"


def test_simulated_images_are_called_so(tmp_path):
    folder, _sheet = site_folder(tmp_path, table(simulated=True))
    made = json.loads((folder / "croissant.json").read_text())
    assert "simulated" in made["description"] and "simulated images" in made["keywords"]
    assert made["rai:personalSensitiveInformation"] == ["None: no person was scanned."]
    real, _sheet = site_folder(tmp_path / "real", table())
    made = json.loads((real / "croissant.json").read_text())
    about = {name: value for name, value in made.items() if name != "recordSet"}
    assert "simulated" not in json.dumps(about) and "real images" in made["keywords"]


def test_same_input_gives_the_same_bytes_and_dates_come_from_outside(tmp_path):
    folder, sheet = site_folder(tmp_path, table())
    before = (folder / "croissant.json").read_bytes()
    write_croissant(folder / "croissant.json", sheet, folder / "images.parquet", "2026-11-25")
    assert (folder / "croissant.json").read_bytes() == before
    undated = make_croissant(sheet, folder / "images.parquet")
    assert "datePublished" not in undated
    warnings = mlcroissant.Dataset(jsonld=undated).metadata.ctx.issues.warnings
    assert len(warnings) == 1 and "date" in next(iter(warnings))


def test_conditions_and_unusual_licences_are_told(tmp_path):
    folder, _sheet = site_folder(tmp_path, table(), licence="see the source")
    made = json.loads((folder / "croissant.json").read_text())
    assert made["license"] == ["see the source"] and "clear it with the publisher" in made["conditionsOfAccess"]
    assert "url" not in made


def test_what_a_reader_does_to_the_value_stays_with_it(tmp_path):
    """mlcroissant adds to the context that it is given; the next site's must be as it was."""
    folder, sheet = site_folder(tmp_path, table())
    before = make_croissant(sheet, folder / "images.parquet")
    context = dict(before["@context"])
    assert mlcroissant.Dataset(jsonld=before).metadata.name
    assert make_croissant(sheet, folder / "images.parquet")["@context"] == context
