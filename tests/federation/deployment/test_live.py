"""A real federation on this machine: TLS, node keys, two sites, nginx where it is installed; nothing of it survives."""

import datetime
import json
import os
import select
import signal
import socket
import socketserver
import sys
import threading
import time

import httpx
import psutil
import pytest
from flwr.cli.build import build_fab_from_files
from flwr.supernode import node_auth_http_interceptor
from waiting import wait_for

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment import control
from ultrafm.federation.deployment import knock as door
from ultrafm.federation.deployment.bundle import PYPROJECT
from ultrafm.federation.deployment.coordinate import read_progress
from ultrafm.federation.deployment.demo import build_stage, run_demonstration
from ultrafm.federation.deployment.follow import describe_status
from ultrafm.federation.deployment.keys import make_coordinator_keys, make_site_keys, read_private_key
from ultrafm.federation.deployment.knock import Refused, knock, knock_until_in
from ultrafm.federation.deployment.nginx import PUBLISHED, find_nginx
from ultrafm.federation.deployment.processes import Family, environment_for, free_port, living_with_mark, program
from ultrafm.files import read_json
from ultrafm.pretraining.weights import load_encoder

pytestmark = pytest.mark.slow
NO_NGINX = find_nginx() is None
PASSES = 5
TUNNELLED: set[str] = set()  # where the proxy was asked to tunnel to


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A coordinator, and two sites that are built and not yet started; ends everything, whatever happens."""
    stage = build_stage(tmp_path_factory.mktemp("stage"), not NO_NGINX, sites=2, passes=PASSES)
    try:
        stage.wait_ready(stage.start_coordinator())
        yield stage
    finally:
        stage.family.end()


class Tunnel(socketserver.StreamRequestHandler):
    """An outgoing proxy of a house: tunnels what asks for CONNECT, and nothing else."""

    def handle(self):
        words = self.rfile.readline().split()
        while self.rfile.readline().strip():
            pass
        TUNNELLED.add(words[1].decode())
        host, port = words[1].decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: there, there: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    if not (data := end.recv(1 << 16)):
                        return
                    ends[end].sendall(data)


@pytest.fixture(scope="module")
def proxy():
    """The address of a proxy that tunnels."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def joined(stage, proxy):
    """The stage with both sites started; one of them behind an outgoing proxy."""
    direct, behind = stage.sites
    stage.start_site(direct)
    stage.start_site(behind, HTTPS_PROXY=proxy, HTTP_PROXY=proxy)
    return stage


@pytest.fixture
def family():
    """Processes of one test."""
    family = Family()
    try:
        yield family
    finally:
        family.end(grace=3.0)


def key_of(stage, site):
    return read_private_key(stage.site_folder(site) / f"{site}.key", "here")


def test_a_known_key_gets_in_and_out_again(stage):
    authority = stage.site_folder(stage.sites[0]) / "ca.crt"
    assert knock(stage.plan.file.address, str(authority), key_of(stage, stage.sites[0])) is None
    assert stage.online() == 0


def test_an_unknown_key_is_refused(stage, tmp_path):
    private, _public = make_site_keys("site_09_x", tmp_path)
    authority, key = str(stage.site_folder(stage.sites[0]) / "ca.crt"), read_private_key(private, "here")
    with pytest.raises(Refused, match="2004"):
        knock(stage.plan.file.address, authority, key)
    with pytest.raises(UltraFMError, match="a key that the coordinator registered"):
        knock_until_in(stage.plan.file.address, authority, key, print, patience=0)


def test_another_authority_is_refused(stage, tmp_path):
    make_coordinator_keys("localhost", tmp_path)
    with pytest.raises(UltraFMError, match=r"certificate.*ask the coordinator for its ca\.crt"):
        knock(stage.plan.file.address, str(tmp_path / "ca.crt"), key_of(stage, stage.sites[0]))


