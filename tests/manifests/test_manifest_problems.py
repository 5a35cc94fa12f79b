"""What a wrong manifest is told: file, line, field, value, expectation, and the word that was probably meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ultrafm.errors import UltraFMError
from ultrafm.manifests import check_manifests, load_site, load_sites, load_vocabulary

ROOT = Path(__file__).parents[2]
BREAST = "site_01_palm_breast.yaml"
LIVER = "site_07_jade_liver.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the 16 manifests, to be spoilt."""
    shutil.copytree(ROOT / "data_manifests", tmp_path / "manifests")
    return tmp_path / "manifests"


def spoil(path: Path, old: str, new: str) -> int:
    """Replace the first `old` by `new`; the line (from 1) where it stood."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


# old text, new text, field in the error, further words that the error must hold
SPOILT = {
    "misspelt field": ("gain_db: 0", "gain_bd: 0", "sources.phantom.device.gain_bd", ["did you mean 'gain_db'"]),
    "misspelt field at the top": ("title:", "titel:", "titel", ["did you mean 'title'"]),
    "misspelt field of a task": ("disease:", "diseas:", "tasks.0.diseas", ["did you mean 'disease'"]),
    "text for a number": ("patients: 130", "patients: '130'", "sources.phantom.patients", ["'130'", "whole number"]),
    "truth for a number": ("patients: 130", "patients: yes", "sources.phantom.patients", ["True", "whole number"]),
    "fraction of a patient": ("patients: 130", "patients: 1.5", "sources.phantom.patients", ["1.5", "whole number"]),
    "no number": ("gain_db: 0", "gain_db: .nan", "sources.phantom.device.gain_db", ["nan"]),
    "out of range": ("frequency_mhz: 10", "frequency_mhz: 10000", "sources.phantom.device.frequency_mhz", ["30"]),
    "truth for text": ("country: Egypt", "country: no", "sources.phantom.country", ["False", "in quotes"]),
    "text for a list": ("organs: [breast]", "organs: breast", "organs", ["'breast'", "a list"]),
    "unknown kind": ("kind: phantom", "kind: fantom", "sources.phantom.kind", ["'fantom'", "did you mean 'phantom'"]),
    "unknown rule": ("rule: patients", "rule: patiens", "split.rule", ["did you mean 'patients'"]),
    "no room for test": ("train: 0.5", "train: 0.9", "split", ["leave nothing for the test fold"]),
    "shares": ("normal: 0.1", "normal: 0.2", "sources.phantom", ["add up to 1.1"]),
    "organ": ("organs: [breast]", "organs: [brest]", "organs.0", ["'brest'", "did you mean 'breast'"]),
    "modality": ("[B-mode]", "[Bmode]", "modalities.0", ["'Bmode'", "did you mean 'B-mode'"]),
    "scan mode": ("[linear]", "[linaer]", "scan_modes.0", ["'linaer'", "did you mean 'linear'"]),
    "scan mode of the device": ("mode: linear", "mode: convex", "sources.phantom.device.scan_mode", ["linear"]),
    "label of the map": ("benign: benign", "benign: bening", "label_map.benign", ["'bening'", "mean 'benign'"]),
    "label of a task": ("[malignant]", "[malignent]", "tasks.0.positive.0", ["did you mean 'malignant'"]),
    "label on both sides": ("negative: [benign]", "negative: [malignant]", "tasks.0.negative", ["positive too"]),
    "finding": ("malignant: 0.36", "cancer: 0.36", "sources.phantom.findings.cancer", ["'cancer'"]),
    "disease": ("breast cancer", "brest cancer", "tasks.0.disease", ["did you mean 'breast cancer'"]),
    "organ of a task": ("organ: breast", "organ: liver", "tasks.0.organ", ["an organ of the site: breast"]),
    "structure": ("structure: lesion", "structure: lession", "tasks.1.structure", ["did you mean 'lesion'"]),
    "task twice": ("name: breast_lesion", "name: breast_mass", "tasks.1.name", ["more than once"]),
    "task where none is": ("rule: patients", "rule: pretrain_only", "tasks.0", ["only pre-trains"]),
    "institution": (" (fictional)", "", "sources.phantom.institution", ["'(fictional)'"]),
    "default source": ("default_source: phantom", "default_source: local", "default_source", ["one of phantom"]),
    "name of the file": ("site: site_01_palm", "site: site_01_pal", "site", ["'site_01_palm_breast'"]),
    "field of an archive": (
        "archives:\n      - address",
        "archives:\n      - adress",
        "sources.open.archives.0.adress",
        ["did you mean 'address'"],
    ),
    "address that is none": ("https://zenodo", "file:///zenodo", "sources.open.archives.0.address", ["https?"]),
    "hash that is none": ("sha256: ba3e", "sha256: ZZ", "sources.open.archives.0.sha256", ["[0-9a-f]"]),
    "folder that leads out": (
        "  - address: https://zenodo.org/records/8231412/files/BUSBRA.zip",
        "  - into: ../x\n        address: https://zenodo.org",
        "sources.open.archives.0.into",
        ["leads out"],
    ),
    "no place for the file": ("Images/{}.png", "Images/x.png", "sources.open.file_form", ["Images/x.png"]),
    "organ of a source": (
        "    organ: breast\n    modality",
        "    organ: brest\n    modality",
        "sources.open.organ",
        ["did you mean 'breast'"],
    ),
    "condition": ("[attribution]", "[atribution]", "sources.open.conditions.0", ["did you mean 'attribution'"]),
    "pseudonyms": ("pseudonyms: public", "pseudonyms: open", "sources.open.deidentification.pseudonyms", ["'secret'"]),
    "word of the map": (
        "organs: [breast]",
        "word_map: {organ: {Mamma: brest}}\norgans: [breast]",
        "word_map.organ.Mamma",
        ["'brest'", "did you mean 'breast'"],
    ),
    "word of the map that the site lacks": (
        "organs: [breast]",
        "word_map: {organ: {Leber: liver}}\norgans: [breast]",
        "word_map.organ.Leber",
        ["one of the site's organs: breast", "add it to organs"],
    ),
    "field of the map": (
        "organs: [breast]",
        "word_map: {organs: {Mamma: breast}}\norgans: [breast]",
        "word_map.organs",
        ["did you mean 'organ'"],
    ),
    "field twice": ("organs: [breast]", "title: again\norgans: [breast]", "title", ["second time (first on line 5)"]),
}


GUAVA = "site_02_guava_breast.yaml"  # its open source is an archive
OF_AN_ARCHIVE = [case for case, change in SPOILT.items() if change[2].startswith("sources.open")]


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_manifest_is_told_of_with_file_line_and_field(folder: Path, case: str) -> None:
    old, new, field, words = SPOILT[case]
    name = GUAVA if case in OF_AN_ARCHIVE else BREAST
    line = spoil(folder / name, old, new) + old.count("\n") * ("\n      - " in old)
    with pytest.raises(UltraFMError) as caught:
        load_site(folder / name, load_vocabulary(folder))
    message = str(caught.value)
    assert name in message and f"field {field}:" in message
    assert all(word in message for word in words), message
    if case not in ("no room for test", "shares", "task where none is"):  # there the whole part is at fault
        assert f"line {line}," in message


def test_a_missing_field_is_named_once_and_not_when_it_was_misspelt(folder: Path) -> None:
    spoil(folder / BREAST, "title: Breast clinic, narrow picture with text and scale\n", "")
    spoil(folder / LIVER, "title:", "titel:")
    problems = check_manifests(folder).problems
    assert len(problems) == 2
    assert "field title: found no such field" in problems[0]
    assert "the unknown field 'titel'" in problems[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c\n", ["line 1", "valid YAML", "quotes"]),
        ("a:\n\tb: c\n", ["line 2", "valid YAML", "indent with spaces, never with tabs"]),
        ("a: 1\n\tb: 2\n", ["line 2", "valid YAML"]),
        ("a: [1, 2\nb: 3\n", ["line 2", "valid YAML"]),
        ("", ["an empty file"]),
        ("# nothing but words\n", ["an empty file"]),
        ("- a\n- b\n", ["a sequence at the top level"]),
        ("a: 1\n---\nb: 2\n", ["valid YAML"]),
        ("a: &x 1\nb: *x\n", ["line 2", "the alias *x"]),
        ("a: !!python/object:os.system 1\n", ["line 1", "valid YAML"]),
        ("on: 1\n", ["the name 'on'", "quotes"]),
        ("{[1]: 2}\n", ["line 1"]),
        ("a: 2024-13-45\n", ["valid YAML"]),
        ("[" * 5000, ["valid YAML"]),
    ],
)
def test_text_that_is_no_manifest_is_refused_with_its_line(folder: Path, text: str, words: list[str]) -> None:
    (folder / BREAST).write_text(text, encoding="utf-8")
    with pytest.raises(UltraFMError) as caught:
        load_sites(folder)
    assert BREAST in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / BREAST).write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UltraFMError, match="UTF-8"):
        load_sites(folder)


def test_a_byte_order_mark_does_no_harm(folder: Path) -> None:
    (folder / BREAST).write_bytes(b"\xef\xbb\xbf" + (folder / BREAST).read_bytes())
    assert load_sites(folder)[0].site == "site_01_palm_breast"


def test_all_problems_of_all_files_are_collected(folder: Path) -> None:
    spoil(folder / BREAST, "gain_db: 0", "gain_bd: 0")
    spoil(folder / BREAST, "patients: 130", "patients: many")
    spoil(folder / "site_02_guava_breast.yaml", "benign: benign", "benign: bening")
    spoil(folder / "site_03_olive_breast.yaml", "train: 0.5", "train: x: 5")
    report = check_manifests(folder)
    assert [BREAST in problem for problem in report.problems] == [True, True, False, False]
    assert len(report.lines) == 16
    assert report.lines[0] == "site_01_palm_breast: not readable, 2 problems"
    assert report.lines[1].endswith("; 1 problem")
    assert report.totals["sites"] == 14  # the two that could not be read are not counted


def test_tasks_of_one_name_must_agree_between_sites(folder: Path) -> None:
    line = spoil(folder / "site_08_amber_liver.yaml", "disease: hepatocellular carcinoma", "disease: kidney cancer")
    problems = check_manifests(folder).problems
    assert len(problems) == 1
    assert f"site_08_amber_liver.yaml, line {line}, field tasks.0.disease" in problems[0]
    assert "'hepatocellular carcinoma', as at site_07_jade_liver" in problems[0]
    with pytest.raises(UltraFMError, match="same words"):
        load_sites(folder)


def test_one_id_in_two_files_is_refused(folder: Path) -> None:
    shutil.copy(folder / BREAST, folder / "site_01_palm_breast.yml")
    problems = check_manifests(folder).problems
    assert any("which site_01_palm_breast.yaml is called too" in problem for problem in problems)


def test_a_manifest_with_any_yaml_name_is_read_and_hidden_files_are_not(folder: Path) -> None:
    shutil.copy(folder / BREAST, folder / "my_clinic.yaml")
    (folder / ".site_99_hidden.yaml").write_text("}", encoding="utf-8")
    assert any("my_clinic.yaml" in problem and "field site:" in problem for problem in check_manifests(folder).problems)
    assert not any("hidden" in line for line in check_manifests(folder).lines)


def test_simulated_and_real_sources_keep_their_places(folder: Path) -> None:
    line = spoil(folder / BREAST, "  phantom:\n    kind", "  local:\n    kind")
    spoil(folder / BREAST, "default_source: phantom\n", "")
    problems = check_manifests(folder).problems
    assert len(problems) == 1 and f"line {line}, field sources.local.kind" in problems[0]


def test_a_missing_folder_an_empty_folder_and_a_missing_vocabulary_are_told_of(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UltraFMError, match="no such folder"):
        load_sites(tmp_path / "nowhere")
    assert "no such folder" in check_manifests(tmp_path / "nowhere").problems[0]
    (tmp_path / "empty").mkdir()
    shutil.copy(folder / "vocabulary.yaml", tmp_path / "empty")
    with pytest.raises(UltraFMError, match="no manifest"):
        load_sites(tmp_path / "empty")
    (folder / "vocabulary.yaml").unlink()
    report = check_manifests(folder)
    assert len(report.problems) == 1 and "vocabulary.yaml: found no such file" in report.problems[0]
    assert report.totals["sites"] == 16  # the shape of the manifests is checked all the same


def test_a_vocabulary_must_hold_all_its_lists(folder: Path) -> None:
    spoil(folder / "vocabulary.yaml", "diseases:", "illnesses:")
    with pytest.raises(UltraFMError, match="illnesses"):
        load_vocabulary(folder)
