"""A reader takes her consent back."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_room import MadeRoom, read_all

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.readers.room.export import ratings_table


def test_a_reader_who_withdraws_is_out_at_once_and_is_exported_no_more(
    made: MadeRoom, study_path: Path, capsys
) -> None:
    one, two = made.reader("R1"), made.reader("R2")
    read_all(one, made, most=5)
    read_all(two, made, most=4)
    token = one.token()
    assert main(["readers", "withdraw", str(study_path), "--reader", "R1"]) == 0
    assert "4 readings stay" in capsys.readouterr().out
    assert one.send(token) == "/refused/withdrawn" and one.browser.get("/read").status_code == 410
    assert one.browser.get(f"/picture/{token}/0").status_code == 410
    assert made.browser().get(f"/enter/{made.secrets['reader:R1']}").status_code == 410
    assert two.send(two.token()) == "/read"
    table = ratings_table(made.room.store, made.room.study)
    assert set(table["reader"]) == {"R2"} and len(table) == 4
    assert len(made.room.store.rows("SELECT * FROM readings WHERE reader = 'R1'")) == 5
    assert "<td>withdrawn</td>" in made.office().get("/office").text
    assert main(["readers", "export", str(study_path), "--out", str(study_path.with_name("r.csv"))]) == 0
    assert "R1: left out" in capsys.readouterr().out


def test_who_withdrew_is_found_without_a_look_at_every_sign_of_life(made: MadeRoom) -> None:
    query = "EXPLAIN QUERY PLAN SELECT DISTINCT who FROM events WHERE kind = 'withdrawn'"
    assert "events_of_leavers" in made.room.store.row(query)["detail"]


def test_when_all_withdrew_there_is_no_table(made: MadeRoom, study_path: Path) -> None:
    read_all(made.reader("R1"), made, most=3)
    for _ in range(2):  # twice does no harm
        assert main(["readers", "withdraw", str(study_path), "--reader", "R1"]) == 0
    assert len(made.room.store.rows("SELECT * FROM events WHERE kind = 'withdrawn'")) == 1
    with pytest.raises(UltraFMError, match="no reading"):
        ratings_table(made.room.store, made.room.study)


@pytest.mark.parametrize("code", ["R3", "office"])
def test_only_readers_of_the_study_can_withdraw(made: MadeRoom, study_path: Path, code: str, capsys) -> None:
    assert main(["readers", "withdraw", str(study_path), "--reader", code]) == 1
    assert "--reader" in capsys.readouterr().err
    assert made.room.store.rows("SELECT * FROM events WHERE kind = 'withdrawn'") == []
