"""PLAN.yaml and SITE.yaml: what is wrong is told with file, line and field."""

import re

import pytest
import yaml

from ultrafm import __version__
from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.plans import allowed_keys, check_certificates, read_plan, read_site
from ultrafm.federation.driver import Federation
from ultrafm.pretraining.recipe import recipe_of_size
from ultrafm.study import REPOSITORY


def test_a_plan_gives_recipe_federation_and_places(write_plan, keys):
    plan = read_plan(write_plan(training={"passes": 3, "shares": 2, "adaptive": "kept"}))
    assert plan.recipe == recipe_of_size("micro", image_size=32)
    assert plan.federation == Federation(passes=3, shares=2, adaptive="kept")
    assert (plan.host, plan.port, plan.control) == ("localhost", 18443, "127.0.0.1:9093")
    assert plan.folder == plan.path.parent / "federation" and plan.keys == keys
    assert list(allowed_keys(plan)) == ["site_01_a", "site_02_b"]


def test_a_power_of_ten_without_a_point_is_a_number(write_plan):
    private = {"passes": 2, "privacy": "patients", "noise": 1, "clip": 1, "delta": "1e-4"}
    assert read_plan(write_plan(training=private)).federation.delta == 1e-4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ultrafm": "9.9"}, rf"line 2, field ultrafm: found version 9.9, while {__version__}.*To mend it: install"),
        ({"address": "localhost"}, r"field address: found 'localhost'; expected host:port"),
        ({"address": "localhost:99999"}, r"field address: found 'localhost:99999'"),
        ({"adress": "localhost:1"}, r"field adress: found the unknown field 'adress'.*did you mean 'address'"),
        ({"seed": None, "training": None}, r"no such field; expected the field 'training'"),
        ({"network": {"size": "mikro"}}, r"field network, size: found 'mikro'.*did you mean 'micro'"),
        ({"network": {"image_size": 64}}, r"field network.*a size, such as micro"),
        ({"network": {"size": "micro", "depht": 3}}, r"network.depht: found the unknown field.*did you mean 'depth'"),
        ({"network": {"size": "micro", "depth": "3"}}, r"network.depth: found '3'; expected a valid integer"),
        (
            {"network": {"size": "micro", "image_size": 30}},
            r"network, recipe, image_size.*multiple of patch_size",
        ),
        ({"training": {"shares": 2}}, r"field training: found no passes"),
        ({"training": {"passes": 2, "shares": 0}}, r"field training, schedule, shares: found 0"),
        ({"training": {"passes": 2, "adaptive": "keep"}}, r"field training, adaptive: found 'keep'.*'kept'"),
        (
            {"training": {"passes": 2, "local_weights": "decodr.*"}},
            r"field training, federation, local_weights.*decodr",
        ),
        ({"training": {"passes": 2, "privacy": "patients"}}, r"noise: found 0.*To mend it: .*without noise nobody"),
        ({"training": {"passes": 2.5}}, r"training.passes: found 2.5"),
        ({"sites": []}, r"field sites: found \[\]; expected a list of at least 1"),
        ({"sites": [{"site": "Site 1", "key": "x"}]}, r"field sites.0.site"),
        ({"sites": [{"site": "a", "key": "x"}, {"site": "a", "key": "y"}]}, r"sites.1.site: found 'a', as in entry 0"),
    ],
)
def test_what_is_wrong_in_a_plan_is_told(write_plan, changes, expected):
    path = write_plan(**changes)
    with pytest.raises(UltraFMError, match=expected) as told:
        read_plan(path)
    assert str(path) in str(told.value)


def test_a_missing_key_file_and_a_key_of_two_sites_are_told(write_plan, keys):
    one, other = f"{keys}/site_01_a.pub", f"{keys}/none.pub"
    plan = read_plan(write_plan(sites=[{"site": "a", "key": one}, {"site": "b", "key": other}]))
    with pytest.raises(UltraFMError, match=r"sites.1.key: found no file .*none.pub.*keys site"):
        allowed_keys(plan)
    plan = read_plan(write_plan(sites=[{"site": "a", "key": one}, {"site": "b", "key": one}]))
    with pytest.raises(UltraFMError, match=r"sites.1.key: found the key of a too"):
        allowed_keys(plan)


def test_missing_certificates_are_told_with_the_command_that_makes_them(write_plan, tmp_path):
    with pytest.raises(UltraFMError, match=r"field keys: found no file .*ca.crt.*keys coordinator --host localhost"):
        check_certificates(read_plan(write_plan(keys=str(tmp_path))))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"site": "site_01_b"}, r"field site: found 'site_01_b', which the plan does not name.*did you mean"),
        ({"plan": "none.yaml"}, r"field plan: found no file .*none.yaml.*ask the coordinator for its plan.yaml"),
        ({"authority": "none.crt"}, r"field authority: found no file .*ask the coordinator for ca.crt"),
        ({"curate": "x"}, r"unknown field 'curate'.*did you mean 'curated'"),
    ],
)
def test_what_is_wrong_in_a_sites_file_is_told(write_plan, tmp_path, keys, changes, expected):
    write_plan()
    values = {"site": "site_01_a", "plan": "plan.yaml", "authority": f"{keys}/ca.crt", "key": "k", "curated": "c"}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values | changes))
    with pytest.raises(UltraFMError, match=expected):
        read_site(tmp_path / "site.yaml")


def test_the_examples_of_the_data_managers_page_are_read(tmp_path, keys):
    text = (REPOSITORY / "docs" / "hospital.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    plan = next(block for block in blocks if "sites:" in block)
    (tmp_path / "plan.yaml").write_text(plan)
    (tmp_path / "ca.crt").write_bytes((keys / "ca.crt").read_bytes())
    (tmp_path / "site.yaml").write_text(next(block for block in blocks if "curated:" in block))
    site = read_site(tmp_path / "site.yaml")
    assert site.file.site in site.plan.sites and site.curated == tmp_path.parent / "curated"


def test_every_command_of_the_data_managers_page_exists(capsys):
    text = (REPOSITORY / "docs" / "hospital.md").read_text()
    commands = {match.split()[0] for match in re.findall(r"ultrafm federation ([a-z]+ ?[a-z]*)", text)}
    assert commands >= {"keys", "site", "coordinator", "run", "status"}
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(["federation", command, "--help"])
        assert ended.value.code == 0
