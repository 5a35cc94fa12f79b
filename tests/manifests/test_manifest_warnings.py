"""What `ultrafm manifests check` warns of without calling it an error."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ultrafm.cli import main
from ultrafm.cli.manifests import MOST_PROBLEMS, tell
from ultrafm.manifests import check_manifests
from ultrafm.study import REPOSITORY

MANIFEST = """schema_version: 1
site: site_01_own
title: A clinic
organs: [breast]
modalities: [B-mode]
scan_modes: [linear]
probe: linear
split: {rule: patients}
sources:
  local:
    kind: folder
    publisher: Our hospital
    country: Norway
    licence: stays in the house
    citation: none
    deidentification:
      pseudonyms: secret
      sign_off: true
    path: export
    table: list.csv
"""


@pytest.fixture
def manifests(tmp_path):
    """A folder with one manifest, of a table whose three files belong to K1, k-01 and K2."""
    folder, export = tmp_path / "manifests", tmp_path / "data" / "export"
    folder.mkdir()
    export.mkdir(parents=True)
    shutil.copy(REPOSITORY / "data_manifests" / "vocabulary.yaml", folder)
    (folder / "site_01_own.yaml").write_text(MANIFEST)
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, dtype=np.uint8)).save(export / f"{number}.png")
    (export / "list.csv").write_text("file,patient\n0.png,K1\n1.png,k-01\n2.png,K2\n")
    return folder


def change(folder, old, new):
    path = folder / "site_01_own.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_careful_manifest_has_no_warning(manifests):
    report = check_manifests(manifests)
    assert report.problems == [] and report.warnings == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("pseudonyms: secret", "pseudonyms: public", 17, ["found 'public'", "compute the hash", "pseudonyms: secret"]),
        ("sign_off: true", "sign_off: false", 18, ["found false", "without a person looking", "sign_off: true"]),
    ],
)
def test_what_suits_public_sets_is_warned_of_at_a_hospital(manifests, capsys, old, new, line, words):
    change(manifests, old, new)
    (warning,) = check_manifests(manifests).warnings
    field = f"sources.local.deidentification.{old.split(':')[0]}"
    assert f"site_01_own.yaml, line {line}, field {field}: " in warning and all(word in warning for word in words)
    assert main(["manifests", "check", str(manifests)]) == 0
    assert capsys.readouterr().err == f"ultrafm: warning: {warning}\n"


def test_public_sets_are_not_warned_of(manifests):
    change(manifests, "  local:", "  open:")
    change(manifests, "pseudonyms: secret", "pseudonyms: public")
    report = check_manifests(manifests)
    assert report.problems == [] and report.warnings == []
    for folder in ("data_manifests", "tests/real_sites"):
        assert check_manifests(REPOSITORY / folder).warnings == []


def test_patients_in_two_spellings_are_warned_of_and_the_site_is_counted(manifests, capsys):
    command = ["manifests", "check", str(manifests), "--data-root", str(manifests.parent / "data")]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out.endswith("\nsite_01_own: 3 files, 3 patients\n")
    assert told.err.startswith("ultrafm: warning: site_01_own, table list.csv, column patient: found the patients ")
    assert "'K1' in 1 row and 'k-01' in 1 row, which count as 2" in told.err and told.err.count("\n") == 1


def test_a_site_with_problems_is_not_counted(manifests, capsys):
    (manifests.parent / "data" / "export" / "2.png").unlink()
    assert main(["manifests", "check", str(manifests), "--data-root", str(manifests.parent / "data")]) == 1
    told = capsys.readouterr()
    assert "3 files" not in told.out and "no file 2.png" in told.err and "ultrafm: warning: " in told.err


def test_only_the_first_messages_are_printed_and_the_rest_is_counted(capsys):
    tell([str(number) for number in range(MOST_PROBLEMS + 2)], "warning: ")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[0] == "ultrafm: warning: 0" and lines[-1] == "ultrafm: warning: and 2 more"
