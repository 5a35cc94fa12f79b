"""The page for an ethics board holds what the run was, opens alone, and escapes what it is given."""

import pandas as pd

from ultrafm.federation.ethics_page import attack_table, write_ethics_page
from ultrafm.federation.plan import Federation
from ultrafm.reporting.figures import new_figure
from ultrafm.reporting.html import external_references
from ultrafm.reporting.records import record

TRAFFIC = pd.DataFrame({"from": ["a <site>"], "what": ["weights"], "bytes each time": [45449216]})
COMMON = {"section": "privacy", "images": "simulated", "unit": "probability"}


def attack(task, method, metric, level, estimate, low=None, high=None, comparator=None):
    """One attack's record."""
    return record(
        **COMMON, task=task, method=method, metric=metric, level=level, estimate=estimate, ci_low=low, ci_high=high,
        ci_method=None if low is None else "bootstrap", comparator=comparator,
    )  # fmt: skip


FOUND = [
    attack("membership_inference", "loss_threshold", "auroc", "site_01_a", 0.9, 0.8, 1.0),
    attack("membership_inference", "loss_threshold", "auroc", "mean over sites", 0.53, 0.48, 0.58),
    attack("membership_inference", "likelihood ratio, online", "auroc", "epsilon 1", 0.5, 0.4, 0.6),
    attack("membership_inference", "likelihood ratio, online", "true_positive_rate_at_0.01", "epsilon 1", None),
    attack("inversion", "gradient matching, patches", "ssim", "one picture", 0.7, 0.6, 0.8),
    attack("inversion", "gradient matching, patches", "ssim", "one picture", 0.4, 0.3, 0.5, "masks alone"),
    attack("inversion", "masks alone", "ssim", "one picture", 0.3),
    attack("inversion", "gradient matching, patches", "psnr", "one picture", 20.0, 19.0, 21.0),
]


def write(folder, federation, spending=None, assumptions=(), figures=None):
    spending = pd.DataFrame() if spending is None else spending
    path = write_ethics_page(
        folder, federation, {"site_01_a": 1200, "site_02_b": 34}, "simulated", TRAFFIC, FOUND, spending, assumptions,
        figures,
    )  # fmt: skip
    return path.read_text(encoding="utf-8")


def test_the_main_numbers_of_attacks_are_shown_once_and_single_sites_are_not():
    table = attack_table(FOUND)
    assert table["found, with 95 % interval"].tolist() == [
        "0.53 [0.48, 0.58]", "0.50 [0.40, 0.60]", "0.40 [0.30, 0.50]",
    ]  # fmt: skip
    assert table["nothing learnt"].tolist() == ["0.5", "0.5", "0"]
    assert "site_01_a" not in table.to_string() and "epsilon 1" in table["on"][1]


def test_the_page_tells_the_run_and_opens_without_a_network(tmp_path):
    page = write(tmp_path, Federation(1), figures={"What was recovered": new_figure(2, 2, "a picture")})
    assert "2 sites trained one model together, on 1,234 simulated training images" in page
    assert "no patient is behind them" in page and "45,449,216" in page
    assert "a &lt;site&gt;" in page and "a <site>" not in page
    assert "data:image/png;base64," in page and external_references(page) == []
    assert "What each site spent" not in page and "e<sup>epsilon</sup>" not in page
    assert "Attacks carried out on this run" not in page and "a planted leak" in page


def test_with_privacy_it_tells_what_was_spent_and_under_which_assumptions(tmp_path):
    private = Federation(1, privacy="patients", noise=1.0, clip=1.0, delta=0.001)
    spent = pd.DataFrame({"site": ["site_01_a"], "epsilon": [3.21]})
    page = write(tmp_path, private, spent, ["Every patient is drawn alone."])
    assert "What each site spent" in page and "3.21" in page and "Every patient is drawn alone." in page
    assert "can learn of one patient" in page and "e<sup>epsilon</sup>" in page


def test_that_a_profile_means_nothing_stands_first(tmp_path):
    path = write_ethics_page(
        tmp_path,
        Federation(1),
        {"site_01_a": 1},
        "simulated",
        TRAFFIC,
        FOUND,
        pd.DataFrame(),
        (),
        profile="smoke",
    )
    page = path.read_text(encoding="utf-8")
    assert page.index("none of its numbers means anything") < page.index("1. What leaves a site")
