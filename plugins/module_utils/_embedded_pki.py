# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates of one control plane, made with the cryptography library. Elliptic curves: they cost nothing.

Everything is checked on every run and only what is missing, broken, foreign or about to expire is made again.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import ensure, read, write

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

CA_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=397)
RENEW_BEFORE = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Leaf:
    """A certificate to be: file name, common name, organisation (a group on the API server), server or client."""

    file: str
    common_name: str
    organisation: str = ""
    server: bool = False


SERVER = Leaf("server", "kube-apiserver", server=True)
ADMIN = Leaf("admin", "tmc-admin", organisation="system:masters")
CONTROLLER_MANAGER = Leaf("controller-manager", "system:kube-controller-manager")
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


def ensure_pki(directory: Path, cluster: str) -> bool:
    """Make C(directory) hold ca, server, admin, controller-manager (.crt, .key) and sa (.key, .pub).

    Returns whether anything was written. Raises OSError.
    """
    authority = _load(directory / "ca")
    changed = False
    if authority is None or not _fresh(authority[0]):
        authority = _make_authority(directory, cluster)
        changed = True
    for leaf in (SERVER, ADMIN, CONTROLLER_MANAGER):
        if not _serves(directory, leaf, authority[0]):
            _make_leaf(directory, leaf, *authority)
            changed = True
    return _ensure_service_account_key(directory) or changed


def kubeconfig(directory: Path, context: str, server: str, leaf: Leaf) -> str:
    """A kubeconfig with everything embedded, as text. JSON is YAML; the order is fixed, so equal input is equal text."""

    def embed(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": context, "cluster": {"certificate-authority-data": embed("ca.crt"), "server": server}},
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": embed(f"{leaf.file}.crt"),
                    "client-key-data": embed(f"{leaf.file}.key"),
                },
            },
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return json.dumps(document, indent=2) + "\n"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _fresh(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - _now() > RENEW_BEFORE and certificate.not_valid_before_utc < _now()


def _load(stem: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """Certificate and key of one stem, or None when either is missing, broken or does not belong to the other."""
    certificate_text, key_text = read(stem.with_suffix(".crt")), read(stem.with_suffix(".key"))
    if certificate_text is None or key_text is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(certificate_text.encode())
        key = serialization.load_pem_private_key(key_text.encode(), password=None)
    except ValueError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None
    return certificate, key


def _serves(directory: Path, leaf: Leaf, authority: x509.Certificate) -> bool:
    """Whether the leaf's files are there, are the leaf's, and were signed by this authority."""
    held = _load(directory / leaf.file)
    if held is None or not _fresh(held[0]) or held[0].subject != _subject(leaf.common_name, leaf.organisation):
        return False
    try:
        held[0].verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return True


def _subject(common_name: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - CLOCK_SKEW)
        .not_valid_after(_now() + lifetime)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority(directory: Path, cluster: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(f"controller-{cluster}", "tmc.cross_cluster")
    certificate = (
        _builder(name, name, key, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _store(directory / "ca", certificate, key)
    return certificate, key


def _make_leaf(
    directory: Path, leaf: Leaf, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_subject(leaf.common_name, leaf.organisation), authority.subject, key, LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        # Python 3.13 verifies strictly: without the two key identifiers it refuses the chain.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if leaf.server:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _store(directory / leaf.file, builder.sign(authority_key, hashes.SHA256()), key)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _store(stem: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    # Key first: a certificate without its key, or with another's, is found by _load and made again.
    write(stem.with_suffix(".key"), _private_pem(key))
    write(stem.with_suffix(".crt"), certificate.public_bytes(serialization.Encoding.PEM).decode())


def _ensure_service_account_key(directory: Path) -> bool:
    """The key that signs ServiceAccount tokens. Losing it would end every token, so a good one is never replaced."""
    path = directory / "sa.key"
    text = read(path)
    try:
        key = serialization.load_pem_private_key((text or "").encode(), password=None)
    except ValueError:
        key = None
    changed = not isinstance(key, ec.EllipticCurvePrivateKey)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        key = ec.generate_private_key(ec.SECP256R1())
        write(path, _private_pem(key))
    return ensure(directory / "sa.pub", _public_pem(key)) or changed
