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
    assert "manifests/site.key: found Permission denied" in capsys.readouterr().err
