"""The joint task of eight diseases: put together wrongly, a control without tissue exposes it; rightly, it does not."""

import numpy as np
import pytest
from PIL import Image

from ultrafm.downstream.controls import joint_task
from ultrafm.downstream.controls.figures import joint_figure
from ultrafm.downstream.controls.joint_task import CONFOUNDED, CONTROL, FAIR, JointPictures, compare_designs, draw_joint
from ultrafm.errors import UltraFMError
from ultrafm.manifests import choose_source, load_sites
from ultrafm.study import REPOSITORY

SITES = load_sites(REPOSITORY / "data_manifests")


def made_pictures(generator, diseases=4, patients=60):
    """Pictures of noise whose border tells the site and nothing of the disease; `tissue` tells the disease."""
    disease = np.repeat([f"disease {number}" for number in range(diseases)], patients)
    sick = np.arange(diseases * patients) % 2 == 0
    seen = generator.normal(size=(len(sick), 5))
    seen[:, 0] += 10 * np.repeat(np.arange(diseases), patients)
    images = np.zeros((len(sick), 8, 8), np.uint8)
    return JointPictures(images, images == 0, seen, disease, sick)


def test_made_sites_are_exposed_by_the_control_and_counterparts_at_one_site_are_not():
    generator = np.random.default_rng(0)
    pictures = made_pictures(generator)
    tissue = generator.normal(size=(len(pictures.sick), 4)) + 2 * pictures.sick[:, None]
    table = compare_designs(pictures, {"tissue": tissue}).set_index(["design", "who"])
    assert table.loc[(CONFOUNDED, CONTROL), "auroc"] > 0.98 and "solved" in table.loc[(CONFOUNDED, CONTROL), "warning"]
    fair = table.loc[(FAIR, CONTROL)]
    assert fair["low"] < 0.5 < fair["high"] and fair["warning"] == ""
    assert table.loc[(FAIR, "tissue"), "low"] > 0.9 and table.loc[(FAIR, "tissue"), "warning"] == ""
    assert len(joint_figure(table.reset_index()).axes) == 1
    records = joint_task.joint_records(table.reset_index())
    assert len(records) == 4 and {row["images"] for row in records} == {"simulated"}
    assert {row["level"]: row["n"] for row in records} == {CONFOUNDED: 60, FAIR: 120}


def test_a_clue_at_the_site_itself_is_found_in_the_fair_design():
    generator = np.random.default_rng(1)
    pictures = made_pictures(generator)
    pictures.seen[:, 3] += 3 * pictures.sick
    table = compare_designs(pictures, {}).set_index("design")
    assert table.loc[FAIR, "low"] > 0.7 and "without looking at tissue" in table.loc[FAIR, "warning"]


@pytest.mark.slow
def test_the_phantoms_confounded_task_is_exposed_and_the_fair_one_is_not():
    table = compare_designs(draw_joint(SITES, 60, 32, seed=0), {}).set_index("design")
    assert table.loc[CONFOUNDED, "low"] > 0.95
    assert table.loc[FAIR, "high"] < 0.62


@pytest.mark.slow
def test_calipers_and_gain_on_the_diseased_are_found_at_the_site_itself():
    pictures = draw_joint(SITES, 40, 32, seed=0, shortcut=True)
    assert compare_designs(pictures, {}).set_index("design").loc[FAIR, "low"] > 0.75


def test_pictures_of_a_disease_are_half_diseased_and_black_outside_the_scan():
    heart = [site for site in SITES if site.organs == ("heart",)][:1]
    pictures = draw_joint(heart, 20, 32, seed=0)
    assert set(pictures.disease) == {"cardiac valve disease"} and 8 <= pictures.sick.sum() <= 12
    assert pictures.images.shape == pictures.sectors.shape == (20, 32, 32)
    assert 0.2 < pictures.sectors.mean() < 0.95
    assert pictures.images[pictures.sectors].mean() > 10 * pictures.images[~pictures.sectors].mean()


def test_a_scan_keeps_its_shape():
    device = choose_source(SITES[0], "phantom")[1].device
    photo = Image.new("L", (device.picture_width, device.picture_height), 200)
    image, sector = joint_task.scan_of(photo, device, 64)
    rows, columns = (np.flatnonzero(sector.any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 64
    assert (image[sector] > 150).mean() > 0.95


def test_too_few_patients_are_told():
    with pytest.raises(UltraFMError, match="at least 20"):
        draw_joint(SITES, 10, 32, seed=0)
