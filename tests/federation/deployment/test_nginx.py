"""The public door, as text and as nginx reads it."""

import re
import subprocess

import pytest
from flwr.superlink.routers.fleet.router import router

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.nginx import PUBLISHED, find_nginx, nginx_command, nginx_configuration, write_nginx
from ultrafm.federation.deployment.plans import read_plan


def test_only_paths_of_flowers_fleet_are_published_each_by_its_exact_name(write_plan):
    text = nginx_configuration(read_plan(write_plan()))
    served = {route.path for route in router.routes}
    left_out = {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}
    assert {f"/v1/fleet/{name}" for name in PUBLISHED} == served - left_out
    places = re.findall(r"location (.+) \{", text)
    assert places == ["/", *(f"= /v1/fleet/{name}" for name in PUBLISHED)]
    assert "location / { return 403; }" in text and "proxy_ssl_verify on" in text
    assert not re.search(r"/v1/(control|runtime)", text)


def test_it_names_the_plans_ports_and_keys(write_plan, keys):
    text = nginx_configuration(read_plan(write_plan(control_port=19093)))
    assert "listen 18443 ssl;" in text and "server 127.0.0.1:19093;" in text and f"{keys}/server.key" in text


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_nginx_accepts_it(write_plan):
    configuration = write_nginx(read_plan(write_plan()))
    command = nginx_command(configuration)
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0 and "test is successful" in checked.stderr


def test_a_path_that_nginx_would_misread_is_refused(write_plan):
    plan = read_plan(write_plan(folder="my folder; include x"))
    with pytest.raises(UltraFMError, match="misreads"):
        write_nginx(plan)


def test_a_machine_without_nginx_is_told_so(monkeypatch, write_plan):
    monkeypatch.setattr("ultrafm.federation.deployment.nginx.find_nginx", lambda: None)
    with pytest.raises(UltraFMError, match="apt-get install"):
        nginx_command(write_plan())
