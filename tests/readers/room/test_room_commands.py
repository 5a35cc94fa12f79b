"""Commands of the reading room: where it may listen, links, export; the demonstration."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from made_room import SITE, change_fields, free_port, make_store, make_study, open_room

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.readers.room import load_study
from ultrafm.readers.room.demo import make_demonstration
from ultrafm.readers.room.place import Place, check_place, is_loopback
from ultrafm.readers.room.registered import study_truth
from ultrafm.readers.room.registration import registered
from ultrafm.readers.room.serve import only_room, opening_lines, serve_room
from ultrafm.readers.room.store import Store
from ultrafm.study import REPOSITORY


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "reading.example"])
def test_an_address_that_others_reach_needs_the_users_word(study_path: Path, host: str, capsys) -> None:
    assert main(["readers", "room", str(study_path), "--host", host]) == 1
    assert "--expose" in capsys.readouterr().err
    check_place(Place(host, address="http://192.168.1.5:8350", exposed=True))
    assert not is_loopback(host)


def test_the_loopback_needs_none_and_the_rest_is_warned_of(study_path: Path, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.9.9.9", "localhost"):
        check_place(Place(host))
    study, store = load_study(study_path), Store(tmp_path / "room.sqlite")
    assert not any("not encrypted" in line for line in opening_lines(study, store, Place(), None))
    assert any("not encrypted" in line for line in opening_lines(study, store, Place("0.0.0.0", exposed=True), None))
    assert any("DEVIATION" in line for line in opening_lines(study, store, Place(), "why"))


def test_a_clock_that_went_back_is_told(study_path: Path) -> None:
    made = open_room(study_path)
    told = opening_lines(made.room.study, made.room.store, Place(), None)
    assert not any("clock is behind" in line for line in told)
    made.clock.at -= 60
    told = opening_lines(made.room.study, made.room.store, Place(), None)
    assert sum("clock is behind" in line for line in told) == 1


def test_the_address_of_a_proxy_makes_links_and_cookies_secure() -> None:
    place = Place(address="https://reading.example/")
    assert place.link == "https://reading.example" and place.secure and "reading.example" in place.hosts
    assert not Place().secure and Place(port=9).link == "http://127.0.0.1:9"
    for wrong in ("reading.example", "https://", "https://reading.example/room", "https://reading.example?a=b"):
        with pytest.raises(UltraFMError, match="--address"):
            check_place(Place(address=wrong))
    with pytest.raises(UltraFMError, match="no --address"):
        check_place(Place("0.0.0.0", exposed=True))
    with pytest.raises(UltraFMError, match="an IPv6 address"):
        check_place(Place("::1"))
    with pytest.raises(UltraFMError, match="--port"):
        check_place(Place(port=0))


def test_new_links_need_a_room_and_a_known_reader(study_path: Path, capsys) -> None:
    assert main(["readers", "links", str(study_path), "--anew", "R1"]) == 1
    Store(study_path.with_suffix(".sqlite")).close()
    assert main(["readers", "links", str(study_path), "--anew", "R3"]) == 1
    assert "did you mean" in capsys.readouterr().err
    assert main(["readers", "links", str(study_path), "--anew", "R1", "--anew", "office"]) == 0
    told = capsys.readouterr().out
    assert told.count("http://127.0.0.1:8350/enter/") == 2


def test_a_second_start_changes_no_link_and_no_protocol(study_path: Path, tmp_path: Path, capsys) -> None:
    made = open_room(study_path)
    links, hash_before = made.room.store.rows("SELECT * FROM links"), registered(made.room.store)
    change_fields(study_path, seed=9)  # before the first reading, so that a start would register it
    told: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = Place(port=other.getsockname()[1])
        with pytest.raises(UltraFMError, match="port that cannot be opened"):
            serve_room(study_path, None, place, told.append, anew=True)
    with only_room(study_path.with_suffix(".sqlite")), pytest.raises(UltraFMError, match="another room serves"):
        serve_room(study_path, None, Place(port=free_port()), told.append, anew=True)
    assert told == [] and registered(made.room.store) == hash_before
    assert made.room.store.rows("SELECT * FROM links") == links


def test_an_export_without_a_room_says_so(study_path: Path, tmp_path: Path, capsys) -> None:
    assert main(["readers", "export", str(study_path), "--out", str(tmp_path / "r.csv")]) == 1
    assert "STUDY.sqlite" in capsys.readouterr().err and not (tmp_path / "r.csv").exists()


def test_a_backup_needs_no_reading_and_nothing_overwrites_the_study(study_path: Path, tmp_path: Path, capsys) -> None:
    open_room(study_path).room.store.close()
    words = ["readers", "export", str(study_path)]
    before = study_path.read_bytes(), study_path.with_suffix(".sqlite").read_bytes()
    for wrong in (study_path, study_path.with_suffix(".sqlite"), tmp_path / "curated" / ".." / "STUDY.sqlite"):
        assert main([*words, "--out", str(wrong)]) == 1
        assert main([*words, "--out", str(tmp_path / "r.csv"), "--backup", str(wrong)]) == 1
        assert capsys.readouterr().err.count("the study itself") == 2
    assert (study_path.read_bytes(), study_path.with_suffix(".sqlite").read_bytes()) == before
    assert main([*words, "--out", str(tmp_path / "r.csv"), "--backup", str(tmp_path / "b.sqlite")]) == 1
    assert "no reading yet" in capsys.readouterr().err and Store(tmp_path / "b.sqlite").row("SELECT * FROM links")


def test_a_task_of_the_manifests_names_the_cases(tmp_path: Path) -> None:
    path = make_study(tmp_path)
    make_store(tmp_path / "curated", 12, 1, "site_01_palm_breast")
    for other in ("site_02_guava_breast", "site_03_olive_breast"):
        make_store(tmp_path / "curated", 2, 0, other)
    shutil.rmtree(tmp_path / "curated" / SITE)
    task = {"manifests": str(REPOSITORY / "data_manifests"), "name": "breast_mass"}
    unaided = {"training": {}, "ai": None, "design": {"parts": ["unaided"]}}
    with pytest.raises(UltraFMError, match="did you mean 'breast_mass'"):
        load_study(change_fields(path, cases={"task": task | {"name": "breast_mas"}}, **unaided))
    study = load_study(change_fields(path, cases={"task": task}, **unaided))
    assert len(study.cases) == 12 + 1 + 2 + 2 and len(study.cases["clip12"].frames) == 4
    with pytest.raises(UltraFMError, match="no case"):
        load_study(change_fields(path, cases={"task": task | {"folds": ["validation"]}}))


@pytest.mark.slow
def test_the_demonstration_is_a_study_with_a_clip_of_which_half_is_diseased(tmp_path: Path) -> None:
    path = make_demonstration(tmp_path, 0, print)
    study = load_study(path)
    assert len(study.cases) == 12 and sum(len(case.frames) == 5 for case in study.cases.values()) == 2
    assert sum(study_truth(study).values()) == 6 and study.images == "simulated"
    assert sorted(study.feedback.values()) == [0, 1] and study.protocol.demonstration
    assert len({case.patient for case in [*study.cases.values(), *study.training.values()]}) == 14
    written = path.read_bytes()
    assert make_demonstration(tmp_path, 1, print) == path and path.read_bytes() == written
