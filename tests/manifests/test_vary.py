"""Varied manifests: identical, as they are, extreme, confounded; bad wishes are told in words."""

import numpy as np
import pytest

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.manifests import check_manifests, load_sites
from ultrafm.manifests.vary import DIFFERENCES, LOOKS, RATIOS, Variation, vary_manifests, vary_sources
from ultrafm.study import REPOSITORY

FOLDER = REPOSITORY / "data_manifests"
SITES = load_sites(FOLDER)


def devices(sources, scan_mode="linear"):
    return [source.device for source in sources.values() if source.device.scan_mode == scan_mode]


def test_as_they_are_nothing_changes(tmp_path):
    vary_manifests(FOLDER, tmp_path / "same", Variation())
    assert [site.model_dump() for site in load_sites(tmp_path / "same")] == [site.model_dump() for site in SITES]


def test_identical_sites_have_one_look_for_each_kind_of_probe():
    sources = vary_sources(SITES, Variation(heterogeneity=0))
    for scan_mode in ("linear", "convex"):
        for field in (*RATIOS, *DIFFERENCES, *LOOKS):
            assert len({getattr(device, field) for device in devices(sources, scan_mode)}) == 1, field
    shares = {tuple(sorted(source.findings.items())) for source in sources.values()}
    kinds = {tuple(label for label, _share in found) for found in shares}
    assert len(shares) == len(kinds)  # sites with the same labels have the same shares


def test_spread_grows_in_proportion_and_the_mean_stays():
    def logs(amount):
        return np.log([device.frequency_mhz for device in devices(vary_sources(SITES, Variation(amount)))])

    assert logs(2).std() == pytest.approx(2 * logs(1).std(), rel=0.01)
    assert logs(2).mean() == pytest.approx(logs(1).mean(), abs=0.001)


def test_extreme_sites_are_still_valid_and_shares_add_up(tmp_path):
    vary_manifests(FOLDER, tmp_path / "far", Variation(heterogeneity=8, shortcut=True, best_auroc=0.8, label_noise=0.1))
    report = check_manifests(tmp_path / "far")
    assert not report.problems and len(report.lines) == len(SITES)
    for site in load_sites(tmp_path / "far"):
        source = site.sources.phantom
        assert source.shortcut and source.best_auroc == 0.8 and source.label_noise == 0.1


@pytest.mark.parametrize(
    ("amount", "found"), [(-1.0, "-1"), (float("nan"), "nan"), (float("inf"), "inf"), (2e3, "2000")]
)
def test_a_heterogeneity_below_nothing_is_refused(tmp_path, amount, found):
    with pytest.raises(UltraFMError, match=f"heterogeneity: found {found}"):
        vary_manifests(FOLDER, tmp_path / "out", Variation(heterogeneity=amount))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("field", "value"), [("label_noise", 2.0), ("best_auroc", 0.4)])
def test_a_value_that_cannot_be_is_told_in_words(tmp_path, field, value):
    with pytest.raises(UltraFMError, match=rf"sources\.phantom\.{field}: found {value:g}"):
        vary_manifests(FOLDER, tmp_path / "out", Variation(**{field: value}))
    assert not (tmp_path / "out").exists()


def test_findings_by_organ_are_varied_too_and_no_device_claims_sizes_that_it_has_not():
    usual, far = (vary_sources(SITES, Variation(amount)) for amount in (1, 3))
    name = next(name for name, source in usual.items() if source.findings_by_organ)
    assert usual[name].findings_by_organ == next(s for s in SITES if s.site == name).sources.phantom.findings_by_organ
    assert sum(far[name].findings_by_organ["lung"].values()) == pytest.approx(1)
    assert all(" mm" not in source.device.name for source in far.values())


def test_a_finding_that_nobody_has_stays_so():
    site = SITES[0]
    findings = {"normal": 0.0, "benign": 0.6, "malignant": 0.4}
    phantom = site.sources.phantom.model_copy(update={"findings": findings})
    changed = site.model_copy(update={"sources": site.sources.model_copy(update={"phantom": phantom})})
    assert vary_sources([changed, *SITES[1:]], Variation(2))[site.site].findings["normal"] == 0


def test_a_folder_that_exists_and_sites_that_are_not_simulated_are_refused(tmp_path):
    with pytest.raises(UltraFMError, match="something is there already"):
        vary_manifests(FOLDER, tmp_path, Variation())
    with pytest.raises(UltraFMError, match=r"sources\.phantom: found none"):
        vary_manifests(REPOSITORY / "tests" / "real_sites", tmp_path / "out", Variation())


def test_the_command_says_what_to_do_next(tmp_path, capsys):
    assert main(["manifests", "vary", str(FOLDER), "--out", str(tmp_path / "new folder"), "--heterogeneity", "0"]) == 0
    told = capsys.readouterr().out
    assert "16 manifests" in told and "--manifests '" in told
