"""Experiments on the federation: settings in words, pictures dealt anew, attacks, and what is made of the outcomes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.federation import test_federate
from ultrafm.curation import load_pictures
from ultrafm.curation.identity.release import make_release, write_release
from ultrafm.curation.store import COLUMNS, encode_png, write_store
from ultrafm.errors import UltraFMError
from ultrafm.federation import trial_figures, trials
from ultrafm.federation.arms import Workplace
from ultrafm.federation.attacks import ATTACKS, REFERENCE
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import LocalGrid
from ultrafm.federation.heterogeneity import DEALS, deal_anew, dealing_order
from ultrafm.federation.plan import Federation

images = test_federate.images
SITES, RECIPE = test_federate.SITES, test_federate.RECIPE


def test_settings_are_read_as_the_fields_kind():
    text = "adaptive reset, shares 3, proximal 0.1, guarded no, local_weights decoder* to_pixels*"
    expected = {"adaptive": "reset", "shares": 3, "proximal": 0.1, "guarded": False}
    assert trials.read_changes(text) == expected | {"local_weights": "decoder* to_pixels*"}
    assert trials.read_changes("") == {}


@pytest.mark.parametrize("text, told", [
    ("share 3", "a field of Federation"), ("shares", "a field of Federation"), ("shares many", "shares: found 'many'"),
    ("adaptive keep", "did you mean 'kept'"), ("guarded true", "yes or no"), ("schedule 3", "a field of Federation"),
])  # fmt: skip
def test_settings_that_cannot_be_read_are_told(text, told):
    with pytest.raises(UltraFMError, match=told):
        trials.read_changes(text)


def test_a_setting_needs_a_name():
    with pytest.raises(UltraFMError, match="a name, a colon"):
        trials.every_setting(["shares 3"], ["mixed"], [0])


def test_trials_are_named_and_each_has_a_folder_of_its_own():
    made = trials.every_attack(["sign flipped"], ["mean: guarded no", "median: aggregation median"], [0, 1])
    assert [one.name for one in made[:4]] == ["mean, all honest"] * 2 + ["median, all honest"] * 2
    place = Workplace(Path(), Path(), RECIPE, Federation(passes=1), 0)
    assert len({one.folder(place, SITES) for one in made}) == 8
    same = trials.every_setting(["other words: guarded no"], ["as scanned"], [0])[0]
    assert same.folder(place, SITES) == made[0].folder(place, SITES), "the same training is not done twice"
    longer = Workplace(Path(), Path(), RECIPE, Federation(passes=2), 0)
    assert same.folder(longer, SITES) != same.folder(place, SITES), "another federation is another training"


TABLE = pd.DataFrame(
    [(f"site_{site}", f"p{patient}", "liver" if site else "heart") for site in (0, 1) for patient in (0, 0, 1, 2)],
    columns=["site", "patient", "organ"],
)


@pytest.mark.parametrize("deal", DEALS[1:])
def test_dealing_keeps_every_picture_once_and_patients_together(deal):
    order = dealing_order(TABLE, deal, np.random.default_rng(3))
    assert sorted(order) == list(range(len(TABLE)))
    served = TABLE.iloc[order]
    runs = (served[["site", "patient"]] != served[["site", "patient"]].shift()).any(axis=1).sum()
    assert runs == 6, "each of the six patients in one run"


def test_by_organ_serves_one_organ_after_the_other():
    organs = TABLE.iloc[dealing_order(TABLE, "by organ", np.random.default_rng(3))]["organ"].tolist()
    assert organs == sorted(organs)


def test_as_scanned_is_the_archive_itself(tmp_path):
    assert deal_anew(tmp_path, SITES, tmp_path / "dealt", "as scanned", np.random.default_rng(0)) == tmp_path


def picture_row(site, number, fold, simulated=True):
    """A row of a store with the columns that matter here."""
    picture = encode_png(np.full((8, 8), number, np.uint8))
    told = {
        "image_id": f"{site}-{fold}-{number}", "site": site, "patient": f"{fold}{number // 2}", "fold": fold,
        "image": picture, "sector": picture, "organ": ("liver", "heart")[number % 4 // 2], "simulated": simulated,
    }  # fmt: skip
    return dict.fromkeys(COLUMNS) | told


def write_sites(folder, simulated=True):
    """Two sites with 6 and 10 training pictures and 2 for validation."""
    for site, count in (("site_01_a", 6), ("site_02_b", 10)):
        rows = [picture_row(site, number, "train", simulated) for number in range(count)]
        rows += [picture_row(site, number, "validation", simulated) for number in range(2)]
        write_store(rows, len(rows), folder / site / "store", "simulated", "")
        write_release(folder / site, make_release("", False, None, {}))
    return folder, ["site_01_a", "site_02_b"]


def test_real_pictures_stay_where_they_are(tmp_path):
    curated, sites = write_sites(tmp_path / "curated", simulated=False)
    with pytest.raises(UltraFMError, match="site_01_a: found real pictures"):
        deal_anew(curated, sites, tmp_path / "dealt", "mixed", np.random.default_rng(0))


@pytest.mark.parametrize("deal", DEALS[1:])
def test_dealt_sites_hold_the_same_pictures_in_the_same_numbers(tmp_path, deal):
    curated_sites, sites = write_sites(tmp_path / "curated")
    dealt = deal_anew(curated_sites, sites, tmp_path / "dealt", deal, np.random.default_rng(0))
    before, after = (load_pictures(folder, sites, ["train"]).table for folder in (curated_sites, dealt))
    assert sorted(before["image_id"]) == sorted(after["image_id"])
    for site in sites:
        counts = [len(load_pictures(folder, [site], ["train"]).table) for folder in (curated_sites, dealt)]
        held_out = [load_pictures(folder, [site], ["validation"]).table["image_id"].tolist() for folder in
                    (curated_sites, dealt)]  # fmt: skip
        assert counts[0] == counts[1] and held_out[0] == held_out[1]


def attacked(folder, attack, **changes):
    nodes = [{"site": name, "curated": "", "folder": str(folder / name)} for name in SITES]
    nodes[1]["attack"] = attack
    return drive(LocalGrid(REFERENCE, nodes), SITES, folder, RECIPE, Federation(**{"passes": 2} | changes), seed=5)


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "sign flipped"])
def test_a_guarded_federation_refuses_what_training_cannot_have_made(tmp_path, images, attack):
    made = attacked(tmp_path, attack, on_fault="drop")
    assert {(one.site, one.action) for one in made.incidents} == {("site_02_b", "dropped")}
    assert len(made.incidents) == 2 and all(np.isfinite(row["loss"]) for row in made.history if row["loss"])
    with pytest.raises(UltraFMError, match="site_02_b"):
        attacked(tmp_path / "stops", attack)


def test_a_flipped_sign_is_within_what_training_can_do_and_the_median_withstands_it(tmp_path, images):
    honest = attacked(tmp_path / "honest", "", passes=6, adaptive="reset").history
    flipped = attacked(tmp_path / "flipped", "sign flipped", passes=6, adaptive="reset")
    median = attacked(tmp_path / "median", "sign flipped", passes=6, adaptive="reset", aggregation="median").history
    ends = [
        np.mean([row["validation_loss"] for row in rows if row["pass"] == 6][:2])
        for rows in (honest, median, flipped.history)
    ]
    assert flipped.incidents == [] and ends[0] < ends[2] and ends[1] < ends[2]


OUTCOMES = pd.DataFrame(
    [
        (name, seed, loss + 0.01 * seed, 40.0, 0)
        for name, loss in (("a, all honest", 1.0), ("a, scaled", 1.5), ("b, all honest", 1.1), ("b, scaled", np.nan))
        for seed in (0, 1)
    ],
    columns=["name", "seed", "loss", "megabytes", "dropped"],
).assign(stopped="")


def test_differences_are_paired_by_seed_smallest_loss_first():
    found = trials.compare(OUTCOMES.dropna(), "a, all honest")
    assert found["choices"].tolist() == ["a, all honest", "b, all honest", "a, scaled"]
    assert found["difference"].tolist()[1:] == pytest.approx([0.1, 0.5])
    records = trials.trial_records(found, "rule", "a, all honest", "simulated")
    assert len(records) == 5 and {one["fold"] for one in records} == {"validation"}


def test_the_table_of_attacks_tells_how_much_worse_and_what_stopped():
    html = trial_figures.attack_style(OUTCOMES).to_html()
    assert "+49.5 to +50.0 %" in html and "training stopped" in html
    assert trial_figures.rise_text(np.array([10.0, np.nan])) == "+10.0 to +10.0 %; 1 of 2 stopped"


def test_a_training_that_stopped_is_not_left_out_of_a_comparison_in_silence():
    with pytest.raises(UltraFMError, match="b, scaled, seed 0"):
        trials.compare(OUTCOMES, "a, all honest")


def test_the_reference_has_no_difference_in_the_table():
    html = trial_figures.comparison_style(
        trials.compare(OUTCOMES.dropna(), "a, all honest"), "rule", OUTCOMES
    ).to_html()
    assert ">–<" in html and "1.005 (1.000 to 1.010)" in html
