"""Drafts of manifests and the JSON Schema that editors use."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder
from ultrafm.manifests import load_vocabulary, write_json_schema
from ultrafm.manifests.json_schema import EDITOR_LINE, FILE, json_schema
from ultrafm.manifests.scaffold import draft_manifest
from ultrafm.study import REPOSITORY

FOLDERS = [REPOSITORY / "data_manifests", REPOSITORY / "tests" / "real_sites"]
FILLED = {"title": "A clinic", "probe": "linear", "organs": "[breast]", "country": "Norway"}


@pytest.fixture
def export(tmp_path):
    """A hospital's folder: 12 pictures of 6 patients, a table with names of its own."""
    folder = tmp_path / "data" / "breast export"
    (folder / "pictures").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = ["Picture;Case ID;Biopsy;Seen by"]
    for number in range(12):
        pixels = generator.integers(0, 255, (96, 120), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number:04}.png")
        rows.append(f"pictures/{number:04}.png;K{number // 2};{'Benign' if number < 6 else 'M'};me")
    (folder / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def fill_in(path):
    """Do what a person does with a draft."""
    text = path.read_text()
    for field, value in FILLED.items():
        text = text.replace(f"{field}: FILL IN", f"{field}: {value}").replace(
            f"{field}: [FILL IN]", f"{field}: {value}"
        )
    path.write_text(text.replace("FILL IN ", "the house ").replace("M: unknown", "M: malignant"))


def test_a_draft_finds_the_columns_and_asks_for_the_rest(export, tmp_path, capsys):
    before = hash_folder(export)
    out = tmp_path / "my_manifests"
    assert main(["manifests", "new", str(export), "--out", str(out), "--site", "site_01_own_breast"]) == 0
    told = capsys.readouterr().out
    assert "12 pictures" in told and "line 5: title: FILL IN" in told
    draft = yaml.safe_load((out / "site_01_own_breast.yaml").read_text())
    assert draft["sources"]["local"]["columns"] == {"file": "Picture", "patient": "Case ID", "label": "Biopsy"}
    assert draft["label_map"] == {"Benign": "benign", "M": "unknown"}
    assert hash_folder(export) == before, "the hospital's folder is only read"


def test_a_draft_is_refused_by_the_check_until_it_is_filled_in(export, tmp_path, capsys):
    out = tmp_path / "my_manifests"
    draft = draft_manifest(export, out, "site_01_own_breast")
    assert main(["manifests", "check", str(out)]) == 1
    told = capsys.readouterr().err
    assert "line 5, field title: found 'FILL IN'" in told and "field organs.0" in told
    fill_in(draft.path)
    assert main(["manifests", "check", str(out)]) == 0


def test_a_filled_in_draft_curates_and_a_dry_run_keeps_nothing(export, tmp_path, capsys):
    draft = draft_manifest(export, tmp_path / "my_manifests", "site_01_own_breast")
    fill_in(draft.path)
    before = hash_folder(tmp_path)
    command = ["curate", str(draft.path), "--data-root", str(export.parent)]
    assert main([*command, "--dry-run"]) == 0
    assert "12" in capsys.readouterr().out and hash_folder(tmp_path) == before
    assert main([*command, "--out", str(tmp_path / "curated")]) == 0
    assert (tmp_path / "curated" / "site_01_own_breast" / "store").is_dir()
    assert main(command) == 1 and "--dry-run" in capsys.readouterr().err


def test_the_check_finds_missing_files_columns_and_unknown_labels(export, tmp_path, capsys):
    draft = draft_manifest(export, tmp_path / "my_manifests", "site_01_own_breast")
    fill_in(draft.path)
    command = ["manifests", "check", str(draft.path.parent), "--data-root", str(export.parent)]
    assert main(command) == 0
    (export / "pictures" / "0003.png").unlink()
    table = (export / "list.csv").read_text()
    (export / "list.csv").write_text(table.replace("0005.png;K2;Benign", "0005.png;K2;Benin"))
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "row 5: missing file: found no file pictures/0003.png" in told and "did you mean 'Benign'" in told
    draft.path.write_text(draft.path.read_text().replace("patient: Case ID", "patient: Case"))
    assert main(command) == 1
    assert "a column 'Case', which sources.columns.patient names" in capsys.readouterr().err


def test_curate_says_when_much_was_left_out(export, tmp_path, capsys):
    draft = draft_manifest(export, tmp_path / "my_manifests", "site_01_own_breast")
    fill_in(draft.path)
    for number in range(3):
        (export / "pictures" / f"{number:04}.png").unlink()
    out = tmp_path / "curated"
    assert main(["curate", str(draft.path), "--data-root", str(export.parent), "--out", str(out)]) == 0
    assert "3 of 12 pictures were left out" in capsys.readouterr().err


def test_a_folder_without_pictures_is_told_of(export, tmp_path):
    for path in export.rglob("*.png"):
        path.unlink()
    with pytest.raises(UltraFMError, match="no picture"):
        draft_manifest(export, tmp_path / "out", "site_01_own")


def drafted(export, tmp_path, *lines):
    """The draft for a table of these lines, and what it says as YAML."""
    (export / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    draft = draft_manifest(export, tmp_path / "out", "site_01_own")
    return draft, yaml.safe_load(draft.path.read_text(encoding="utf-8"))


GERMAN = "Lfd;Patientennummer;Dateiname;Dignität;Organ;Modalität;Schallkopf"


def test_a_german_table_is_understood(export, tmp_path):
    draft, manifest = drafted(
        export, tmp_path, GERMAN,
        "1;K1;pictures/0000.png;gutartig;Mamma;B-Bild;Linear",
        "2;K2;pictures/0001.png;Bösartig;Axilla;B-mode;L12-5",
        "3;K2;pictures/0002.png;Zyste;unbekannt;;",
    )  # fmt: skip
    assert manifest["sources"]["local"]["columns"] == {
        "file": "Dateiname", "patient": "Patientennummer", "label": "Dignität", "organ": "Organ",
        "modality": "Modalität", "scan_mode": "Schallkopf",
    }  # fmt: skip
    assert manifest["label_map"] == {"gutartig": "benign", "Bösartig": "malignant", "Zyste": "unknown"}
    assert manifest["word_map"] == {
        "organ": {"Mamma": "breast", "Axilla": "FILL IN", "unbekannt": "unknown"},
        "modality": {"B-Bild": "B-mode"},
        "scan_mode": {"Linear": "linear", "L12-5": "FILL IN"},
    }
    assert (manifest["organs"], manifest["modalities"], manifest["scan_modes"]) == (["breast"], ["B-mode"], ["linear"])
    assert draft.not_used == ["Lfd"]
    assert "label: 'gutartig' means benign" in draft.found and "organ: 'Mamma' means breast" in draft.found
    asked = {line.split(": ")[1] for line in draft.to_do}
    assert asked == {"title", "probe", "Zyste", "Axilla", "L12-5", "publisher", "country", "licence"}


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Fichier;N° Dossier;Numéro patient;Résultat", {"file": "Fichier", "patient": "Numéro patient"}),
        ("Archivo;NHC;Diagnóstico;Notas", {"file": "Archivo", "patient": "NHC", "label": "Diagnóstico"}),
        ("Picture;Patient ID;Patient age;Probe", {"file": "Picture", "patient": "Patient ID", "scan_mode": "Probe"}),
    ],
)  # fmt: skip
def test_tables_in_other_languages_are_understood(export, tmp_path, header, columns):
    _draft, manifest = drafted(export, tmp_path, header, "pictures/0000.png;7;8;linear")
    assert manifest["sources"]["local"]["columns"] == columns


