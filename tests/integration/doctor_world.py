"""A bridge.yaml for an instance, and the doctor that is sent there by the command line."""

from __future__ import annotations

import ipaddress
import json
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.cli import main
from bridge.wiring import utc_now

YAML = """
database: sqlite:///var/bridge.db
mappings: {{path: mappings}}
log: {{signing_key: {{file: var/log.key}}}}
instances:
  prod:
    url: {url}
    environment: {environment}
    auth: {auth}
    {more}
targets:
{targets}
sources: {sources}
"""
BASIC = "{scheme: basic, username: bridge, password: {file: var/password}}"
ITSM = '  itsm: {instance: prod, table: incident, close: {code: "Resolved by caller"}}\n'
SIR = "  sir: {instance: prod, table: sn_si_incident}\n"


class Patient:
    """What the doctor is sent to, and what it says."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.config, self._capsys = folder, folder / "bridge.yaml", capsys
        self.password = folder / "var" / "password"
        self.password.parent.mkdir()
        self.password.touch(0o600)
        self.password.write_text("bridge\n")
        self.error = ""

    def is_at(
        self,
        url: str,
        *,
        targets: str = ITSM,
        environment: str = "test",
        auth: str = BASIC,
        more: str = "",
        sources: str = "{}",
    ) -> None:
        text = YAML.format(url=url, targets=targets, environment=environment, auth=auth, more=more, sources=sources)
        self.config.write_text(text)

    def doctor(self, *words: str, status: int | None) -> str:
        ended = main(["doctor", "--config", str(self.config), *words])
        assert status in (None, ended)
        said = self._capsys.readouterr()
        self.error = said.err
        return said.out

    def findings(self, *words: str, status: int | None) -> dict[str, dict[str, Any]]:
        """By step."""
        return {finding["step"]: finding for finding in json.loads(self.doctor("--json", *words, status=status))}

    def wrong(self, *words: str) -> dict[str, Any]:
        """The one step that is wrong."""
        (found,) = [one for one in self.findings(*words, status=1).values() if one["outcome"] == "wrong"]
        return found


def first_cause(finding: dict[str, Any]) -> str:
    return finding["causes"][0]["what"]


def certificate_in(folder: Path, *, name: str = "127.0.0.1", days: int = 9) -> Path:
    """A self-signed certificate for `name`, that ends in so many days, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = utc_now() + timedelta(days=days)
    built = x509.CertificateBuilder(common, common, key.public_key(), 1, end - timedelta(days=19), end, [])
    address = name[0].isdigit()
    named = x509.IPAddress(ipaddress.ip_address(name)) if address else x509.DNSName(name)
    signed = built.add_extension(x509.SubjectAlternativeName([named]), critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return file


def server_with(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
