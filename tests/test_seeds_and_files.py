import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import NothingToDo, StepFailed, UltraFMError, nearest
from ultrafm.files import hash_folder, read_json, replacing, write_bytes, write_json
from ultrafm.seeds import spawn, spawn_integer, spawn_torch


@given(st.integers(0, 2**40), st.text(max_size=8), st.text(max_size=8), st.integers(0, 999))
def test_a_seed_depends_on_its_words_only(seed, purpose, site, number):
    assert spawn_integer(seed, purpose, site, number) == spawn_integer(seed, purpose, site, number)
    assert 0 <= spawn_integer(seed, purpose, site, number) < 2**63


def test_every_word_matters_and_words_do_not_run_together():
    base = spawn_integer(1, "mask", "site_01", 2)
    others = [
        (2, "mask", "site_01", 2),
        (1, "masks", "ite_01", 2),
        (1, "mask", "site_02", 2),
        (1, "mask", "site_01", 3),
    ]
    assert len({base, *(spawn_integer(*words) for words in others)}) == 5


def test_generators_repeat():
    assert (spawn(3, "a").random(4) == spawn(3, "a").random(4)).all()
    assert (
        spawn_torch(3, "a").initial_seed() == spawn_torch(3, "a").initial_seed() != spawn_torch(4, "a").initial_seed()
    )


def test_an_error_tells_place_finding_expectation_and_mend():
    error = UltraFMError(
        "site_01.yaml, line 3", "'livr'", f"an organ{nearest('livr', ['liver', 'lung'])}", "correct it"
    )
    assert str(error) == (
        "site_01.yaml, line 3: found 'livr'; expected an organ (did you mean 'liver'?). To mend it: correct it."
    )


def test_a_failed_step_says_what_happened_once_and_survives_a_process():
    error = StepFailed("20_pretrain", "site_01_x: found a; expected b.", "out/20_pretrain.html")
    assert str(error).startswith("step 20_pretrain stopped: site_01_x: found a; expected b.")
    assert str(error).count("found") == 1
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("NothingToDo: no task (a: b) (code cell 3)", "no task (a: b)"),
        ("NothingToDo: no task", "no task"),
        ("ValueError: NothingToDo: no", ""),
        (None, ""),
    ],
)
def test_the_reason_of_an_idle_step_is_read_from_its_error(error, reason):
    assert NothingToDo.reason_in(error) == reason


def test_nothing_near_gives_no_hint():
    assert nearest("zzz", ["liver", "lung"]) == ""


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert read_json(path) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with replacing(tmp_path / "store") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert os.listdir(tmp_path / "store") == ["new"] and os.listdir(tmp_path) == ["store"]


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match=r"nan|NaN|JSON"):
        write_json(tmp_path / "a.json", float("nan"))


def test_the_hash_of_a_folder_sees_names_and_contents(tmp_path):
    write_bytes(tmp_path / "a" / "x", b"1")
    first = hash_folder(tmp_path)
    write_bytes(tmp_path / "a" / "x", b"2")
    second = hash_folder(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert len({first, second, hash_folder(tmp_path)}) == 3
