"""The ledger and the kept answer: what is paid, when, and what happens when the site is killed in between."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy import rounds
from ultrafm.federation.privacy.accounting import epsilon_of
from ultrafm.federation.privacy.ledger import (
    BUDGET,
    Budget,
    Entry,
    charge,
    ledger_path,
    read_ledger,
    require_affordable,
    require_protected,
    site_budget,
)
from ultrafm.federation.privacy.protection import Protection
from ultrafm.federation.privacy.rounds import ANSWER, answer_within_budget, question_of
from ultrafm.files import write_json

SITE = "site_01_a"
PROTECTION = Protection(privacy="patients", noise=1.0, clip=1.0, delta=1e-3)
ASKED = Entry("run", 1, "question 1", 1.0, 0.5, 2, True)


class PowerCut(Exception):
    """Stands for the end of the process."""


class Trainer:
    """Gives other arrays each time, as secure noise does, and counts."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"codes": np.full(3, self.calls, np.int8), "scales": np.full(1, self.calls, np.float32)}


def answer(tmp_path, train, asked=ASKED, protection=PROTECTION, patients=20):
    return answer_within_budget(str(tmp_path / "curated"), SITE, tmp_path, protection, asked, patients, train)


def paid(tmp_path):
    return [one.answer.split()[1] for one in read_ledger(ledger_path(str(tmp_path / "curated"), SITE))]


def test_the_same_question_gets_the_same_answer_and_is_paid_once(tmp_path):
    train = Trainer()
    one, again = answer(tmp_path, train), answer(tmp_path, train)
    assert train.calls == 1 and paid(tmp_path) == ["1"]
    assert {name: (value.dtype, value.tolist()) for name, value in one.items()} == {
        name: (value.dtype, value.tolist()) for name, value in again.items()
    }


def test_killed_before_it_is_paid_the_kept_answer_is_paid_and_sent(tmp_path, monkeypatch):
    train = Trainer()

    def cut(*_):
        raise PowerCut

    monkeypatch.setattr(rounds, "charge", cut)
    with pytest.raises(PowerCut):
        answer(tmp_path, train)
    assert paid(tmp_path) == []
    monkeypatch.undo()
    assert answer(tmp_path, train)["codes"].tolist() == [1, 1, 1]
    assert train.calls == 1 and paid(tmp_path) == ["1"]


def test_killed_while_training_nothing_is_paid_and_nothing_kept(tmp_path):
    def cut():
        raise PowerCut

    with pytest.raises(PowerCut):
        answer(tmp_path, cut)
    assert paid(tmp_path) == [] and not (tmp_path / ANSWER).exists()
    train = Trainer()
    answer(tmp_path, train)
    assert paid(tmp_path) == ["1"]


@pytest.mark.parametrize("loss", ["another round", "deleted", "damaged"])
def test_an_answer_that_is_no_longer_kept_is_trained_anew_and_paid_again(tmp_path, loss):
    train = Trainer()
    answer(tmp_path, train)
    if loss == "another round":
        answer(tmp_path, train, replace(ASKED, round=2, answer="question 2"))
    elif loss == "deleted":
        (tmp_path / ANSWER).unlink()
    else:
        data = bytearray((tmp_path / ANSWER).read_bytes())
        data[-1] ^= 1
        (tmp_path / ANSWER).write_bytes(data)
    before = paid(tmp_path)
    assert answer(tmp_path, train)["codes"][0] == train.calls == len(before) + 1
    assert paid(tmp_path) == [*before, "1"]


def test_a_seeded_answer_that_is_repeated_is_not_paid_again(tmp_path):
    seeded = replace(ASKED, secure=False)
    answer(tmp_path, Trainer(), seeded)
    (tmp_path / ANSWER).unlink()
    answer(tmp_path, Trainer(), seeded)
    assert paid(tmp_path) == ["1"]


def test_a_round_beyond_the_budget_is_refused_before_training(tmp_path):
    train, allowed = Trainer(), epsilon_of([ASKED.spending] * 2, 1e-3)
    protection = replace(PROTECTION, epsilon=allowed)
    for number in (1, 2):
        answer(tmp_path, train, replace(ASKED, round=number, answer=f"question {number}"), protection)
    with pytest.raises(UltraFMError) as told:
        answer(tmp_path, train, replace(ASKED, round=3, answer="question 3"), protection)
    after = epsilon_of([ASKED.spending] * 3, 1e-3)
    assert str(told.value) == (
        f"site {SITE}, round 3, privacy budget: found epsilon {allowed:.2f} spent; this round would make it "
        f"{after:.2f}, at delta 0.001; expected at most {allowed:g}, as the plan says. To mend it: end training here, "
        "add noise or take fewer passes in a new plan, or let the site agree to a larger budget."
    )
    assert train.calls == 2 and paid(tmp_path) == ["1", "2"]
    answer(tmp_path, train, replace(ASKED, run="other", round=3, answer="question 3"), protection)  # a run of its own
    assert train.calls == 3


