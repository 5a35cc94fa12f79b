"""What a site's terminal tells: refusals of its own log, and a coordinator that is away and back, a line for each."""

import inspect
import json

from flwr.supercore.retry import http_retry

from ultrafm.federation.deployment.audit import append_line
from ultrafm.federation.deployment.watch import BACK, FAILED, Tail, Watch, describe_refusal


def test_a_tail_gives_new_whole_lines_once_also_of_a_file_that_was_begun_anew(tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n")
    tail, later = Tail(path), Tail(tmp_path / "later")
    assert tail.lines() == later.lines() == []
    with path.open("a") as file:
        file.write("one\ntwo\nhal")
    assert tail.lines() == ["one", "two"] and tail.lines() == []
    with path.open("a") as file:
        file.write("f\n")
    assert tail.lines() == ["half"]
    path.write_text("anew\n")
    assert tail.lines() == ["anew"]
    (tmp_path / "later").write_text("first\n")
    assert later.lines() == ["first"]


def test_refusals_and_an_absent_coordinator_are_told_once(tmp_path):
    audit, node, told = tmp_path / "audit.jsonl", tmp_path / "node.log", []
    append_line(audit, {"event": "refused", "type": "task", "error": "of before"})
    watch = Watch(audit, node, "fm:1", told.append)
    with audit.open("a") as log:
        log.write('{"event": "refu\n')  # the disk was full for a moment
    append_line(audit, {"event": "received", "round": "3", "type": "train"})
    append_line(
        audit, {"event": "refused or failed", "round": "3", "type": "train", "error": "UltraFMError: no\nthing"}
    )
    node.write_text(f"WARNING :   {FAILED} in 0.4 seconds\nWARNING :   {FAILED} in 0.9 seconds\n")
    watch.look()
    with node.open("a") as log:
        log.write(f"INFO :   {BACK} 6.5 seconds and 5 tries.\nINFO :   {BACK} 6.5 seconds and 5 tries.\n")
    watch.look()
    watch.look()
    assert told == [
        "refused or failed (train, round 3): no thing",
        "the coordinator fm:1 does not answer; trying again",
        "the coordinator fm:1 answers again",
    ]


def test_a_coordinator_that_has_just_let_the_site_in_is_there(tmp_path):
    node, told = tmp_path / "node.log", []
    watch = Watch(tmp_path / "audit.jsonl", node, "fm:1", told.append)
    for _time in range(2):
        with node.open("a") as log:
            log.write(f"{FAILED} in 0.4 seconds\n")
        watch.look()
        watch.joined()
    assert told == ["the coordinator fm:1 does not answer; trying again"] * 2


def test_a_refusal_without_a_round_says_none():
    event = json.loads('{"event": "refused", "type": "app bundle", "error": "app bundle: found code"}')
    assert describe_refusal(event) == "refused (app bundle): app bundle: found code"


def test_the_words_are_flowers():
    text = inspect.getsource(http_retry)
    assert FAILED in text and BACK in text
