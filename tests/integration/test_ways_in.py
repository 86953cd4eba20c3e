"""Every scheme of a source over HTTP: what its product sends is taken, and what it does not send is a 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.auth import _basic_auth_str as basic
from signing import (
    CERTIFICATE_URL,
    GOOGLE_KEYS,
    KEY,
    NOW,
    OTHER_KEY,
    TOPIC,
    Stub,
    certificate,
    jwks,
    signed,
    sns,
    token,
)
from ways_in_world import open_door

from bridge.doors import doors_of
from bridge.errors import Rejected
from bridge.metrics import Metrics
from bridge.settings import load_settings
from bridge.store.callers import Callers
from bridge.store.engine import Store
from bridge.web.app import create_app
from bridge.web.hooks import hooks

NEW, OLD = "It's a Secret to Everybody", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPLUNK = {"Authorization": f"Splunk {NEW}"}
BODY = b'{"rule": "r1"}'
SECONDS = str(int(NOW.timestamp()))
ISO = "2026-03-10T12:00:00.1234567Z"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", NEW)
    monkeypatch.setenv("S_OLD", OLD)


def mac(content: bytes, secret: str = NEW, name: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), content, getattr(hashlib, name)).digest()


def hexed(content: bytes, secret: str = NEW, name: str = "sha256") -> str:
    return mac(content, secret, name).hex()


def based(content: bytes, secret: str = NEW) -> str:
    return base64.b64encode(mac(content, secret)).decode()


SECRETS = "secret: [{env: S}, {env: S_OLD}]"
HMAC = f"scheme: hmac, {SECRETS}"
BEARER = {"Authorization": f"Bearer {NEW}"}

# scheme, its settings, the headers and the query of a right delivery of BODY
RIGHT: list[tuple[str, str, dict[str, str], str]] = [
    ("none", "scheme: none", {}, ""),
    ("bearer", f"scheme: bearer, {SECRETS}", BEARER, ""),
    ("bearer, the old one", f"scheme: bearer, {SECRETS}", {"Authorization": f"Bearer {OLD}"}, ""),
    ("gitlab", f"scheme: header, name: X-Gitlab-Token, {SECRETS}", {"X-Gitlab-Token": NEW}, ""),
    ("okta", f"scheme: header, name: Authorization, {SECRETS}", {"Authorization": OLD}, ""),
    ("cloudflare", f"scheme: header, name: cf-webhook-auth, {SECRETS}", {"cf-webhook-auth": NEW}, ""),
    ("hec", f"scheme: header, name: Authorization, prefix: 'Splunk ', {SECRETS}", SPLUNK, ""),
    ("basic", f"scheme: basic, username: wiz, {SECRETS}", {"Authorization": basic("wiz", NEW)}, ""),
    ("query", f"scheme: query, name: code, {SECRETS}", {}, "x=y&code=It%27s%20a%20Secret%20to%20Everybody"),
    ("github", f"{HMAC}, preset: github", {"X-Hub-Signature-256": f"sha256={hexed(BODY)}"}, ""),
    ("github, the old one", f"{HMAC}, preset: github", {"X-Hub-Signature-256": f"sha256={hexed(BODY, OLD)}"}, ""),
    ("pagerduty", f"{HMAC}, preset: pagerduty", {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={hexed(BODY)}"}, ""),
    ("grafana", f"{HMAC}, preset: grafana", {"X-Grafana-Alerting-Signature": hexed(BODY)}, ""),
    (
        "grafana with a time",
        f"{HMAC}, preset: grafana, timestamp_header: X-Grafana-Alerting-Timestamp",
        {"X-Grafana-Alerting-Signature": hexed(f"{SECONDS}:".encode() + BODY), "X-Grafana-Alerting-Timestamp": SECONDS},
        "",
    ),
    ("snyk", f"{HMAC}, preset: snyk", {"X-Hub-Signature": f"sha256={hexed(BODY)}"}, ""),
    (
        "crowdstrike",
        f"{HMAC}, preset: crowdstrike",
        {"X-Cs-Primary-Signature": based(BODY + ISO.encode()), "X-Cs-Delivery-Timestamp": ISO},
        "",
    ),
    (
        "crowdstrike the other way",
        f"{HMAC}, preset: crowdstrike, order: timestamp_body, encoding: hex",
        {"X-Cs-Primary-Signature": hexed(ISO.encode() + BODY), "X-Cs-Delivery-Timestamp": ISO},
        "",
    ),
    ("splunk_observability", f"{HMAC}, preset: splunk_observability", {"X-SFX-Signature": based(BODY)}, ""),
    (
        "vault_radar",
        f"{HMAC}, preset: vault_radar",
        {"X-HCP-Radar-Signature": f"sha512={hexed(BODY, name='sha512')}", "X-HCP-Radar-Timestamp": SECONDS},
        "",
    ),
    (
        "hmac spelt out",
        f"{HMAC}, header: X-Sig, template: '{{id}}.{{timestamp}}.{{body}}', id_header: X-Id, timestamp_header: X-At",
        {"X-Sig": hexed(f"7.{SECONDS}.".encode() + BODY), "X-Id": "7", "X-At": SECONDS},
        "",
    ),
    (
        "oidc",
        "scheme: oidc, issuer: 'https://accounts.google.com', audience: 'https://bridge.example/hooks/scc',"
        " subject: push@project.iam.gserviceaccount.com",
        {"Authorization": f"Bearer {token()}"},
        "",
    ),
    (
        "mtls",
        "scheme: mtls, header: X-Client-DN, trusted_proxies: 127.0.0.0/8, subject: 'CN=alerts,O=Acme'",
        {"X-Client-DN": "CN=alerts,O=Acme"},
        "",
    ),
]  # fmt: skip


def table(rows: Iterable[tuple[Any, ...]]) -> Any:
    return pytest.mark.parametrize(
        ("settings", "headers", "query"), [pytest.param(*row[1:], id=row[0]) for row in rows]
    )


@table(RIGHT)
def test_what_a_product_sends_is_taken(
    store: Store, tmp_path: Path, settings: str, headers: dict[str, str], query: str
) -> None:
    with open_door(store, tmp_path, f"auth: {{{settings}}}") as door:
        answer = door.post(BODY, headers, query=query)
        assert (answer.status_code, answer.json()["alerts"][0]["correlation_id"]) == (200, "r1"), answer.text
        assert door.ids() == ["r1"]


@table(row for row in RIGHT if row[0] != "none")
def test_without_proof_it_is_a_401_that_does_not_tell_why(
    store: Store, tmp_path: Path, settings: str, headers: dict[str, str], query: str
) -> None:
    with open_door(store, tmp_path, f"auth: {{{settings}}}") as door:
        stranger = requests.post(f"{door.url}/hooks/nobody", data=BODY, timeout=20)
        wrong = [
            door.post(BODY),
            door.post(BODY, {name: value[:-1] + "~" for name, value in headers.items()}, query=query[:-1]),
            door.post(BODY, dict.fromkeys(headers, "ÿ\x80 é")),
        ]
        if "scheme: hmac" in settings:
            wrong.append(door.post(BODY + b" ", headers))
        for answer in wrong:
            assert (answer.status_code, answer.content) == (401, stranger.content)
            assert answer.headers["WWW-Authenticate"] == stranger.headers["WWW-Authenticate"]
        assert door.kept() == []


def test_githubs_published_vector(store: Store, tmp_path: Path) -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    with open_door(store, tmp_path, f"auth: {{{HMAC}, preset: github}}") as door:
        assert door.post(b"Hello, World!", {"X-Hub-Signature-256": signature}).status_code == 200
        assert door.post(b"Hello, World?", {"X-Hub-Signature-256": signature}).status_code == 401


def test_standard_webhooks_published_vector(store: Store, tmp_path: Path) -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    auth = "auth: {scheme: standard_webhooks, secret: {env: S_OLD}}"
    with open_door(store, tmp_path, auth, now=datetime.fromtimestamp(1614265330, UTC)) as door:
        assert door.post(b'{"test": 2432232314}', headers).status_code == 200
        assert door.post(b'{"test": 2432232315}', headers).status_code == 401
        for header in headers:
            assert door.post(b'{"test": 2432232314}', headers | {header: "v1"}).status_code == 401


@pytest.mark.parametrize("version", ["1", "2"])
def test_sns_signs_its_body(store: Store, tmp_path: Path, version: str) -> None:
    with open_door(store, tmp_path, f"auth: {{scheme: sns, topics: ['{TOPIC}']}}") as door:
        body = signed(sns('{"rule": "r1"}', SignatureVersion=version))
        assert door.post(body, {"Content-Type": "text/plain; charset=UTF-8"}).status_code == 200
        assert door.post(body.replace(b"r1", b"r2")).status_code == 401
        assert door.post(signed(sns(SignatureVersion=version), OTHER_KEY)).status_code == 401
        assert door.post(signed(sns(TopicArn=TOPIC + "2"))).status_code == 401
        assert door.post(BODY, {"x-amz-sns-rawdelivery": "true"}).status_code == 401
        assert len(door.kept()) == 1


@pytest.mark.parametrize("scheme", ["sns", "oidc"])
def test_where_keys_cannot_be_had_the_sender_shall_try_again(store: Store, tmp_path: Path, scheme: str) -> None:
    settings = f"scheme: sns, topics: ['{TOPIC}']" if scheme == "sns" else {r[0]: r[1] for r in RIGHT}["oidc"]

    def unreachable(url: str, *, again: bool = False) -> bytes | None:
        raise Rejected(503, "keys_unavailable", "later", retry_after=5)

    with open_door(store, tmp_path, f"auth: {{{settings}}}") as door:
        door.outside.document = unreachable  # type: ignore[method-assign]
        answer = door.post(signed(sns()), {"Authorization": f"Bearer {token()}"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert door.kept() == []


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_none_is_never_for_a_request_that_was_passed_on(store: Store, tmp_path: Path, header: str) -> None:
    with open_door(store, tmp_path, "auth: {scheme: none}") as door:
        assert door.post(BODY, {header: "127.0.0.1"}).status_code == 401


def test_none_is_not_for_what_nginx_passes_on_as_it_comes_installed(store: Store, tmp_path: Path) -> None:
    """It speaks HTTP/1.0 to what is behind it, names that in `Host`, and adds nothing that tells of the client."""
    with open_door(store, tmp_path, "auth: {scheme: none}") as door:
        place = urlsplit(door.url)
        asked = f"POST /hooks/s HTTP/1.0\r\nHost: {place.netloc}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        with socket.create_connection((str(place.hostname), place.port), timeout=20) as passed_on:
            passed_on.sendall(asked.encode() + BODY)
            assert passed_on.makefile("rb").readline().split()[1] == b"401"


def test_a_secret_in_the_url_is_nowhere_afterwards(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a log, nor in the store, nor in what gunicorn's access log would be written from."""
    monkeypatch.setenv("S", "canary-Vb31-secret")
    seen: list[str] = []

    def watched(app: Any) -> Any:
        def call(environ: dict[str, Any], start: Any) -> Any:
            environ["RAW_URI"] = environ["REQUEST_URI"] = f"/hooks/s?{environ['QUERY_STRING']}"
            answer = app(environ, start)
            seen.extend([environ["QUERY_STRING"], environ["RAW_URI"], environ["REQUEST_URI"]])
            return answer

        return call

    caplog.set_level("INFO", logger="bridge")
    with open_door(store, tmp_path, "auth: {scheme: query, name: code, secret: {env: S}}", app=watched) as door:
        assert door.post(BODY, query="code=canary-Vb31-secret").status_code == 200
        refused = door.post(BODY, query="code=canary-Vb31-secret2")
        assert refused.status_code == 401
        assert door.ask("OPTIONS", query="code=canary-Vb31-secret").status_code == 405
        shown = [
            refused.text,
            repr(door.kept()),
            *seen,
            *(one.getMessage() for one in caplog.records if one.name[:6] == "bridge"),
        ]
    assert not [one for one in shown if "canary" in one]
    assert len(seen) == 9


