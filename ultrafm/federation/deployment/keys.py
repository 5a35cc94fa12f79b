"""Keys and certificates: the coordinator's own authority with a server certificate, and one key pair for each site."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ultrafm.errors import UltraFMError

AUTHORITY_KEY, AUTHORITY = "ca.key", "ca.crt"
SERVER_KEY, SERVER = "server.key", "server.crt"
VALID = datetime.timedelta(days=825)


def make_coordinator_keys(host: str, folder: Path) -> list[Path]:
    """Write an authority and a server certificate for `host` (and the loopback) into `folder`; returns the files.

    Sites need `ca.crt` only. Raises UltraFMError when one of the files is there already.
    """
    paths = [folder / name for name in (AUTHORITY_KEY, AUTHORITY, SERVER_KEY, SERVER)]
    refuse_existing(paths)
    authority_key, server_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    authority = authority_certificate(authority_key, host)
    server = server_certificate(server_key, host, authority, authority_key)
    write_new(paths[0], private_pem(authority_key), 0o600)
    write_new(paths[1], authority.public_bytes(serialization.Encoding.PEM), 0o644)
    write_new(paths[2], private_pem(server_key), 0o600)
    write_new(paths[3], server.public_bytes(serialization.Encoding.PEM), 0o644)
    return paths


def make_site_keys(site: str, folder: Path) -> list[Path]:
    """Write a site's key pair (ECDSA P-384, OpenSSH) into `folder`: SITE.key stays there, SITE.pub goes out.

    Raises UltraFMError when one of the two is there already.
    """
    private, public = folder / f"{site}.key", folder / f"{site}.pub"
    refuse_existing([private, public])
    key = ec.generate_private_key(ec.SECP384R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    write_new(private, key.private_bytes(encoding, form, serialization.NoEncryption()), 0o600)
    text = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_new(public, text + b" " + site.encode() + b"\n", 0o644)
    return [private, public]


def read_public_key(path: Path, where: str) -> bytes:
    """A site's public key as PEM, which is how Flower names a node. Raises UltraFMError, told at `where`."""
    mend = "`ultrafm federation keys site --site SITE --out DIR` at the site, then copy its .pub file"
    if not path.is_file():
        raise UltraFMError(where, f"no file {path}", "the site's public key", mend)
    try:
        key = serialization.load_ssh_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UltraFMError(where, f"{path}, which is no ECDSA key of OpenSSH", "the site's public key", mend)
    return public_pem(key)


def read_private_key(path: Path, where: str) -> ec.EllipticCurvePrivateKey:
    """A site's private key. Raises UltraFMError, told at `where`, also when others than its owner may read it."""
    mend = "`ultrafm federation keys site --site SITE --out DIR`"
    if not path.is_file():
        raise UltraFMError(where, f"no file {path}", "the site's private key", mend)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UltraFMError(where, f"{path}, which others may read", "a private key", f"chmod 600 {path}")
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UltraFMError(where, f"{path}, which is no ECDSA key of OpenSSH", "the site's private key", mend)
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM, without a passphrase: a service has to read it unattended."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def authority_certificate(key: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    """The authority's certificate, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"federation of {host}"[:64])])
    builder = certificate_of(name, name, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True).sign(key, hashes.SHA384())


def server_certificate(
    key: ec.EllipticCurvePrivateKey, host: str, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate for `host`, and for the loopback, where the coordinator's own processes meet."""
    names = [address_name(name) for name in dict.fromkeys((host, "localhost", "127.0.0.1"))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    builder = certificate_of(subject, authority.subject, key.public_key(), authority_key.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.add_extension(usage(digital_signature=True), critical=True).sign(authority_key, hashes.SHA384())


def certificate_of(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """What both certificates have in common; valid from five minutes ago, for clocks that differ."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + VALID)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)


def usage(**allowed: bool) -> x509.KeyUsage:
    """What a key may be used for, and nothing else."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in every})


def address_name(host: str) -> x509.GeneralName:
    """A host's name or number as certificates write it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def refuse_existing(paths: list[Path]) -> None:
    """Raises UltraFMError when one of the files exists: a key that is overwritten is lost."""
    for path in paths:
        if path.exists():
            raise UltraFMError(
                str(path), "a file of this name", "none: keys are never overwritten", "choose another folder"
            )


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet; nobody else can read a private one at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
