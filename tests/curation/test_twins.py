"""Real scans and simulated ones of the same organ and probe are found and cropped by the same code."""

import numpy as np
import pytest

from ultrafm.curation.sites import Places, Wish
from ultrafm.curation.twins import COLUMNS, find_twins, join_tables
from ultrafm.manifests import load_sites
from ultrafm.phantom.realism import MEASURES
from ultrafm.study import REPOSITORY

REAL, SIMULATED = (load_sites(REPOSITORY / folder) for folder in ("tests/real_sites", "data_manifests"))


@pytest.fixture(scope="module")
def twins(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("twins")
    places = Places(out / "out", out / "archives", out / "work", REPOSITORY / "tests" / "real_sites", real_data)
    chosen = [site for site in REAL if site.site.startswith(("site_01", "site_02", "site_03", "site_06"))]
    return find_twins(chosen, SIMULATED, places, Wish("default", 0, 64, 0.1), 4)


def test_every_organ_and_probe_that_both_have_is_compared(twins):
    assert [(pair.organ, pair.scan_mode) for pair in twins] == [
        ("breast", "linear"), ("liver", "convex"), ("skeletal muscle", "linear"),
    ]  # fmt: skip
    assert all(1 <= len(group) <= 4 for pair in twins for group in (pair.real, pair.simulated))


def test_scans_are_cropped_to_their_scan_area(twins):
    for pair in twins:
        for grey, inside in (*pair.real, *pair.simulated):  # a fan has corners, no empty sides
            assert grey.shape == inside.shape and grey.dtype == np.uint8
            assert inside.any(axis=1).mean() > 0.95 and inside.any(axis=0).mean() > 0.95


def test_the_tables_join(twins):
    joined = join_tables(twins)
    assert list(joined) == COLUMNS and set(joined["organ"]) == {"breast", "liver", "skeletal muscle"}
    assert joined["apart"].between(0.5, 1).all() and set(joined["measure"]) <= set(MEASURES)
    assert list(join_tables([])) == COLUMNS and join_tables([]).empty
