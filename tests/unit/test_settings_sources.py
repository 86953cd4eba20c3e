"""The ways in that bridge.yaml can give a source: what each good one means, and what a bad one is told."""

# ruff: noqa: E501 (rows of tables)

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bridge.errors import Misconfigured
from bridge.settings import Secret, Signature, SourceAuth, TokenIssuer, load_settings
from bridge.settings.signatures import PRESETS
from bridge.settings.sources import SCHEMES
from bridge.sources.auth import SCHEMES as VERIFIERS

S = (Secret(kind="env", name="S"),)
TENANT = "11111111-2222-3333-4444-555555555555"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alerts"


def auth_of(folder: Path, auth: str) -> SourceAuth:
    file = folder / "bridge.yaml"
    file.write_text(f"sources: {{s: {{mapping: m, auth: {{{auth}}}}}}}", encoding="utf-8")
    return load_settings(file).sources["s"].auth


def hmac(preset: str | None, **changes: object) -> SourceAuth:
    base = PRESETS[preset] if preset else Signature(header="X-Sig")
    known = {name: getattr(base, name) for name in Signature.__dataclass_fields__}
    return SourceAuth(scheme="hmac", secrets=S, preset=preset, signature=Signature(**(known | changes)))


def issuer(issuer: str, keys: str, claims: tuple[str, ...], *subjects: str) -> SourceAuth:
    token = TokenIssuer(issuer=issuer, keys_url=keys, audience="a", subjects=subjects, subject_claims=claims)
    return SourceAuth(scheme="oidc", token=token)


