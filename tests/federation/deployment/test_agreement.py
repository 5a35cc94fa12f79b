"""What a site agrees to, and that its ClientApp keeps to it; the whole driver runs under the gate and the log."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ultrafm.curation.store import encode_png
from ultrafm.errors import UltraFMError
from ultrafm.federation.arrays import to_record
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.deployment import agreement
from ultrafm.federation.deployment.agreement import count_images, describe_terms, ensure_acceptance, leaving, terms_of
from ultrafm.federation.deployment.changes import describe_changes
from ultrafm.federation.deployment.gate import accepted_terms, check_answer
from ultrafm.federation.deployment.plans import read_plan, read_site
from ultrafm.federation.driver import drive, federate
from ultrafm.federation.grid import LocalGrid
from ultrafm.federation.privacy.views import Roster
from ultrafm.files import read_json, write_json

SITES = ("site_01_a", "site_02_b")


@pytest.fixture
def joined(write_plan, tmp_path, keys, monkeypatch):
    """A site's file, read; its store is not looked at."""
    monkeypatch.setattr(agreement, "count_images", lambda site: {"train": 8, "validation": 2})
    write_plan()
    values = {"site": SITES[0], "plan": "plan.yaml", "authority": f"{keys}/ca.crt", "key": "k", "curated": "curated"}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return read_site(tmp_path / "site.yaml")


@pytest.fixture
def nodes(write_plan, tmp_path):
    """Configurations of both sites' nodes, with acceptance and log."""
    plan, configurations = read_plan(write_plan()), []
    for site in SITES:
        folder = tmp_path / site
        terms = terms_of(plan, site)
        write_json(folder / "acceptance.json", {"hash": agreement.hash_terms(terms), "terms": terms})
        paths = {"folder": folder, "audit": folder / "audit.jsonl", "acceptance": folder / "acceptance.json"}
        configurations.append({"site": site, "curated": "", **{name: str(path) for name, path in paths.items()}})
    accepted_terms.cache_clear()
    return plan, configurations


def never(question):
    raise AssertionError("nobody should be asked")


def test_what_leaves_is_shown_before_anybody_is_asked(joined):
    shown, asked = [], []

    def ask(question):
        asked.append((question, len(shown)))
        return "no"

    with pytest.raises(UltraFMError, match="nothing was sent"):
        ensure_acceptance(joined, False, ask, shown.append)
    text = "\n".join(shown)
    assert len(asked) == 1 and asked[0][1] == len(shown)
    assert "8 train, 2 validation" in text and "encoder.patch_embed.proj.weight" in text
    assert "sums of their grey values" in text and "mean loss" in text
    assert not (joined.folder / "acceptance.json").exists()


def test_an_acceptance_is_written_down_and_holds_until_the_plan_changes(joined, write_plan):
    path = ensure_acceptance(joined, False, lambda question: "yes", lambda line: None)
    written = read_json(path)
    assert written["hash"] == agreement.hash_terms(written["terms"]) and written["by"] and written["on"]
    assert ensure_acceptance(joined, False, never, lambda line: None) == path
    write_plan(training={"passes": 20})
    shown = []
    with pytest.raises(UltraFMError, match="no acceptance"):
        ensure_acceptance(read_site(joined.document.path), False, lambda question: "", shown.append)
    assert read_json(path) == written
    assert [line for line in shown if line.startswith("  ")] == ["  changed: asked, plan, rounds: 20 (it was 2)"]


def test_changed_terms_show_what_is_new_gone_and_other_and_nothing_else(joined, write_plan):
    earlier = terms_of(joined.plan, SITES[0])
    plan = read_plan(write_plan(training={"passes": 2, "weighting": "organs", "local_weights": "to_pixels.bias"}))
    lines = describe_changes(earlier, terms_of(plan, SITES[0]))
    count = agreement.bytes_of(earlier) // 4
    assert lines == [
        "new: leaves, query.describe, organs, whatever the images tell",
        "gone: asked, layout, to_pixels.bias: 64",
        "changed: asked, plan, local_weights: to_pixels.bias (it was )",
        f"changed: arrays, weights: ['float32', [{count - 64}]] (it was ['float32', [{count}]])",
        "changed: describe, organs: True (it was False)",
    ]
    assert describe_changes(earlier, earlier) == []


def test_an_acceptance_that_was_changed_by_hand_is_no_earlier_one(joined):
    path = ensure_acceptance(joined, False, lambda question: "yes", lambda line: None)
    acceptance, shown = read_json(path), []
    acceptance["terms"]["asked"]["plan"]["rounds"] = 1000
    write_json(path, acceptance)
    ensure_acceptance(joined, False, lambda question: "yes", shown.append)
    assert any("encoder.patch_embed.proj.weight" in line for line in shown)
    assert read_json(path)["terms"]["asked"]["plan"]["rounds"] == 2