def test_files_are_known_by_their_cells_and_a_patient_is_asked_for(export, tmp_path, capsys):
    lines = ["Zeug,Nr,Station", *(f"pictures/{n:04}.png,{n // 2},X" for n in range(12))]
    (export / "list.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    assert main(["manifests", "new", str(export), "--out", str(out), "--site", "site_01_own"]) == 0
    told = capsys.readouterr().out
    assert "found file: column 'Zeug', by its content" in told
    assert "  not used: Nr; Station\n" in told
    assert "patient: FILL IN  # choose one of: Nr (6 different), Station (1 different)" in told
    assert f"--data-root {export.parent}" in told
    text = (out / "site_01_own.yaml").read_text()
    waiting = [line for line in text.splitlines() if "FILL IN" in line and line[0] != "#"]
    assert len(waiting) == 7 and all(line.strip() in told for line in waiting)  # organs: [FILL IN] is one of them
    assert "organs: [FILL IN]" in told
    assert main(["manifests", "check", str(out)]) == 1
    assert "field sources.local.columns.patient: found 'FILL IN'" in capsys.readouterr().err


def test_a_mask_is_known_by_its_cells_and_a_second_column_is_not_taken_twice(export, tmp_path):
    draft, manifest = drafted(export, tmp_path, "eins,zwei,patient", "pictures/0000.png,pictures/0001.png,1")
    assert manifest["sources"]["local"]["columns"] == {"file": "eins", "patient": "patient", "mask": "zwei"}
    assert "mask: column 'zwei', by its content: its cells name files" in draft.found


def test_a_column_of_files_that_do_not_exist_is_taken_by_its_name_and_told_of(export, tmp_path):
    draft, manifest = drafted(export, tmp_path, "Dateiname,Patient,Maske", "pictures\\0000.png,1,ja")
    assert manifest["sources"]["local"]["columns"] == {"file": "Dateiname", "patient": "Patient"}
    assert any(line.startswith("file: column 'Dateiname', by its name; most of its cells") for line in draft.found)
    assert draft.not_used == ["Maske"]


def test_a_table_in_which_nothing_is_known_leaves_both_columns_to_a_person(export, tmp_path):
    draft, manifest = drafted(export, tmp_path, "a,b", "1,2", "1,3")
    assert manifest["sources"]["local"]["columns"] == {"file": "FILL IN", "patient": "FILL IN"}
    assert sum("choose one of: a (1 different), b (2 different)" in line for line in draft.to_do) == 2


def test_sentences_are_no_labels_and_do_not_reach_the_manifest(export, tmp_path):
    sentence = "Frau Muster, geboren 1950, hat links oben außen einen unklaren Herd"
    draft, manifest = drafted(
        export, tmp_path, "Datei;Patient;Befund;Anatomie",
        *(f"pictures/{n % 12:04}.png;{n};{sentence};Region {n}" for n in range(31)),
    )  # fmt: skip
    assert draft.not_used == [
        "Befund (values of more than 60 letters)",
        "Anatomie (31 different values, at most 30 can be mapped)",
    ]
    assert "label_map" not in manifest and "Muster" not in draft.path.read_text()


def test_the_table_that_names_files_is_taken_and_others_are_told_of(export, tmp_path):
    (export / "a.csv").write_text("patient,age\nK1,50\n")
    draft = draft_manifest(export, tmp_path / "out", "site_01_own")
    assert "table list.csv with 12 rows" in draft.found and draft.not_used == ["Seen by", "table a.csv"]


def test_a_table_without_files_beside_dicom_files_is_told_of_and_not_used(tmp_path):
    folder = tmp_path / "data" / "export"
    folder.mkdir(parents=True)
    (folder / "a.dcm").write_bytes(bytes(128) + b"DICM")
    (folder / "log.csv").write_text("patient,age\nK1,50\n")
    draft = draft_manifest(folder, tmp_path / "out", "site_01_own")
    assert yaml.safe_load(draft.path.read_text())["sources"]["local"]["kind"] == "dicom"
    assert draft.not_used == ["table log.csv, which has no column of files"]


def test_names_that_yaml_could_misread_stay_as_they_are(export, tmp_path):
    header = '"Datei","Patient: Nr # 1","no\nyes",Diagnose'
    draft, manifest = drafted(export, tmp_path, header, "pictures/0000.png,1,2,no", "pictures/0001.png,1,2,1: x")
    assert manifest["sources"]["local"]["columns"] == {"file": "Datei", "patient": "FILL IN", "label": "Diagnose"}
    assert manifest["label_map"] == {"no": "unknown", "1: x": "unknown"}
    assert draft.not_used == ["Patient: Nr # 1", "no\nyes"]


def filled(draft, **more):
    """A draft with everything filled in, as the check and the curation would read it."""
    fill_in(draft.path)
    text = draft.path.read_text()
    for old, new in more.items():
        text = text.replace(f"{old}: FILL IN", f"{old}: {new}").replace(f"{old}: the house", f"{old}: {new}")
    draft.path.write_text(text)
    return draft.path


def test_a_folder_without_a_table_is_drafted_by_what_lies_in_it(export, tmp_path, capsys):
    (export / "list.csv").unlink()
    draft = draft_manifest(export, tmp_path / "out", "site_01_own")
    assert draft.found == ["12 pictures", "no table, so a source of kind folder"]
    assert any("patient_pattern: FILL IN" in line for line in draft.to_do)
    assert main(["manifests", "check", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "field sources.local.patient_pattern: found 'FILL IN'" in told and "round brackets" not in told
    assert "field title: found 'FILL IN'" in told, "all open fields are told at once"
    path = filled(draft, patient_pattern=r"pictures/(\d+)\.png")
    assert main(["manifests", "check", str(path.parent), "--data-root", str(export.parent)]) == 0
    source = yaml.safe_load(path.read_text())["sources"]["local"]
    assert source["table"] is None and source["deidentification"]["pseudonyms"] == "secret"
    assert source["deidentification"]["sign_off"] is True and source["conditions"] == ["in the house"]


@pytest.mark.parametrize(
    ("names", "kind"), [(["a.mp4", "b.avi", "c.png"], "video"), (["IM1", "b.dcm", "c.png"], "dicom")]
)
def test_clips_and_dicom_files_are_known(tmp_path, names, kind):
    folder = tmp_path / "data" / "export"
    folder.mkdir(parents=True)
    for name in [*names, "DICOMDIR", "notes.txt"]:
        (folder / name).write_bytes(bytes(128) + b"DICM")
    draft = draft_manifest(folder, tmp_path / "out", "site_01_own")
    source = yaml.safe_load(draft.path.read_text())["sources"]["local"]
    assert source["kind"] == kind and ("patient_tag" in source) == (kind == "dicom")
    assert ("patient_pattern" in source) == (kind == "video") and "table" not in source


def test_a_manifest_is_never_overwritten_and_a_site_needs_an_id(export, tmp_path):
    draft_manifest(export, tmp_path / "out", "site_01_own")
    with pytest.raises(UltraFMError, match="exists already"):
        draft_manifest(export, tmp_path / "out", "site_01_own")
    with pytest.raises(UltraFMError, match="site_01_own_breast"):
        draft_manifest(export, tmp_path / "out", "Own breast")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_schema_is_current_and_every_manifest_names_it(folder, tmp_path):
    assert json.loads((folder / FILE).read_text()) == json_schema(load_vocabulary(folder)), "ultrafm manifests schema"
    manifests = sorted(folder.glob("site_*.yaml"))
    assert len(manifests) == 16
    assert all(path.read_text().startswith(EDITOR_LINE + "\n") for path in manifests)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_schema_accepts_our_manifests_and_catches_slips(folder):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads((folder / FILE).read_text()))
    for path in sorted(folder.glob("site_*.yaml")):
        site = json.loads(json.dumps(yaml.safe_load(path.read_text())))
        assert list(validator.iter_errors(site)) == [], path.name
    assert not validator.is_valid(site | {"organ": ["liver"]})
    assert not validator.is_valid(site | {"organs": ["livr"]})
    assert not validator.is_valid({name: value for name, value in site.items() if name != "split"})


def test_the_schema_command_writes_beside_the_manifests(tmp_path):
    (tmp_path / "vocabulary.yaml").write_text((FOLDERS[0] / "vocabulary.yaml").read_text())
    assert main(["manifests", "schema", str(tmp_path)]) == 0
    assert (tmp_path / FILE).read_bytes() == write_json_schema(tmp_path).read_bytes()