GOOD: dict[str, tuple[str, SourceAuth]] = {
    "none": ("scheme: none", SourceAuth(scheme="none")),
    "bearer": ("scheme: bearer, secret: {env: S}", SourceAuth(scheme="bearer", secrets=S)),
    "header": ("scheme: header, name: X-K, secret: {env: S}", SourceAuth(scheme="header", secrets=S, header="X-K")),
    "header with a prefix": (
        "scheme: header, name: Authorization, prefix: 'Splunk ', secret: {env: S}",
        SourceAuth(scheme="header", secrets=S, header="Authorization", prefix="Splunk "),
    ),
    "query": ("scheme: query, name: code, secret: {env: S}", SourceAuth(scheme="query", secrets=S, parameter="code")),
    "basic": ("scheme: basic, username: u, secret: {env: S}", SourceAuth(scheme="basic", secrets=S, username="u")),
    "standard_webhooks": ("scheme: standard_webhooks, secret: {env: S}", SourceAuth(scheme="standard_webhooks", secrets=S)),
    "sns": (f"scheme: sns, topics: {TOPIC}", SourceAuth(scheme="sns", topics=(TOPIC,))),
    "sns in China": (
        "scheme: sns, topics: ['arn:aws-cn:sns:cn-north-1:123456789012:a.fifo']",
        SourceAuth(scheme="sns", topics=("arn:aws-cn:sns:cn-north-1:123456789012:a.fifo",)),
    ),
    "mtls": (
        "scheme: mtls, header: X-DN, trusted_proxies: [10.0.0.0/8, '::1'], subject: CN=a",
        SourceAuth(scheme="mtls", header="X-DN", trusted_proxies=("10.0.0.0/8", "::1"), subjects=("CN=a",)),
    ),
    "oidc of Google": (
        "scheme: oidc, issuer: 'https://accounts.google.com', audience: a, subject: [b, c]",
        issuer("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs", ("email", "sub"), "b", "c"),
    ),
    "oidc of Entra, v2": (
        f"scheme: oidc, issuer: 'https://login.microsoftonline.com/{TENANT}/v2.0', audience: a, subject: b",
        issuer(
            f"https://login.microsoftonline.com/{TENANT}/v2.0",
            f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
            ("azp", "sub"),
            "b",
        ),
    ),
    "oidc of Entra, v1": (
        f"scheme: oidc, issuer: 'https://sts.windows.net/{TENANT}/', audience: a, subject: b",
        issuer(
            f"https://sts.windows.net/{TENANT}/",
            f"https://login.microsoftonline.com/{TENANT}/discovery/keys",
            ("appid", "sub"),
            "b",
        ),
    ),
    "oidc of somebody else": (
        "scheme: oidc, issuer: 'https://id.example', keys: 'https://id.example/jwks', audience: a, subject: b",
        issuer("https://id.example", "https://id.example/jwks", ("sub",), "b"),
    ),
    **{f"hmac {name}": (f"scheme: hmac, preset: {name}, secret: {{env: S}}", hmac(name)) for name in PRESETS},
    "hmac with one thing else": (
        "scheme: hmac, preset: grafana, header: X-G, secret: {env: S}",
        hmac("grafana", header="X-G"),
    ),
    "grafana with a time": (
        "scheme: hmac, preset: grafana, timestamp_header: X-G-At, secret: {env: S}",
        hmac("grafana", timestamp_header="X-G-At", template="{timestamp}:{body}"),
    ),
    "crowdstrike the other way": (
        "scheme: hmac, preset: crowdstrike, order: timestamp_body, encoding: hex, secret: {env: S}",
        hmac("crowdstrike", template="{timestamp}{body}", encoding="hex"),
    ),
    "hmac spelt out": (
        "scheme: hmac, header: X-Sig, prefix: v0=, hash: sha512, encoding: base64, template: '{id}.{timestamp}.{body}',"
        " id_header: X-Id, timestamp_header: X-At, tolerance: 1h, secret: {env: S}",
        hmac(
            None,
            prefix="v0=",
            hash="sha512",
            encoding="base64",
            template="{id}.{timestamp}.{body}",
            id_header="X-Id",
            timestamp_header="X-At",
            tolerance=timedelta(hours=1),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GOOD.values(), ids=GOOD)
def test_a_scheme_has_what_it_needs(tmp_path: Path, text: str, expected: SourceAuth) -> None:
    assert auth_of(tmp_path, text) == expected


def test_every_scheme_of_the_file_has_a_verifier() -> None:
    assert SCHEMES.keys() == VERIFIERS.keys()


BAD = {
    "no word": ("scheme: oidcc, secret: {env: S}", "did you mean `oidc`? known here: none, bearer"),
    "query without name": ("scheme: query, secret: {env: S}", "`name` is missing here"),
    "query without secret": ("scheme: query, name: code", "`secret` is missing here"),
    "basic without user": ("scheme: basic, secret: {env: S}", "`username` is missing here"),
    "a colon in a user": ("scheme: basic, username: 'a:b', secret: {env: S}", "`username`|cannot be a user's name here (no colon"),
    "prefix of a bearer": ("scheme: bearer, prefix: x, secret: {env: S}", "unknown key `prefix`"),
    "hmac with nothing": ("scheme: hmac, secret: {env: S}", "`preset` is missing here (one of github, pagerduty"),
    "hmac without secret": ("scheme: hmac, preset: snyk", "`secret` is missing here"),
    "header": ("scheme: hmac, header: X_S, secret: {env: S}", "`X_S` cannot be a header's name here"),
    "hash": ("scheme: hmac, header: X-S, hash: md5, secret: {env: S}", "`md5` is not a word for `hash` (one of sha256, sha512"),
    "encoding": ("scheme: hmac, header: X-S, encoding: base32, secret: {env: S}", "did you mean `base64`?"),
    "order without a product": ("scheme: hmac, header: X-S, order: body_timestamp, secret: {env: S}", "unknown key `order`"),
    "order": ("scheme: hmac, preset: crowdstrike, order: body, secret: {env: S}", "`body` is not a word for `order` (one of body_timestamp, timestamp_body)"),
    "body is not signed": ("scheme: hmac, header: X-S, template: '{id}', id_header: X-I, secret: {env: S}", "must hold {body} once"),
    "body twice": ("scheme: hmac, header: X-S, template: '{body}{body}', secret: {env: S}", "must hold {body} once"),
    "a hole of nothing": ("scheme: hmac, header: X-S, template: '{url}{body}', secret: {env: S}", "`{url}` is not known here ({body}, {timestamp} and {id} are)"),
    "a time from nowhere": ("scheme: hmac, header: X-S, template: '{timestamp}{body}', secret: {env: S}", "`timestamp_header` is missing here"),
    "an id from nowhere": ("scheme: hmac, header: X-S, template: '{id}{body}', secret: {env: S}", "`id_header` is missing here"),
    "a time that is not signed": ("scheme: hmac, preset: github, timestamp_header: X-At, secret: {env: S}", "is not signed: `template` has no {timestamp}"),
    "tolerance of nothing": ("scheme: hmac, preset: github, tolerance: 5m, secret: {env: S}", "no time is signed"),
    "tolerance": ("scheme: hmac, preset: crowdstrike, tolerance: 5, secret: {env: S}", "`tolerance` must be a duration"),
    "sns without topics": ("scheme: sns", "`topics` is missing here (the ARN of each topic"),
    "sns with no topic": ("scheme: sns, topics: []", "`topics` is empty"),
    "not a topic": ("scheme: sns, topics: ['arn:aws:sqs:eu-central-1:123456789012:a']", "is not the ARN of a topic (as in arn:aws:sns"),
    "sns with a secret": (f"scheme: sns, topics: {TOPIC}, secret: {{env: S}}", "unknown key `secret`"),
    "oidc with an unknown issuer": ("scheme: oidc, issuer: 'https://id.example', audience: a, subject: b", "the keys of `https://id.example` are not known (known: https://accounts"),
    "keys in the open": ("scheme: oidc, issuer: i, keys: 'http://id.example', audience: a, subject: b", "must be an https:// URL of a JWKS"),
    "keys of a user": ("scheme: oidc, issuer: i, keys: 'https://a:b@id.example', audience: a, subject: b", "must be an https:// URL of a JWKS"),
    "oidc without audience": ("scheme: oidc, issuer: 'https://accounts.google.com', subject: b", "`audience` is missing here"),
    "oidc without subject": ("scheme: oidc, issuer: 'https://accounts.google.com', audience: a", "`subject` is missing here (whose tokens are taken"),
    "mtls with nothing": ("scheme: mtls", "`trusted_proxies` is missing here (the addresses that your proxies"),
    "mtls without header": ("scheme: mtls, trusted_proxies: 10.0.0.1, subject: b", "`header` is missing here"),
    "a proxy by name": ("scheme: mtls, header: X-DN, trusted_proxies: [proxy], subject: b", "`proxy` is neither an address nor a network"),
    "a network with a host": ("scheme: mtls, header: X-DN, trusted_proxies: [10.0.0.1/8], subject: b", "`10.0.0.1/8` is neither an address nor a network"),
}  # fmt: skip


def test_what_graph_lets_through_without_a_secret_goes_to_its_own_envelope_alone(tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    source = "{mapping: m, envelope: ENVELOPE, auth: {scheme: graph, secret: {env: S}}}"
    file.write_text(f"sources: {{s: {source.replace('ENVELOPE', 'graph')}}}", encoding="utf-8")
    assert load_settings(file).sources["s"].auth.scheme == "graph"
    file.write_text(f"sources: {{s: {source.replace('ENVELOPE', 'ndjson')}}}", encoding="utf-8")
    with pytest.raises(Misconfigured, match="`ndjson` does not go with the scheme `graph`"):
        load_settings(file)


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_a_wrong_key_is_told_with_its_place_and_a_remedy(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        auth_of(tmp_path, text)
    told = [str(problem) for problem in caught.value.problems]
    assert any(expected.rpartition("|")[2] in one for one in told), told
    assert all(":1:" in one for one in told)
