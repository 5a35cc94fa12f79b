"""Secure rounds under a site's gate and log: what was not agreed is refused, what is logged holds no secret."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
import yaml
from flwr.app import ConfigRecord, Message, RecordDict

from tests.federation.secure.striped_sites import SITES, STAGES, Trouble, TroubledGrid, nodes_of, weights
from ultrafm import __version__
from ultrafm.errors import UltraFMError
from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.deployment import agreement
from ultrafm.federation.deployment.agreement import bytes_of, describe_terms, leaving, terms_of
from ultrafm.federation.deployment.gate import accepted_terms
from ultrafm.federation.deployment.join import node_config, start_supernode
from ultrafm.federation.deployment.keys import make_site_keys
from ultrafm.federation.deployment.plans import read_plan, read_site
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import LocalGrid
from ultrafm.federation.secure.client import require_one_round
from ultrafm.federation.secure.vault import Vault
from ultrafm.files import write_json


@pytest.fixture(scope="module")
def key_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for site in SITES:
        make_site_keys(site, folder)
    (folder / "ca.crt").touch()
    return folder


@pytest.fixture
def write_plan(tmp_path, key_files):
    def write(sites=SITES, **training):
        chosen = {"passes": 1, "guarded": False, "secure_aggregation": True} | training
        values = {
            "name": "trial", "ultrafm": __version__, "address": "localhost:18443", "keys": str(key_files),
            "network": {"size": "micro", "image_size": 32}, "training": chosen, "seed": 5,
            "sites": [{"site": site, "key": f"{key_files}/{site}.pub"} for site in sites],
        }  # fmt: skip
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def agreed(write_plan, tmp_path):
    """A plan, and nodes of all its sites with acceptance and log."""
    plan, nodes = read_plan(write_plan()), nodes_of(tmp_path)
    for node in nodes:
        terms, folder = terms_of(plan, node["site"]), tmp_path / node["site"]
        write_json(folder / "acceptance.json", {"hash": agreement.hash_terms(terms), "terms": terms})
        node |= {"audit": str(folder / "audit.jsonl"), "acceptance": str(folder / "acceptance.json")}
    accepted_terms.cache_clear()
    return plan, nodes


def test_a_secure_run_keeps_to_the_agreement_and_is_logged_without_secrets(agreed, images, tmp_path):
    plan, nodes = agreed
    trouble = Trouble()
    secure = drive(
        TroubledGrid(nodes, trouble), SITES, tmp_path / "run", plan.recipe, plan.federation, 5, licences=True
    )
    ungated = TroubledGrid(nodes_of(tmp_path / "other"), Trouble())
    plain = drive(ungated, SITES, tmp_path / "plain", plan.recipe, plan.federation, 5)
    assert torch.equal(weights(secure), weights(plain))
    log = (tmp_path / SITES[0] / "audit.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    sent = {event["type"]: event for event in events if event["event"] == "sent"}
    told, names = leaving(plan.federation, SITES), {}
    for kind, event in sent.items():
        names[kind] = {record: sorted(values) for record, values in event["content"].items()}
    assert set(sent) == set(told)
    assert {kind: names[kind] for kind in STAGES} == {kind: told[kind] for kind in STAGES}
    assert sent["query.shares"]["bytes"] == 5 * (12 + 66 + 16) and sent["query.unmask"]["bytes"] == 5 * 33
    answered = [reply for kind, site, _m, reply in trouble.answers if kind == "query.unmask" and site == SITES[0]]
    assert answered[0].content["revealed"][SITES[0]].hex() not in log
    assert re.search(r'"sealing": "32 bytes"', log)
    sums = Vault(tmp_path / "sites" / SITES[0]).read_sums()
    assert list(sums) == [f"{agreement.hash_terms(terms_of(plan, SITES[0]))} 1"]


def question(plan, **changes):
    """A stage's message with the accepted settings, some changed."""
    terms = terms_of(plan, SITES[0])
    return terms["asked"]["secure"] | {"run": "r", "round": 1, "attempt": "a", "steps": 2, "images": 14} | changes


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("query.keys", {"threshold": 0.55}, "message, secure, threshold: found 0.55 where 0.0 was accepted"),
        ("query.keys", {"sites_per_round": 3}, "secure, sites_per_round"),
        ("query.keys", {"seed": 6}, "secure, seed"),
        ("query.keys", {"round": 2}, "message, secure, round: found 2; expected at most 1"),
        ("query.keys", {"more": 1}, "'more', which was not accepted"),
        ("query.unmask", {"threshold": 3.0}, "secure, threshold"),
        ("query.describe", {}, "as the site accepted"),
        ("query.secrets", {}, "the kind 'query.secrets'"),
    ],
)
def test_a_stage_that_was_not_agreed_is_refused_and_logged(agreed, tmp_path, kind, changes, told):
    plan, nodes = agreed
    content = RecordDict({"secure": ConfigRecord(question(plan, **changes))})
    [reply] = LocalGrid(REFERENCE, nodes).send_and_receive([Message(content, 2, kind)])
    assert reply.has_error() and told in reply.error.reason
    last = json.loads((tmp_path / SITES[0] / "audit.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "refused or failed" and told in last["error"]


@pytest.mark.parametrize("changes", [{"round": 2}, {"run": "b"}, {"pass_number": 1}, {"share": 2}])
def test_a_round_that_is_trained_and_not_the_one_that_is_summed_is_refused(changes):
    """Of passes in two shares, round 3 is the first of the second pass."""
    plan = {"run": "a", "round": 3, "pass_number": 2, "share": 1, "shares": 2, "local_epochs": 1}
    secure = {"run": "a", "round": 3, "sites_per_round": 0, "seed": 5}
    assert require_one_round(plan, secure, 7) is None
    with pytest.raises(UltraFMError, match=f"round 3, plan, {next(iter(changes))}: found"):
        require_one_round(plan | changes, secure, 7)
    turn = {"round": 7, "pass_number": 2, "share": 1}  # three rounds a turn, two turns a pass
    assert require_one_round(plan | turn, secure | {"round": 7, "sites_per_round": 3}, 7) is None


def test_plain_training_is_refused_where_sums_were_agreed(agreed):
    """Else a coordinator would just ask for the update itself."""
    plan, nodes = agreed
    terms = terms_of(plan, SITES[0])
    records = {name: ConfigRecord(values) for name, values in terms["asked"].items() if name != "secure"}
    [reply] = LocalGrid(REFERENCE, nodes).send_and_receive([Message(RecordDict(records), 2, "train")])
    assert reply.has_error() and "message, secure, threshold" in reply.error.reason


def test_secure_stages_are_refused_where_plain_rounds_were_agreed(agreed, write_plan, tmp_path):
    _plan, nodes = agreed
    plain = read_plan(write_plan(secure_aggregation=False, guarded=True))
    terms = terms_of(plain, SITES[0])
    assert "secure" not in terms["asked"] and "keys" not in terms
    write_json(tmp_path / SITES[0] / "acceptance.json", {"hash": agreement.hash_terms(terms), "terms": terms})
    accepted_terms.cache_clear()
    [reply] = LocalGrid(REFERENCE, nodes).send_and_receive([Message(RecordDict(), 2, "query.keys")])
    assert reply.has_error() and "the kind 'query.keys'" in reply.error.reason


def test_the_terms_show_the_sums_the_keys_and_the_bytes(write_plan):
    plan = read_plan(write_plan())
    terms = terms_of(plan, SITES[0])
    shown = "\n".join(describe_terms(terms, {"train": 8}))
    assert (
        "experimental until reviewed outside" in shown
        and "  each of at least 4 sites, as long as no more than 2 of" in shown
    )
    assert all(f"{site}  {terms['keys'][site][:16]}" in shown for site in SITES)
    assert "masked: only the sum over sites can be read" in shown and "how many images were seen" not in shown
    count = sum(agreement.array_length(agreement.shape_of(one)) for one in terms["asked"]["layout"]["shapes"])
    assert bytes_of(terms) == 4 * (count + 3) and f"{bytes_of(terms):,} bytes each time" in shown


def test_another_sites_key_is_another_agreement(write_plan, key_files, tmp_path):
    before = terms_of(read_plan(write_plan()), SITES[0])
    _private, public = make_site_keys(SITES[1], tmp_path / "new")
    plan = read_plan(write_plan())
    text = plan.path.read_text().replace(f"{key_files}/{SITES[1]}.pub", str(public))
    plan.path.write_text(text)
    assert agreement.hash_terms(terms_of(read_plan(plan.path), SITES[0])) != agreement.hash_terms(before)


def test_a_node_is_told_its_key_and_everybodys(write_plan, key_files, tmp_path):
    write_plan()
    values = {"site": SITES[0], "plan": "plan.yaml", "authority": f"{key_files}/ca.crt", "curated": "curated",
              "key": f"{key_files}/{SITES[0]}.key", "folder": str(tmp_path)}  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    told = node_config(read_site(tmp_path / "site.yaml"), tmp_path / "acceptance.json")
    assert f'signing_key = "{key_files}/{SITES[0]}.key"' in told
    assert list(json.loads((tmp_path / "roster.json").read_text())) == SITES


def test_a_joined_sites_state_is_its_own(write_plan, key_files, tmp_path):
    """Moments and kept answers there tell what masked numbers do not."""
    write_plan()
    values = {"site": SITES[0], "plan": "plan.yaml", "authority": f"{key_files}/ca.crt", "curated": "curated",
              "key": f"{key_files}/{SITES[0]}.key", "folder": "own"}  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    started = []
    family = SimpleNamespace(start=lambda command, *_: started.append(command))
    start_supernode(read_site(tmp_path / "site.yaml"), tmp_path / "acceptance.json", tmp_path / "commands", family)
    assert (tmp_path / "own" / "state").stat().st_mode & 0o777 == 0o700 and len(started) == 1


@pytest.mark.parametrize(
    ("sites", "training", "told"),
    [
        (SITES[:2], {}, r"field training, federation, secure_aggregation: found 2 sites in a round"),
        (SITES, {"sites_per_round": 3}, "2 sites in a round"),
        (SITES, {"secure_threshold": 2}, r"secure_threshold: found 2 of 5 sites of a round; expected from 3 to 5"),
        (SITES, {"aggregation": "krum"}, r"federation, aggregation: found 'krum' with secure_aggregation"),
        (SITES, {"guarded": True}, r"federation, guarded: found True with secure_aggregation"),
    ],
)
def test_a_plan_that_cannot_be_kept_secure_is_refused_when_it_is_read(write_plan, sites, training, told):
    with pytest.raises(UltraFMError, match=told):
        read_plan(write_plan(sites, **training))
