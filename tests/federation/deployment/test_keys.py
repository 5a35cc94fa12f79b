"""Keys: made once, private to their owner, in the forms that Flower reads."""

import os

import pytest
from cryptography import x509
from flwr.supernode.cli.flower_supernode import load_ssh_private_key

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.keys import (
    make_coordinator_keys,
    make_site_keys,
    public_pem,
    read_private_key,
    read_public_key,
)


def test_private_keys_are_their_owners_alone(tmp_path):
    paths = [*make_coordinator_keys("fm.example.org", tmp_path), *make_site_keys("site_01_a", tmp_path)]
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in paths}
    assert {name for name, mode in modes.items() if mode == "0o600"} == {"ca.key", "server.key", "site_01_a.key"}


def test_the_server_certificate_is_the_authoritys_and_holds_for_host_and_loopback(tmp_path):
    make_coordinator_keys("192.0.2.7", tmp_path)
    server, authority = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("server.crt", "ca.crt")
    )
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "127.0.0.1"]


def test_keys_are_never_overwritten(tmp_path):
    private, _public = make_site_keys("site_01_a", tmp_path)
    before = private.read_bytes()
    with pytest.raises(UltraFMError, match="never overwritten"):
        make_site_keys("site_01_a", tmp_path)
    (tmp_path / "ca.crt").write_text("another federation's")
    with pytest.raises(UltraFMError, match=r"ca\.crt"):
        make_coordinator_keys("localhost", tmp_path)
    assert private.read_bytes() == before and not (tmp_path / "ca.key").exists()


def test_both_halves_of_a_site_key_belong_together_and_flower_reads_them(tmp_path):
    private, public = make_site_keys("site_01_a", tmp_path)
    key = read_private_key(private, "here")
    assert read_public_key(public, "there") == public_pem(key.public_key())
    assert public_pem(load_ssh_private_key(private.read_bytes(), None).public_key()) == public_pem(key.public_key())


@pytest.mark.parametrize("text", ["", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEQ1 x", "-----BEGIN PRIVATE KEY-----"])
def test_a_file_that_is_no_key_is_told(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UltraFMError, match=r"plan.yaml, line 3: found .*no ECDSA key"):
        read_public_key(path, "plan.yaml, line 3")
    with pytest.raises(UltraFMError, match="no ECDSA key"):
        read_private_key(path, "site.yaml")


@pytest.mark.skipif(os.name != "posix", reason="rights of files are those of POSIX")
def test_a_private_key_that_others_may_read_is_refused(tmp_path):
    private, _public = make_site_keys("site_01_a", tmp_path)
    private.chmod(0o640)
    with pytest.raises(UltraFMError, match="chmod 600"):
        read_private_key(private, "site.yaml")


def test_the_commands_say_which_file_goes_where(tmp_path, capsys):
    assert main(["federation", "keys", "coordinator", "--host", "localhost", "--out", str(tmp_path)]) == 0
    assert main(["federation", "keys", "site", "--site", "site_01_a", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "ca.crt: for every site" in told and "site_01_a.pub: send it to the coordinator" in told
    assert main(["federation", "keys", "site", "--site", "../x", "--out", str(tmp_path)]) == 1
