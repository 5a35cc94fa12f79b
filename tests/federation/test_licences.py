"""The licence that a site tells in a deployment: what it is, what is not believed, and that no weight depends on it."""

from dataclasses import replace

import pytest
from flwr.app import ConfigRecord

from ultrafm.errors import UltraFMError
from ultrafm.federation.driver import describe_settings
from ultrafm.federation.licences import TOLD, read_licence, site_licence
from ultrafm.federation.plan import Federation, SiteDescription
from ultrafm.files import write_json

SITE = "site_01_a"
SHEET = {
    "site": SITE, "images": "simulated", "flow": {"kept": 40, "rows": 41},
    "origin": {
        "publisher": "A clinic", "licence": "CC BY-SA 4.0", "conditions": ["on request"], "checked": True,
        "citation": "Doe 2020", "address": "https://example.org", "country": "Norway",
    },
}  # fmt: skip


def test_a_site_tells_six_fields_of_its_data_sheet_and_they_survive_the_journey(tmp_path):
    write_json(tmp_path / SITE / "datasheet.json", SHEET)
    told = site_licence(str(tmp_path), SITE)
    assert told == {
        "publisher": "A clinic", "licence": "CC BY-SA 4.0",
        "conditions": ["attribution", "share alike", "on request"], "checked": True, "citation": "Doe 2020",
        "simulated": True,
    }  # fmt: skip
    assert read_licence(SITE, ConfigRecord(told)) == told and list(told) == list(TOLD)


def test_a_free_licence_has_no_condition_and_travels_too(tmp_path):
    origin = SHEET["origin"] | {"licence": "CC0", "conditions": []}
    write_json(tmp_path / SITE / "datasheet.json", SHEET | {"origin": origin})
    told = site_licence(str(tmp_path), SITE)
    assert told["conditions"] == [] and read_licence(SITE, ConfigRecord(told)) == told


@pytest.mark.parametrize("changes", [{"conditions": ["none at all"]}, {"licence": 3}, {"patients": "7"}])
def test_what_is_no_licence_is_refused_with_the_sites_name(tmp_path, changes):
    write_json(tmp_path / SITE / "datasheet.json", SHEET)
    with pytest.raises(UltraFMError, match=r"site site_01_a: found a licence told as .*same version"):
        read_licence(SITE, site_licence(str(tmp_path), SITE) | changes)


def test_the_fingerprint_of_a_run_does_not_know_licences():
    silent = SiteDescription(SITE, 8, 4.0, 2.0)
    config, federation = ConfigRecord({"plan/seed": 1}), Federation(1)
    prints = {
        describe_settings(config, federation, {2: one})
        for one in (silent, replace(silent, licence={"licence": "CC0"}), replace(silent, images=9))
    }
    assert len(prints) == 2
    assert describe_settings(config, federation, {2: silent}) in prints