@pytest.mark.parametrize(("ahead", "words"), [(90, "ahead of"), (-400, "behind")])
def test_a_wrong_clock_is_told(stage, monkeypatch, ahead, words):
    def wrong():
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)

    monkeypatch.setattr(node_auth_http_interceptor, "now", wrong)
    monkeypatch.setattr(door, "now", wrong)
    authority = str(stage.site_folder(stage.sites[0]) / "ca.crt")
    with pytest.raises(UltraFMError, match=rf"clock (8|9|39|40)\d* s {words} the coordinator's"):
        knock(stage.plan.file.address, authority, key_of(stage, stage.sites[0]))


def test_a_node_without_a_key_is_refused(stage, family, tmp_path):
    command = [
        program("flower-supernode"), "--superlink", stage.plan.file.address, "--host", "127.0.0.1", "--port",
        str(free_port()), "--root-certificates", str(stage.site_folder(stage.sites[0]) / "ca.crt"),
    ]  # fmt: skip
    family.start(command, tmp_path / "log", environment_for(tmp_path))
    refused = wait_for(lambda: "RunNotRunning" in (tmp_path / "log").read_text(), 60)
    log = (tmp_path / "log").read_text()
    assert refused, log[-2000:]
    assert "SuperNode ID" not in log and stage.online() == 0


@pytest.mark.skipif(NO_NGINX, reason="nginx is not installed (apt-get install nginx-light)")
def test_through_nginx_only_the_fleet_path_is_reached(stage):
    """Also with ways around that end at the control path; a 400 or 401 is Flower's own answer to an unsigned call."""
    with httpx.Client(verify=str(stage.plan.keys / "ca.crt"), base_url=f"https://{stage.plan.file.address}") as public:
        closed = [
            "/v1/control/list-runs", "/v1/control/start-run", "/v1/control/list-nodes", "/v1/runtime/acquire-task",
            "/v1/fleet/register-node", "/v1/fleet/unregister-node", "/v1/fleet/", "/v1/fleet", "/", "/docs", "/health",
            "/openapi.json", "/v1/fleet/../control/list-runs", "/v1/fleet/%2e%2e/control/list-runs",
            "/v1/fleet/get-run/../../control/start-run", "//v1/control/list-runs", "/v1/fleet/get-run/",
        ]  # fmt: skip
        answers = {path: public.post(path).status_code for path in closed}
        assert set(answers.values()) == {403}, answers
        fleet = {name: public.post(f"/v1/fleet/{name}").status_code for name in PUBLISHED}
        assert 403 not in fleet.values() and 502 not in fleet.values() and 404 not in fleet.values(), fleet
        assert public.get("/v1/fleet/get-run").status_code == 403
        assert public.post("/v1/fleet/push-object", content=b"x" * (17 << 20)).status_code == 413
    assert knock(stage.plan.file.address, str(stage.plan.keys / "ca.crt"), key_of(stage, stage.sites[0])) is None


def test_control_is_not_reached_from_other_addresses_of_the_machine(stage):
    listening = [
        one.laddr.ip
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == stage.plan.file.control_port
    ]
    assert listening == ["127.0.0.1"]


def test_a_run_survives_the_death_of_serverapp_superlink_and_supernode(joined):
    """kill -9 of each in turn, between rounds; the weights are those of the federation in one process.

    One of the sites sits behind an outgoing proxy, which all its words with the coordinator go through.
    """
    stage = joined
    run = stage.start_run()
    killed = []
    for rounds, victim in ((1, "flwr-serverapp"), (2, "flower-superlink"), (3, "flower-supernode")):
        reached = wait_for(lambda at=rounds: read_progress(stage.plan).get("round", 0) >= at, 180)
        assert reached, (victim, stage.said("run")[-3:])
        process = next(one for one in stage.family.members() if victim in " ".join(one.cmdline()[:3]))
        os.kill(process.pid, signal.SIGKILL)
        killed.append(victim)
    ended = wait_for(lambda: run.poll() is not None, 300)
    said = stage.said("run")
    assert ended and run.returncode == 0, said[-5:]
    assert len(killed) == 3 and read_progress(stage.plan)["digest"] == stage.digest_in_one_process()
    assert {stage.plan.file.address} == TUNNELLED
    assert sum("submitted again" in line for line in said) == 2
    assert any("was started anew" in line or "was lost" in line for line in said)