def test_the_sizes_shown_are_those_of_the_weights(joined):
    terms = terms_of(joined.plan, SITES[0])
    lines = describe_terms(terms, {"train": 1})
    sizes = [int(line.split()[-2].replace(",", "")) for line in lines if line.startswith("    ")]
    assert sum(sizes) == agreement.bytes_of(terms) and len(sizes) == len(terms["asked"]["layout"]["names"])


def test_a_whole_run_keeps_to_the_agreement_and_is_logged(nodes, images, tmp_path):
    """The numbers are those of a run without gate and log, and no reply holds more than was accepted."""
    plan, configurations = nodes
    grid = LocalGrid(REFERENCE, configurations)
    made = drive(grid, list(SITES), tmp_path / "run", plan.recipe, plan.federation, plan.file.seed, licences=True)
    model = made.model
    assert [one.licence["licence"] for one in made.sites] == ["CC BY-NC 4.0"] * 2
    plain = federate(tmp_path, list(SITES), tmp_path / "plain", plan.recipe, plan.federation, plan.file.seed).model
    pairs = zip(model.state_dict().values(), plain.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    events = [json.loads(line) for line in (tmp_path / SITES[0] / "audit.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["received", "sent"] * (len(events) // 2)
    sent = {event["type"]: event["content"] for event in events if event["event"] == "sent"}
    assert {kind: {record: list(names) for record, names in one.items()} for kind, one in sent.items()} == leaving(
        plan.federation
    )
    weights = [event for event in events if event["event"] == "sent" and event["type"] == "train"]
    assert len(weights) == 2 and weights[0]["round"] == "1" and weights[0]["bytes"] > 4 * 100_000


def ask_site(configurations, kind, content):
    """The first site's reply to a message."""
    grid = LocalGrid(REFERENCE, configurations)
    [reply] = grid.send_and_receive([Message(content, 2, kind)])
    return reply


def question(plan, changes):
    """A message's records as the plan has them, some of them changed."""
    terms = terms_of(plan, SITES[0])
    records = {name: ConfigRecord(values | changes.get(name, {})) for name, values in terms["asked"].items()}
    return RecordDict({"arrays": ArrayRecord(), **records})


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("query.images", {}, "the kind 'query.images'"),
        ("train", {"layout": {"names": ["other"]}}, "layout, names"),
        ("train", {"recipe": {"width": 128}}, "recipe, width: found 128 where 64 was accepted"),
        ("train", {"plan": {"rounds": 999}}, "plan, rounds: found 999 where 2 was accepted"),
        ("train", {"plan": {"round": 3}}, "plan, round: found 3; expected at most 2"),
        ("evaluate", {"recipe": {"extra": 1}}, "'extra', which was not accepted"),
    ],
)
def test_a_message_that_asks_for_other_than_accepted_gets_an_error_reply(nodes, tmp_path, kind, changes, expected):
    plan, configurations = nodes
    reply = ask_site(configurations, kind, question(plan, changes))
    assert reply.has_error() and expected in reply.error.reason
    last = json.loads((tmp_path / SITES[0] / "audit.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "refused or failed" and expected in last["error"]


@pytest.mark.parametrize(
    "records",
    [
        {"metrics": MetricRecord({"images": 3, "loss": 0.5, "patients": 2})},
        {"names": ConfigRecord({"site": "a"})},
        {"extra": MetricRecord({"loss": 1.0})},
        {"arrays": to_record({"pictures": np.zeros(7, np.float32)})},
    ],
)
def test_an_answer_that_holds_more_does_not_leave(nodes, records):
    plan, _ = nodes
    LocalGrid(REFERENCE, [])
    reply = Message(RecordDict(records), 2, "train")
    with pytest.raises(UltraFMError, match="only what the site accepted"):
        check_answer("train", reply, terms_of(plan, SITES[0]))


def test_more_weights_than_accepted_do_not_leave(nodes):
    plan, _ = nodes
    LocalGrid(REFERENCE, [])
    reply = Message(RecordDict({"arrays": to_record({"weights": np.zeros(7, np.float32)})}), 2, "train")
    with pytest.raises(UltraFMError, match=r"\[7\]"):
        check_answer("train", reply, terms_of(plan, SITES[0]))


def test_a_changed_or_missing_acceptance_answers_nothing(nodes):
    plan, configurations = nodes
    path = configurations[0]["acceptance"]
    acceptance = read_json(path)
    acceptance["terms"]["asked"]["plan"]["rounds"] = 1000
    write_json(path, acceptance)
    reply = ask_site(configurations, "train", question(plan, {}))
    assert reply.has_error() and "do not match their hash" in reply.error.reason
    accepted_terms.cache_clear()
    configurations[0]["acceptance"] += ".gone"
    reply = ask_site(configurations, "train", question(plan, {}))
    assert reply.has_error() and "no acceptance" in reply.error.reason


def test_what_cannot_be_logged_does_not_leave(nodes, images):
    """/dev/full is a disk without room."""
    _, configurations = nodes
    configurations[0]["audit"] = "/dev/full"
    reply = ask_site(
        configurations, "query.describe", RecordDict({"config": ConfigRecord({"organs": False, "licences": True})})
    )
    assert reply.has_error() and "No space left" in reply.error.reason


@pytest.fixture
def store(joined, monkeypatch):
    """The site's store as a table that a test sets; it is signed for."""
    monkeypatch.undo()
    monkeypatch.setattr(agreement, "require_release", lambda curated, site: None)

    def hold(folds, side, organ="liver"):
        picture = {"bytes": encode_png(np.zeros((side, side), np.uint8)), "path": None}
        table = pa.table(
            {"fold": pa.array(folds, pa.string()), "image": [picture] * len(folds), "organ": [organ] * len(folds)}
        )
        monkeypatch.setattr(agreement, "read_table", lambda curated, site: table)

    return hold


def test_a_store_is_counted_and_one_that_cannot_train_is_told(joined, store):
    store(["train", "test", "train"], 32)
    assert count_images(joined) == {"train": 2, "test": 1}
    store(["test"], 32)
    with pytest.raises(UltraFMError, match=r"site.yaml, line 2, field curated: found no training image of site_01_a"):
        count_images(joined)
    store(["train"], 32, organ="livr")
    with pytest.raises(
        UltraFMError, match=r"field curated: found the organ 'livr'.*did you mean 'liver'.*vocabulary.yaml"
    ):
        count_images(joined)
    store(["train"], 64)
    with pytest.raises(UltraFMError, match=r"found pictures of 64 pixels; expected the plan's 32.*--image-size 32"):
        count_images(joined)


def test_a_folder_without_a_store_is_told(joined, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(UltraFMError, match="no curated store"):
        count_images(joined)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"compression": "int8"}, "packed as int8"),
        ({"local_weights": "to_pixels.*"}, "bytes each time"),
        ({"weighting": "organs"}, "how many images of each organ"),
    ],
)
def test_what_is_shown_and_what_may_leave_follow_the_plans_training(write_plan, training, words):
    whole = terms_of(read_plan(write_plan()), SITES[0])
    terms = terms_of(read_plan(write_plan(training={"passes": 2, **training})), SITES[0])
    shown = "\n".join(describe_terms(terms, {"train": 8}))
    assert words in shown and ("to_pixels" in shown) == ("local_weights" not in training)
    smaller = "compression" in training or "local_weights" in training
    assert (agreement.bytes_of(terms) < agreement.bytes_of(whole)) == smaller
    assert ("organs" in terms["leaves"]["query.describe"]) == ("weighting" in training)


