"""Plans with protections: noise that keeps every site within its epsilon, and costs beside what encoders are worth."""

from pathlib import Path

import pandas as pd
import pytest

from ultrafm.federation import protection_costs
from ultrafm.federation.arms import Workplace
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.accounting import Spending, epsilon_of
from ultrafm.federation.protection_costs import cost_table, noise_for_sites, protected_plans
from ultrafm.pretraining.recipe import Recipe
from ultrafm.reporting.records import record

PATIENTS = {"site_01_a": 9, "site_02_b": 40}
PLACE = Workplace(Path("curated"), Path("folder"), Recipe(), Federation(3, site_batch_size=4), 0)


@pytest.fixture(autouse=True)
def rosters(monkeypatch):
    monkeypatch.setattr(protection_costs, "site_roster", lambda _curated, site: range(PATIENTS[site]))


def spent(noise, patients):
    of_pass = -(-patients // 4)
    return epsilon_of([Spending(noise, 1 / of_pass, 3 * of_pass)], 0.001)


def test_no_site_spends_more_than_the_budget_and_one_spends_nearly_all():
    noise = noise_for_sites(PLACE, [*PATIENTS], 8.0, 0.001)
    epsilons = [spent(noise, count) for count in PATIENTS.values()]
    assert max(epsilons) <= 8.0 and max(epsilons) > 7.9 and min(epsilons) < 7


def test_the_plans_differ_in_protection_alone():
    plans = protected_plans(PLACE, [*PATIENTS], [8.0, 1.0], 8.0, 0.001, 0.5)
    assert list(plans) == [
        "nothing", "secure aggregation", "privacy, epsilon 8", "privacy, epsilon 1", "both, epsilon 8",
    ]  # fmt: skip
    assert plans["nothing"] == PLACE.federation
    private, both = plans["privacy, epsilon 8"], plans["both, epsilon 8"]
    assert private.noise == both.noise < plans["privacy, epsilon 1"].noise
    assert both.secure_aggregation and not private.secure_aggregation
    assert {plan.privacy for plan in (private, both)} == {"patients"}
    assert {(one.passes, one.shares, one.site_batch_size) for one in plans.values()} == {(3, 1, 4)}


def worth(name, estimate, comparator=None):
    return record(
        section="privacy_costs", task="macro_average", metric="auroc", method=f"linear_probe/{name}",
        comparator=comparator, estimate=estimate, ci_low=estimate - 0.1, ci_high=estimate + 0.1,
        ci_method="bootstrap", unit="probability", images="simulated",
    )  # fmt: skip


def test_costs_stand_beside_what_each_encoder_is_worth_in_the_order_of_the_plans():
    costs = pd.DataFrame({"protection": ["nothing", "a lot"], "noise": [0.0, 2.0]})
    found = [
        worth("a lot", 0.5), worth("a lot", -0.2, "linear_probe/nothing"), worth("nothing", 0.7), worth("random", 0.55),
    ]  # fmt: skip
    table = cost_table(costs, found)
    assert table["protection"].tolist() == ["nothing", "a lot", "random"]
    assert table["auroc"].tolist() == [0.7, 0.5, 0.55] and table["difference"].tolist()[1] == -0.2
    assert pd.isna(table["difference"][0]) and table["high"][1] == pytest.approx(0.6)