def test_what_the_run_left_is_an_encoder_a_history_and_a_status(joined):
    """After the run above."""
    lines, complete = describe_status(joined.plan_file)
    assert complete and lines[:2] == [f"{site}: online" for site in joined.sites]
    assert f"run: finished, round {PASSES} of {PASSES}" in lines
    encoder = load_encoder(joined.plan.folder / "encoder")
    card = (joined.plan.folder / "encoder" / "README.md").read_text()
    assert encoder.num_features == 64 and "Images: **simulated**" in card and "licence is not stated" not in card
    history = read_json(joined.plan.folder / "history.json")
    assert [row["site"] for row in history if row["pass"] == PASSES] == joined.sites


def test_a_bundle_with_code_is_refused_by_the_sites_and_its_code_never_runs(joined, monkeypatch, tmp_path):
    """Somebody reached the control path after all, and ships a module beside the names of our apps."""
    ran = tmp_path / "ran"
    names = PYPROJECT.replace("ultrafm.federation.client_app:app", "stowaway:app")
    files = {"pyproject.toml": names.encode(), "stowaway.py": f"open({str(ran)!r}, 'w')".encode()}
    monkeypatch.setattr(control, "make_bundle", lambda: build_fab_from_files(files)[0])
    (joined.plan.folder / "progress.json").unlink(missing_ok=True)
    with control.Control(joined.plan) as connection:
        wait_for(lambda: joined.online() == 2, 90)
        connection.start_run(joined.plan)
    failed = wait_for(lambda: read_progress(joined.plan).get("state") == "failed", 90)
    assert failed and "app bundle: found the files pyproject.toml, stowaway.py" in read_progress(joined.plan)["error"]
    logs = [joined.site_folder(site) / "federation" / "audit.jsonl" for site in joined.sites]
    refused = '"type": "app bundle", "error": "app bundle: found the files'
    assert wait_for(lambda: all(refused in log.read_text() for log in logs), 30)
    told = "refused (app bundle): app bundle: found the files pyproject.toml, stowaway.py"
    assert wait_for(lambda: all(told in "\n".join(joined.said(site)) for site in joined.sites), 10)
    unpacked = [path for site in joined.sites for path in joined.site_folder(site).rglob("stowaway.py")]
    assert unpacked == [] and not ran.exists()


def test_a_site_that_leaves_goes_offline_at_once_and_its_log_tells_all(joined):
    """After the run above: every message and answer stands in the log."""
    stage = joined
    site = stage.sites[0]
    log = stage.site_folder(site) / "federation" / "audit.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {event["type"] for event in events} == {"query.describe", "train", "evaluate", "app bundle"}
    assert log.stat().st_mode & 0o777 == 0o600
    online = stage.online()
    leaving = next(one for one in stage.family.members() if str(stage.site_file(site)) in one.cmdline())
    leaving.terminate()
    assert online == 2 and wait_for(lambda: stage.online() == 1, 20)
    assert wait_for(lambda: "leaving" in stage.said(site), 5)


def test_the_demonstration_ends_with_the_digest_of_one_process_and_leaves_nothing():
    before = {process.pid for process in living_with_mark("/")}
    said = []
    same = run_demonstration(said.append)
    assert same and "the same weights" in said, said
    assert {process.pid for process in living_with_mark("/")} <= before


def test_an_interrupted_demonstration_leaves_nothing(family, tmp_path):
    """Interrupted while its sites start."""
    command = [sys.executable, "-m", "ultrafm", "federation", "demo"]
    process = family.start(command, tmp_path / "log", {**os.environ, "TMPDIR": str(tmp_path / "files")})
    (tmp_path / "files").mkdir()
    started = wait_for(lambda: "sites start" in (tmp_path / "log").read_text(), 120)
    time.sleep(3)
    os.kill(process.pid, signal.SIGINT)
    ended = wait_for(lambda: process.poll() is not None, 40)
    assert started and ended, (tmp_path / "log").read_text()
    assert process.returncode == 130 and family.members() == [] and list((tmp_path / "files").iterdir()) == []
