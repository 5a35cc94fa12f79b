"""`ultrafm curate`, `sign` and `withdraw` as a data manager types them: what they print, and what to type next."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from made_archives import SITE, made_manifest, made_source, write_plain

from ultrafm.cli import main
from ultrafm.files import read_json

VOCABULARY = Path(__file__).parents[2] / "data_manifests" / "vocabulary.yaml"


@pytest.fixture
def hospital(tmp_path, monkeypatch) -> Path:
    """The working folder: a plain archive in `data`, and a manifest that asks for a signature in `my manifests`."""
    monkeypatch.chdir(tmp_path)
    write_plain(Path("data"))
    manifest = made_manifest(made_source(deidentification={})).model_dump(mode="json", exclude_unset=True)
    Path("my manifests").mkdir()
    Path("my manifests", f"{SITE}.yaml").write_text(yaml.safe_dump(manifest))
    shutil.copy(VOCABULARY, "my manifests")
    return tmp_path


def typed(line: str) -> int:
    """The exit status of a command line."""
    return main(shlex.split(line)[1:])


def curate(more: str = "--out 'the store'") -> int:
    return typed(f"ultrafm curate 'my manifests/{SITE}.yaml' --data-root data --source local --workers 1 {more}")


def command_in(printed: str) -> str:
    """The command that the last line says to run, in the name of a person."""
    return printed.splitlines()[-1].split("then run: ")[1].replace("YOUR NAME", "Dr. Ada")


def test_curate_says_the_size_of_the_pictures_and_what_to_run_next(hospital, capsys):
    assert curate() == 0
    said = capsys.readouterr().out
    assert "Pictures for the store: 12 of 64 x 64 pixels, the size that training uses (--image-size)\n" in said
    assert typed(command_in(said)) == 0
    assert read_json(hospital / "the store" / SITE / "release.json")["by"] == "Dr. Ada"
    assert curate() == 0
    assert "then run" not in capsys.readouterr().out, "it is signed"


def test_a_store_that_needs_no_signature_is_said_to_need_none(hospital, capsys):
    path = hospital / "my manifests" / f"{SITE}.yaml"
    path.write_text(path.read_text().replace("deidentification: {}", "deidentification: {sign_off: false}"))
    assert curate() == 0
    capsys.readouterr()
    assert typed(f"ultrafm sign 'my manifests/{SITE}.yaml' --source local --out 'the store' --by 'Dr. Ada'") == 0
    assert "needs no signature" in capsys.readouterr().out
    assert read_json(hospital / "the store" / SITE / "release.json")["by"] == ""


def test_a_dry_run_says_the_size_too(hospital, capsys):
    assert curate("--dry-run --image-size 32") == 0
    said = capsys.readouterr().out
    assert "12 of 32 x 32 pixels" in said and "are an example" in said
    assert {path.name for path in hospital.iterdir()} == {"data", "my manifests"}


def test_a_dry_run_of_a_simulated_site_is_as_the_real_run(capsys):
    site = Path(__file__).parents[2] / "data_manifests" / "site_10_lavender_heart.yaml"
    assert main(["curate", str(site), "--dry-run", "--image-size", "16"]) == 0
    assert "are an example" not in capsys.readouterr().out


def test_the_help_says_what_the_size_means(capsys):
    with pytest.raises(SystemExit):
        main(["curate", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "side of the stored pictures (default: 64)" in said and "Training uses this size" in said


def test_withdraw_reminds_of_other_folders_and_of_the_signature(hospital, capsys):
    curate()
    typed(command_in(capsys.readouterr().out))
    line = f"ultrafm withdraw 'my manifests/{SITE}.yaml' --data-root data --source local --out 'the store' --patient "
    assert typed(f"{line} Smith-3") == 0
    said = capsys.readouterr().out
    assert "10 pictures of 5 patients are left" in said and "another --out still hold the patient" in said
    assert "no signature holds for it yet" in said
    wanted = f"ultrafm sign 'my manifests/{SITE}.yaml' --source local --out 'the store' --by \"Dr. Ada\""
    assert command_in(said) == wanted and typed(wanted) == 0


def test_signing_twice_is_told_in_words(hospital, capsys):
    curate()
    command = command_in(capsys.readouterr().out)
    assert typed(f"{command} --on 2026-11-25") == 0
    assert typed(command.replace("Ada", "Bob")) == 1
    assert f"{SITE}, signature: found the signature of Dr. Ada on 2026-11-25" in capsys.readouterr().err


def test_a_folder_that_holds_no_store_is_told_with_the_command_that_makes_one(hospital, capsys):
    assert typed(f"ultrafm sign 'my manifests/{SITE}.yaml' --out elsewhere --by Ada") == 1
    said = capsys.readouterr().err
    assert "expected a site that was curated there" in said and "`ultrafm curate MANIFEST --out elsewhere`" in said
