import shutil

import pytest

from ultrafm.cli import main
from ultrafm.study import REPOSITORY


def test_manifests_check_prints_sites_and_totals(capsys):
    assert main(["manifests", "check", str(REPOSITORY / "data_manifests")]) == 0
    out = capsys.readouterr().out
    assert out.count("site_") >= 16 and "16 sites" in out and "19 organs" in out and "10 modalities" in out


def test_a_misspelt_field_is_an_error_with_the_nearest_name(tmp_path, capsys):
    folder = shutil.copytree(REPOSITORY / "data_manifests", tmp_path / "manifests")
    path = sorted(folder.glob("site_01*.yaml"))[0]
    path.write_text(path.read_text().replace("\nprobe:", "\nprobbe:"))
    assert main(["manifests", "check", str(folder)]) == 1
    error = capsys.readouterr().err
    assert path.name in error and "probbe" in error and "'probe'" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "labtop"], "did you mean 'laptop'"),
        (["--profile", "smoke", "--only", "30_diagnosys"], "did you mean '30_diagnosis'"),
        (["--profile", "smoke", "--manifests", "tests/real_sites"], "no data root"),
        (["--profile", "smoke", "--manifests", "tests/real_sites", "--data-root", "nowhere"], "no such folder"),
        (["--profile", "smoke", "--manifests", "no_manifests"], "no_manifests"),
        (["--profile", "smoke", "--source", "local"], "no source 'local'"),
        (["--profile", "smoke", "--source", "open"], "no data root"),
    ],
)
def test_a_study_that_cannot_start_says_why(arguments, words, tmp_path, capsys):
    assert main(["study", "--out", str(tmp_path / "study"), *arguments]) == 1
    assert words in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["study", "--profile", "smoke", "--out", str(tmp_path / "file" / "study")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_doctor_finds_this_installation_sound(capsys):
    main(["doctor"])
    out = capsys.readouterr().out
    assert "Packages: 9 main packages as locked" in out and "fit together" in out


def test_readers_analyse_reports_a_missing_file(tmp_path, capsys):
    assert main(["readers", "analyse", str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_a_place_without_permission_is_told_in_words(monkeypatch, capsys):
    def refuse():
        raise PermissionError(13, "Permission denied", "manifests/site.key")

    monkeypatch.setattr("ultrafm.doctor.examine", refuse)
    assert main(["doctor"]) == 1
    told = capsys.readouterr().err
    assert "manifests/site.key: found Permission denied" in told and "To mend it" in told


@pytest.mark.parametrize(
    "command",
    [
        "manifests new {pictures} --out {file}/sub",
        "curate data_manifests/site_01_palm_breast.yaml --out {file}",
        "readers analyse {ratings} --json {file}/x.json",
    ],
)
def test_an_output_below_a_file_is_told_in_words(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    (tmp_path / "file").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    ratings = [f"{reader},m,{case},{case % 2},{case}" for reader in "ab" for case in range(8)]
    (tmp_path / "ratings.csv").write_text("\n".join(["reader,modality,case,truth,rating", *ratings]))
    places = {"file": tmp_path / "file", "pictures": tmp_path / "pictures", "ratings": tmp_path / "ratings.csv"}
    assert main(command.format(**places).split()) == 1
    told = capsys.readouterr().err
    assert str(tmp_path / "file") in told and "expected a place" in told


def test_a_folder_and_a_manifest_are_not_taken_for_each_other(capsys):
    assert main(["curate", str(REPOSITORY / "data_manifests"), "--out", "x"]) == 1
    assert "found a folder; expected one manifest" in capsys.readouterr().err
    assert main(["manifests", "check", str(REPOSITORY / "README.md")]) == 1
    assert "found a file; expected a folder of site manifests" in capsys.readouterr().err


def test_a_check_without_the_images_says_that_it_looked_at_none(capsys):
    assert main(["manifests", "check", str(REPOSITORY / "tests" / "real_sites")]) == 0
    assert "No table and no file was looked at" in capsys.readouterr().out
    assert main(["manifests", "check", str(REPOSITORY / "data_manifests")]) == 0
    assert "looked at" not in capsys.readouterr().out