CHARACTERS = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]))
NAMES = sorted(
    {name for row in RIGHT for name in row[2]} | {"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Host"}
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(
        st.sampled_from(NAMES), CHARACTERS | st.sampled_from([SECONDS, ISO, "Bearer a.b.c", "v1,"])
    ),
    query=CHARACTERS | CHARACTERS.map(lambda text: f"code={text}"),
    body=st.binary() | st.just(signed(sns(), OTHER_KEY)) | st.just(b'{"value": [{"clientState": "x"}, 7]}'),
)
def test_whatever_is_sent_to_any_scheme_it_is_a_401(
    every_door: FlaskClient, headers: dict[str, str], query: str, body: bytes
) -> None:
    for name in DOORS:
        answer = every_door.post(f"/hooks/{name}", data=body, headers=headers, query_string=query, environ_base=AFAR)
        assert answer.status_code == 401, (name, answer.text)


AFAR = {"REMOTE_ADDR": "192.0.2.1"}
DOORS = {f"s{number}": row[1] for number, row in enumerate(RIGHT) if row[0] not in ("none", "mtls")} | {
    "none": "scheme: none",
    "mtls": "scheme: mtls, header: X-Client-DN, trusted_proxies: 10.0.0.1, subject: 'CN=alerts,O=Acme'",
    "graph": f"scheme: graph, {SECRETS}",
    "sns": f"scheme: sns, topics: ['{TOPIC}']",
    "standard": "scheme: standard_webhooks, secret: {env: S_OLD}",
}


@pytest.fixture
def every_door(tmp_path: Path) -> FlaskClient:
    """A door for each scheme, and nothing behind it: whoever got in would meet an error of ours."""
    file = tmp_path / "bridge.yaml"
    sources = "\n".join(f"  {name}: {{mapping: probe, auth: {{{auth}}}}}" for name, auth in DOORS.items())
    file.write_text(f"sources:\n{sources}\n", encoding="utf-8")
    outside = Stub({CERTIFICATE_URL: certificate(), GOOGLE_KEYS: jwks(k1=KEY)})
    nothing: Any = None
    blueprint = hooks(
        sources=doors_of(load_settings(file), outside),
        library=nothing,
        writer=nothing,
        metrics=Metrics(),
        clock=lambda: NOW,
        callers=Callers(nothing, DOORS),
        outside=outside,
    )
    return create_app(blueprint).test_client()
