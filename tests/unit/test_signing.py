"""What `bridge sources test` sends is what the source's verifier takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Rejected
from bridge.settings import Signature, Source, SourceAuth, load_settings
from bridge.settings.signatures import PRESETS
from bridge.settings.sources import SCHEMES
from bridge.sources.auth import WITHOUT_SECRET, verifier_for
from bridge.sources.signing import CannotSign, Message, proof_of

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # Base64 as well, for Standard Webhooks
REF = "secret: {env: S}"
ROWS = {
    "none": "scheme: none",
    "bearer": f"scheme: bearer, {REF}",
    "header": f"scheme: header, name: X-Key, prefix: 'Key ', {REF}",
    "query": f"scheme: query, name: a&b, {REF}",
    "basic": f"scheme: basic, username: ada, {REF}",
    "standard_webhooks": f"scheme: standard_webhooks, {REF}",
    "mtls": "scheme: mtls, header: X-DN, trusted_proxies: 127.0.0.1, subject: CN=a",
    "grafana with a time": f"scheme: hmac, preset: grafana, timestamp_header: X-T, {REF}",
    "one of your own": f"scheme: hmac, header: X-S, hash: sha512, encoding: base64, "
    f"template: '{{id}}.{{timestamp}}.{{body}}', id_header: X-I, timestamp_header: X-T, {REF}",
} | {preset: f"scheme: hmac, preset: {preset}, {REF}" for preset in PRESETS}
UNSIGNABLE = {
    "sns": "scheme: sns, topics: 'arn:aws:sns:eu-central-1:123456789012:alerts'",
    "oidc": "scheme: oidc, issuer: 'https://accounts.google.com', audience: a, subject: s",
    "graph": f"scheme: graph, {REF}",
}


OWN = Source(
    name="s",
    mapping="m",
    auth=SourceAuth(
        scheme="hmac",
        signature=Signature(
            header="X-S", template="{id}.{body}{timestamp}", timestamp_header="X-T", id_header="X-I", prefix="v1="
        ),
    ),
)


def source_of(auth: str, folder: Path) -> Source:
    file = folder / "bridge.yaml"
    file.write_text(f"sources: {{s: {{mapping: m, auth: {{{auth}}}}}}}")
    return load_settings(file).sources["s"]


def check(source: Source, body: bytes, secret: bytes, *, signed: bytes) -> None:
    secrets = () if source.auth.scheme in WITHOUT_SECRET else (SECRET.encode(),)
    proof = proof_of(source.auth, Message(body=signed, secret=secret, message_id="m-1", now=NOW))
    headers = {name.lower(): value for name, value in proof.headers.items()} | {"host": "127.0.0.1"}
    verifier_for("s", source.auth, secrets).verify(
        Headers(headers), body, remote="127.0.0.1", query=proof.query, now=NOW
    )


class Headers(dict[str, str]):
    """Read without regard to case."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)


@pytest.mark.parametrize("auth", ROWS.values(), ids=ROWS.keys())
def test_a_proof_is_taken(auth: str, tmp_path: Path) -> None:
    source = source_of(auth, tmp_path)
    check(source, b'{"a": 1}', SECRET.encode(), signed=b'{"a": 1}')


@pytest.mark.parametrize(
    "auth",
    [auth for name, auth in ROWS.items() if name not in WITHOUT_SECRET],
    ids=[n for n in ROWS if n not in WITHOUT_SECRET],
)
def test_a_proof_by_another_secret_is_not_taken(auth: str, tmp_path: Path) -> None:
    source = source_of(auth, tmp_path)
    with pytest.raises(Rejected):
        check(source, b"{}", b"b" + SECRET.encode()[1:], signed=b"{}")


@given(st.binary(max_size=64))
def test_whatever_the_body_is_its_signature_is_taken(body: bytes) -> None:
    check(OWN, body, SECRET.encode(), signed=body)


@pytest.mark.parametrize("auth", UNSIGNABLE.values(), ids=UNSIGNABLE.keys())
def test_what_only_the_sender_can_sign_is_told(auth: str, tmp_path: Path) -> None:
    source = source_of(auth, tmp_path)
    with pytest.raises(CannotSign, match="only"):
        proof_of(source.auth, Message(body=b"", secret=b"", message_id="m", now=NOW))


def test_a_public_key_signs_nothing(tmp_path: Path) -> None:
    source = source_of(ROWS["standard_webhooks"], tmp_path)
    with pytest.raises(CannotSign, match="private"):
        proof_of(source.auth, Message(body=b"", secret=b"whpk_AAAA", message_id="m", now=NOW))


def test_every_scheme_is_looked_at() -> None:
    assert {text.split(",")[0].removeprefix("scheme: ") for text in (ROWS | UNSIGNABLE).values()} == set(SCHEMES)
