"""What a finished run tells of its privacy: table, sentences, model card; and a real store from curation on."""

from dataclasses import replace

import pytest

from tests.curation.made_archives import SITE, made_manifest, write_plain
from tests.federation.privacy.striped_patients import IMAGES, PRIVATE, RECIPE, SITES, put_in_place
from ultrafm.curation import curate_site
from ultrafm.errors import UltraFMError
from ultrafm.federation.arms import Workplace, pretrain_federated
from ultrafm.federation.driver import federate
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.accounting import Spending, epsilon_of
from ultrafm.federation.privacy.ledger import Budget, ledger_path, read_ledger, site_budget
from ultrafm.federation.privacy.report import (
    COLUMNS,
    assumptions,
    privacy_facts,
    privacy_table,
    spending_of,
)
from ultrafm.federation.privacy.views import site_roster
from ultrafm.federation.site import site_scans
from ultrafm.files import read_json
from ultrafm.pretraining.exchange.card import model_card
from ultrafm.pretraining.weights import describe_encoder


@pytest.mark.parametrize("changes", [{}, {"sites_per_round": 2}, {"shares": 1, "local_epochs": 2}])
def test_the_table_tells_what_the_ledgers_tell(tmp_path, monkeypatch, changes):
    put_in_place(monkeypatch.setattr)
    federation = replace(PRIVATE, **changes)
    federate(tmp_path / "curated", SITES, tmp_path, RECIPE, federation, seed=5)
    table = privacy_table(tmp_path, federation, 5)
    assert list(table.columns) == list(COLUMNS) and list(table["site"]) == SITES
    for row in table.itertuples():
        patients = len(IMAGES[row.site])
        spent = [one.spending for one in read_ledger(ledger_path(str(tmp_path / "curated"), row.site))]
        assert row.epsilon == epsilon_of(spent, 0.01) > 0 and row.delta == 0.01
        assert row.steps == sum(one.steps for one in spent) == 2 * -(-patients // 2)
        assert (row.patients, row.noise, row.clip, row.sampling_rate) == (patients, 1.0, 0.5, 1 / -(-patients // 2))


def test_an_unfinished_run_has_spent_less():
    federation = replace(PRIVATE, passes=4)
    schedule = federation.schedule(3, 5)
    spent = [spending_of(0, 8, federation, schedule, rounds) for rounds in (0, 3, schedule.rounds)]
    assert spent == [Spending(1.0, 0.25, steps) for steps in (0, 6, 16)]


def test_with_privacy_of_sites_every_round_that_asks_counts_in_full(tmp_path, monkeypatch):
    put_in_place(monkeypatch.setattr)
    federation = replace(PRIVATE, privacy="sites", weighting="equal", delta=0.1, sites_per_round=1)
    federate(tmp_path / "curated", SITES, tmp_path, RECIPE, federation, seed=5)
    table = privacy_table(tmp_path, federation, 5)
    assert list(table["steps"]) == [4, 4, 4] and set(table["sampling_rate"]) == {1.0}
    assert table["epsilon"].tolist() == [epsilon_of([Spending(1.0, 1.0, 4)], 0.1)] * 3
    [facts] = privacy_facts(tmp_path, federation, 5).values()
    assert facts["sites"][0]["patients"] is None and facts["unit"] == "sites"


def test_the_sentences_name_what_epsilon_rests_on():
    told = " ".join(assumptions(PRIVATE))
    for words in (
        "neighbours",
        "Poisson sampling",
        "public",
        "opacus 1.6.0",
        "protects nobody",
        "at most 2 of the",
        "curation",
    ):
        assert words in told
    secure = " ".join(assumptions(replace(PRIVATE, secure_noise=True)))
    assert "ChaCha20" in secure and "protects nobody" not in secure and "floating-point" in secure
    sites = " ".join(assumptions(replace(PRIVATE, privacy="sites", weighting="equal")))
    assert "no amplification by sampling is claimed" in sites and "must be trusted" in sites
    assert (
        "their ledgers tell" in told and "above 50 it is a looser bound" in told and "costs its sites twice." in sites
    )
    assert assumptions(Federation(passes=1)) == [] and privacy_facts(None, Federation(passes=1), 0) == {}


def test_the_model_card_tells_noise_steps_epsilon_and_assumptions(tmp_path, monkeypatch):
    put_in_place(monkeypatch.setattr)
    monkeypatch.setattr("ultrafm.federation.arms.site_scans", lambda *_: range(8))
    monkeypatch.setattr("ultrafm.federation.arms.image_origin", lambda *_: "simulated")
    monkeypatch.setattr("ultrafm.federation.arms.licences", lambda *_: [])
    monkeypatch.setattr("ultrafm.federation.arms.carried", lambda _: {"sites": []})
    pretrain_federated(Workplace(tmp_path / "curated", tmp_path, RECIPE, PRIVATE, 5), SITES, 1)
    encoder = tmp_path / "encoders" / "federated"
    table = privacy_table(tmp_path / "federated", PRIVATE, 5)
    card = (encoder / "README.md").read_text()
    assert "## Differential privacy of patients" in card and "opacus 1.6.0" in card
    assert f"| site_01_a | 4 | 0.5 | 4 | 1 | 0.5 | {table['epsilon'][0]:.4g} | 0.01 |" in card
    assert describe_encoder(encoder)["privacy"]["sites"][2]["steps"] == 8
    config = read_json(encoder / "config.json")
    del config["ultrafm"]["privacy"]
    assert "Differential privacy" not in model_card(config)


@pytest.fixture
def real_store(tmp_path):
    """A store of real files (made for the test), with a budget in its manifest."""
    write_plain(tmp_path / "archive", patients=12)
    manifest = made_manifest(split={"rule": "pretrain_only"}, privacy={"epsilon": 5.0, "delta": 0.01})
    curate_site(manifest, manifest.sources.local, tmp_path / "curated", tmp_path / "archive", 0, 32)
    site_roster.cache_clear()
    site_scans.cache_clear()
    return tmp_path / "curated"


def test_a_real_store_trains_within_its_manifests_budget_and_never_with_a_seed(real_store, tmp_path):
    roster = site_roster(str(real_store), SITE)
    assert len(roster) == 12 and not roster.simulated
    assert sorted(row for rows in roster.rows.values() for row in rows) == list(range(24))
    assert site_budget(str(real_store), SITE) == Budget(5.0, 0.01, "the site's manifest")

    def run(name, federation):
        return federate(real_store, [SITE], tmp_path / name, RECIPE, federation, seed=5)

    with pytest.raises(UltraFMError, match="noise from a seed over real images"):
        run("seeded", PRIVATE)
    with pytest.raises(UltraFMError, match="a plan with privacy 'none', where the site's manifest has a budget"):
        run("plain", Federation(passes=1, site_batch_size=2))
    secure = replace(PRIVATE, secure_noise=True, delta=1e-3)
    assert not ledger_path(str(real_store), SITE).exists()
    run("secure", secure)
    assert [one.secure for one in read_ledger(ledger_path(str(real_store), SITE))] == [True] * 4
    with pytest.raises(UltraFMError, match=r"privacy budget.*at most 5, as the site's manifest says"):
        run("too much", replace(secure, noise=0.3))


def test_a_manifest_without_a_budget_curates_to_what_it_did(tmp_path):
    write_plain(tmp_path / "archive", patients=4)
    manifest = made_manifest()
    curate_site(manifest, manifest.sources.local, tmp_path / "curated", tmp_path / "archive", 0, 32)
    assert site_budget(str(tmp_path / "curated"), SITE) is None
    assert not (tmp_path / "curated" / SITE / "privacy.json").exists()