def test_with_privacy_the_agreement_says_so_and_holds_while_training(write_plan, images, tmp_path, monkeypatch):
    """No loss and no grey sum leaves, a question for them is refused, and the terms tell who adds which noise."""
    rows = {f"patient {number}": np.arange(2 * number, 2 * number + 2) for number in range(4)}
    for room in ("ultrafm.federation.site", "ultrafm.federation.privacy.at_site"):
        monkeypatch.setattr(f"{room}.site_roster", lambda *_: Roster(rows, True))
    training = {"passes": 1, "site_batch_size": 2, "privacy": "patients", "noise": 1.5, "clip": 0.5, "delta": 0.01}
    plan = read_plan(write_plan(training=training | {"secure_noise": False, "epsilon": 30.0}))
    terms = terms_of(plan, SITES[0])
    shown = "\n".join(describe_terms(terms, {"train": 8}))
    assert "privacy of patients: this site adds noise" in shown and "noise of 1.5 times the clip 0.5" in shown
    assert "epsilon at delta 0.01, at most 30 in this run" in shown and "comes from a seed" in shown
    assert "mean loss" not in shown and "evaluate" not in shown
    assert "licence" in terms["leaves"]["query.describe"] and "publisher, licence and citation" in shown
    assert set(leaving(plan.federation)) == set(terms["leaves"]) == {"query.describe", "train"}
    configurations = []
    for site in SITES:
        path = tmp_path / site / "acceptance.json"
        write_json(path, {"hash": agreement.hash_terms(terms_of(plan, site)), "terms": terms_of(plan, site)})
        paths = {"curated": tmp_path / "curated", "folder": tmp_path / site, "acceptance": path}
        configurations.append({"site": site, **{name: str(path) for name, path in paths.items()}})
    accepted_terms.cache_clear()
    grid = LocalGrid(REFERENCE, configurations[:1])
    made = drive(grid, [SITES[0]], tmp_path / "run", plan.recipe, plan.federation, plan.file.seed, licences=True)
    assert [row["images"] for row in made.history] == [4] and made.history[0]["loss"] is None
    plain = RecordDict({"config": ConfigRecord({"organs": False})})
    assert "as the site accepted" in ask_site(configurations, "query.describe", plain).error.reason
    empty = RecordDict({"config": ConfigRecord({})})
    assert "the kind 'evaluate'" in ask_site(configurations, "evaluate", empty).error.reason