def test_two_budgets_hold_at_their_own_deltas(tmp_path):
    once = epsilon_of([ASKED.spending], 1e-5)
    write_json(tmp_path / "curated" / SITE / BUDGET, {"epsilon": once * 0.99, "delta": 1e-5})
    assert epsilon_of([ASKED.spending], 1e-3) < once * 0.9
    with pytest.raises(UltraFMError, match=r"at delta 1e-05; expected at most .* the site's manifest says"):
        answer(tmp_path, Trainer(), protection=replace(PROTECTION, epsilon=once))
    write_json(tmp_path / "curated" / SITE / BUDGET, {"epsilon": once * 1.01, "delta": 1e-5})
    assert site_budget(str(tmp_path / "curated"), SITE) == Budget(once * 1.01, 1e-5, "the site's manifest")
    answer(tmp_path, Trainer(), protection=replace(PROTECTION, epsilon=once))
    assert paid(tmp_path) == ["1"]


def test_what_another_run_spent_in_the_meantime_counts(tmp_path):
    path = ledger_path(str(tmp_path / "curated"), SITE)
    budget = epsilon_of([ASKED.spending], 1e-3)
    write_json(tmp_path / "curated" / SITE / BUDGET, {"epsilon": budget, "delta": 1e-3})

    def train():
        charge(path, SITE, replace(ASKED, run="other", answer="question 9"), [])
        return Trainer()()

    with pytest.raises(UltraFMError, match="privacy budget"):
        answer(tmp_path, train)
    assert paid(tmp_path) == ["9"]


def test_many_at_once_lose_no_entry(tmp_path):
    path = ledger_path(str(tmp_path / "curated"), SITE)
    asked = [replace(ASKED, round=number, answer=f"question {number}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: charge(path, SITE, one, []), asked))
    assert sorted(paid(tmp_path), key=int) == [str(number) for number in range(24)]


def test_a_round_without_steps_costs_nothing(tmp_path):
    train = Trainer()
    answer(tmp_path, train, replace(ASKED, steps=0), replace(PROTECTION, epsilon=1e-9))
    assert train.calls == 1 and paid(tmp_path) == []


def test_a_delta_that_one_patient_could_fill_is_refused(tmp_path):
    with pytest.raises(UltraFMError, match=r"found delta 0\.001 with 1000 patients"):
        answer(tmp_path, Trainer(), patients=1000)
    answer(tmp_path, Trainer(), patients=999)
    assert paid(tmp_path) == ["1"]


def test_a_damaged_ledger_is_told_and_not_taken_for_an_empty_one(tmp_path):
    path = ledger_path(str(tmp_path / "curated"), SITE)
    path.parent.mkdir(parents=True)
    path.write_text('{"site": "site_01_a", "entr')
    with pytest.raises(UltraFMError, match=r"ledger\.json: found a ledger that cannot be read"):
        answer(tmp_path, Trainer())


def test_the_ledger_lies_beside_the_stores_and_not_in_them(tmp_path):
    path = ledger_path(str(tmp_path / "curated"), SITE)
    assert path == tmp_path / "curated_privacy" / SITE / "ledger.json"
    charge(path, SITE, ASKED, [])
    assert [asdict(one) for one in read_ledger(path)] == [asdict(ASKED)]


def test_questions_differ_with_plan_and_weights():
    weights = np.arange(3, dtype=np.float32)
    told = {question_of("a", weights), question_of("b", weights), question_of("a", weights + 1)}
    assert len(told) == 3 and question_of("a", weights.copy()) in told


def test_a_site_without_a_budget_may_be_asked_anything(tmp_path):
    require_protected(str(tmp_path), SITE, "none")
    require_affordable(SITE, [], ASKED, [])
    write_json(tmp_path / SITE / BUDGET, {"epsilon": 3, "delta": 1e-4})
    require_protected(str(tmp_path), SITE, "patients")
    with pytest.raises(UltraFMError, match="privacy 'sites', where the site's manifest has a budget"):
        require_protected(str(tmp_path), SITE, "sites")
