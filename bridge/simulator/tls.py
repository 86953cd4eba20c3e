"""TLS for the simulator: a certification authority of its own, the server's certificate, and clients' ones.

The folder keeps the authority, so that a client that trusts it once goes on trusting the simulator.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 365
LEAF_DAYS = 90
SPARE_DAYS = 7  # an authority that ends sooner is made anew
NAMES = ("localhost", "127.0.0.1", "::1")


class ClientCertificates(StrEnum):
    OPTIONAL = "optional"  # asked for; a client may show none
    REQUIRED = "required"  # a client without one is not let in at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into its folder; `ca.pem` is what clients must trust."""

    def __init__(self, folder: Path, *, now: datetime) -> None:
        """Use the authority that is in `folder`, or make one. Raises OSError, ValueError for a broken file."""
        self.folder = folder
        self.certificate_file = folder / "ca.pem"
        self._now = now
        key_file = folder / "ca.key"
        folder.mkdir(parents=True, exist_ok=True)
        if self.certificate_file.exists() and key_file.exists():
            self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{key_file} holds another kind of key: remove it")
            self._key = key
            if self._certificate.not_valid_after_utc > now + timedelta(days=SPARE_DAYS):
                return
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed(
            _name("ServiceNow simulator CA"),
            self._key.public_key(),
            CA_DAYS,
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(signs_certificates=True), True),
        )
        _write(key_file, _pem(self._key))
        _write(self.certificate_file, self._certificate.public_bytes(Encoding.PEM))

    def server(self) -> Pair:
        """A certificate for this machine's own names."""
        names = [x509.DNSName(name) if name == "localhost" else x509.IPAddress(ip_address(name)) for name in NAMES]
        alternative = (x509.SubjectAlternativeName(names), False)
        return self._issue("server", "localhost", ExtendedKeyUsageOID.SERVER_AUTH, alternative)

    def client(self, common_name: str, *, stem: str = "client") -> Pair:
        """A certificate that a client may show; its common name is what `access.certificates` maps to a user."""
        return self._issue(stem, common_name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def context(self, clients: ClientCertificates = ClientCertificates.OPTIONAL) -> ssl.SSLContext:
        """What the server speaks TLS with."""
        pair = self.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(self.certificate_file)
        required = clients is ClientCertificates.REQUIRED
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def _issue(
        self, stem: str, common_name: str, purpose: x509.ObjectIdentifier, *more: tuple[x509.ExtensionType, bool]
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(
            _name(common_name),
            key.public_key(),
            LEAF_DAYS,
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            *more,
        )
        pair = Pair(certificate=self.folder / f"{stem}.pem", key=self.folder / f"{stem}.key")
        _write(pair.key, _pem(key))
        _write(pair.certificate, certificate.public_bytes(Encoding.PEM))
        return pair

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int, *more: tuple[x509.ExtensionType, bool]
    ) -> x509.Certificate:
        """Clients of Python 3.13 are strict: both key identifiers and the key's usage must be there."""
        issuer = _name("ServiceNow simulator CA")
        own = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(days=1))
            .not_valid_after(self._now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )
        for extension, critical in more:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def common_name_of(connection: ssl.SSLSocket) -> str:
    """The common name in the certificate that the client showed, checked already; "" when it showed none."""
    shown = connection.getpeercert(binary_form=True)
    if not shown:
        return ""
    names = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """Readable by this user alone, keys and certificates alike."""
    path.touch(mode=0o600)
    path.write_bytes(content)
