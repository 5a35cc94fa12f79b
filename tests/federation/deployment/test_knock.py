"""What a site is told when the coordinator does not let it in."""

import httpx
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment import knock as door
from ultrafm.federation.deployment.keys import read_private_key
from ultrafm.federation.deployment.knock import (
    NotNow,
    Refused,
    ServerClock,
    clocks_agree,
    explain_status,
    knock_until_in,
)


def clock(ahead):
    found = ServerClock()
    found.ahead = ahead
    return found


@pytest.mark.parametrize(("ahead", "agree"), [(0, True), (4, True), (6, False), (-300, True), (-306, False)])
def test_how_far_clocks_may_differ_is_what_flower_says(ahead, agree):
    assert clocks_agree(ahead) is agree


@pytest.mark.parametrize(("ahead", "words"), [(90.0, "clock 90 s ahead of"), (-400.0, "clock 400 s behind")])
def test_a_wrong_clock_is_told_by_how_much(ahead, words):
    error = explain_status("fm:1", httpx.Response(401, text="Invalid SuperNode authentication"), clock(ahead))
    assert isinstance(error, UltraFMError) and words in str(error) and "NTP" in str(error)


def test_other_answers_are_told_apart():
    told = '{"code": 2004, "detail": "Failed to activate SuperNode.", "extra": null}'
    assert isinstance(explain_status("fm:1", httpx.Response(502), clock(0)), NotNow)
    assert isinstance(explain_status("fm:1", httpx.Response(400, text=told), clock(0)), Refused)
    assert "Flower's fleet path" in str(explain_status("fm:1", httpx.Response(403, text="<html>"), clock(0)))


def test_a_site_waits_for_a_coordinator_and_gives_up_on_a_lasting_refusal(keys, monkeypatch):
    monkeypatch.setattr(door, "RETRY_SECONDS", 0.0)
    key, told = read_private_key(keys / "site_01_a.key", "here"), []
    answers = iter([NotNow("away"), NotNow("away"), Refused("unknown"), Refused("unknown"), None])

    def answer(*_):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(door, "knock", answer)
    knock_until_in("fm:1", "ca.crt", key, told.append, patience=60)
    assert [line.split(":")[0] for line in told] == ["waiting", "refused"]
    answers = iter([Refused("unknown"), NotNow("away"), Refused("unknown"), None])
    times = iter(range(0, 1000, 50))
    monkeypatch.setattr(door.time, "monotonic", lambda: next(times))
    knock_until_in("fm:1", "ca.crt", key, told.append, patience=60)
    monkeypatch.undo()
    monkeypatch.setattr(door, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(door, "knock", answer)
    answers = iter([Refused("unknown")] * 9)
    with pytest.raises(UltraFMError, match="unknown; expected a key that the coordinator registered"):
        knock_until_in("fm:1", "ca.crt", key, told.append, patience=0)
