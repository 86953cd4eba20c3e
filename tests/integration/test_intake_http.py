"""The hooks over HTTP, in process: what a sender sees, and that no body at all makes a 500."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_world import alert, body_of, library_of, rows, running_writer
from signing import Stub

from bridge.errors import Rejected
from bridge.metrics import Metrics
from bridge.settings import SourceAuth
from bridge.settings.signatures import PRESETS
from bridge.sources.auth import verifier_for
from bridge.sources.envelope import envelope_for
from bridge.store.callers import Callers
from bridge.store.engine import Store
from bridge.store.tables import deliveries
from bridge.store.writer import Writer
from bridge.web import health as health_module
from bridge.web.app import create_app
from bridge.web.health import Check, health
from bridge.web.hooks import SourceDoor, hooks
from bridge.web.refusals import Refusals

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECRET = b"a secret of this test"
BEARER = {"Authorization": f"Bearer {SECRET.decode()}"}
SIZE_MAX = 64 * 1024


def door(name: str, auth: SourceAuth) -> SourceDoor:
    return SourceDoor(
        name=name,
        tenant="default",
        mapping="probe",
        verifier=verifier_for(name, auth, (SECRET,)),
        envelope=envelope_for(None, auth),
        body_bytes_max=SIZE_MAX,
    )


DOORS = {
    "probe": door("probe", SourceAuth(scheme="bearer")),
    "github": door("github", SourceAuth(scheme="hmac", preset="github", signature=PRESETS["github"])),
}


def app_of(store: Store, writer: Writer, *checks: Check) -> Flask:
    metrics = Metrics()
    doors = hooks(
        sources=DOORS,
        library=library_of(store),
        writer=writer,
        metrics=metrics,
        clock=lambda: NOW,
        callers=Callers(store, DOORS),
        outside=Stub({}),
    )
    return create_app(doors, health(checks=checks, metrics=metrics))


@pytest.fixture
def client(store: Store) -> Iterator[FlaskClient]:
    checks = [
        Check(name="store", refuses_deliveries=True, problem=lambda: ""),
        Check(name="mappings", refuses_deliveries=False, problem=lambda: "probe.yaml:3:1: unknown key"),
    ]
    with running_writer(store) as writer, app_of(store, writer, *checks).test_client() as client:
        yield client


def sign(body: bytes, **more: str) -> dict[str, str]:
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", **more}


def test_an_alert_is_answered_with_its_outcome(client: FlaskClient) -> None:
    answer = client.post("/hooks/probe", data=body_of(alert()), headers=BEARER)
    assert answer.status_code == 200
    document = answer.get_json()
    delivery = document["delivery"]
    assert isinstance(delivery, str)
    assert document == {
        "delivery": delivery,
        "duplicate": False,
        "alerts": [{"alert": f"{delivery}-0", "correlation_id": "r1", "outcome": "accepted", "reason": "new"}],
    }


def test_the_same_again_is_the_first_answer_marked_as_a_duplicate(client: FlaskClient) -> None:
    first, second = (client.post("/hooks/probe", data=body_of(alert()), headers=BEARER).get_json() for _ in range(2))
    assert second == first | {"duplicate": True}


def test_githubs_delivery_header_tells_equal_contents_apart(client: FlaskClient) -> None:
    body = body_of(alert())
    answers = [
        client.post("/hooks/github", data=body, headers=sign(body, **{"X-GitHub-Delivery": mark})).get_json()
        for mark in ("a", "b", "a")
    ]
    assert [answer["duplicate"] for answer in answers] == [False, False, True]


def test_githubs_ping_is_a_delivery_without_alerts(client: FlaskClient) -> None:
    body = b'{"zen": "Keep it logically awesome."}'
    answer = client.post("/hooks/github", data=body, headers=sign(body, **{"X-GitHub-Event": "ping"}))
    assert (answer.status_code, answer.get_json()["alerts"]) == (200, [])


def test_an_unknown_source_and_a_bad_secret_are_told_the_same(client: FlaskClient, store: Store) -> None:
    bad = client.post("/hooks/probe", data=body_of(alert()), headers={"Authorization": "Bearer wrong"})
    unknown = client.post("/hooks/nobody", data=body_of(alert()), headers=BEARER)
    assert (bad.status_code, unknown.status_code) == (401, 401)
    assert bad.data == unknown.data
    assert dict(bad.headers) == dict(unknown.headers)
    assert bad.content_type == "application/problem+json"
    assert bad.get_json(force=True)["message"]
    assert rows(store, deliveries) == []


def test_a_body_above_the_cap_is_413(client: FlaskClient, store: Store) -> None:
    answer = client.post("/hooks/probe", data=b"x" * (SIZE_MAX + 1), headers=BEARER)
    assert answer.status_code == 413
    assert rows(store, deliveries) == []


def test_a_chunked_body_above_the_cap_is_413(client: FlaskClient) -> None:
    answer = client.post(
        "/hooks/probe",
        input_stream=io.BytesIO(b"x" * (SIZE_MAX * 4)),
        headers=BEARER,
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert answer.status_code == 413


def test_a_body_that_breaks_off_is_not_quarantined(client: FlaskClient, store: Store) -> None:
    answer = client.post("/hooks/probe", data=b'{"alerts"', headers=BEARER, environ_overrides={"CONTENT_LENGTH": "500"})
    assert answer.status_code == 408
    assert rows(store, deliveries) == []


class Unreadable(io.BytesIO):
    def read(self, _size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(("source", "token"), [("probe", "Bearer wrong"), ("nobody", "Bearer wrong"), ("probe", "")])
def test_a_sender_that_its_headers_do_not_let_in_is_refused_before_its_body_is_read(
    client: FlaskClient, source: str, token: str
) -> None:
    answer = client.post(
        f"/hooks/{source}",
        input_stream=Unreadable(),
        headers={"Authorization": token},
        environ_overrides={"CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 401


def test_refused_deliveries_are_told_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    refusals, error = Refusals(), Rejected(401, "not_authenticated", "Check the secret.")
    for seconds in (0, 1, 59, 60):
        refusals.tell("probe", error, asked="probe", remote="192.0.2.1", now=NOW + timedelta(seconds=seconds))
    first, second = caplog.messages
    assert first == "delivery refused: /hooks/probe from 192.0.2.1: 401 not_authenticated: Check the secret."
    assert "and 2 more since the last such line" in second


def test_strangers_names_share_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    refusals, error = Refusals(), Rejected(401, "not_authenticated", "Check the secret.")
    for name in ("a", "b", "c"):
        refusals.tell("unknown", error, asked=name, remote="192.0.2.1", now=NOW)
    (only,) = caplog.messages
    assert "/hooks/a" in only
    assert "no source of this name is configured" in only


def test_a_coding_that_is_not_taken_is_415(client: FlaskClient) -> None:
    answer = client.post("/hooks/probe", data=b"\x1f\x8b", headers=BEARER | {"Content-Encoding": "br"})
    assert answer.status_code == 415


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("source", ["probe", "nobody"])
def test_only_post_is_taken(client: FlaskClient, method: str, source: str) -> None:
    answer = client.open(f"/hooks/{source}", method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hooks/probe", 200),
        ("/hooks/probe/", 200),
        ("/hooks/pr%6Fbe", 200),
        ("/hooks/pr%C3%B6be", 401),
        ("/hooks/nobody", 401),
        ("/hooks/", 404),
        ("/hooks/probe/more", 404),
        ("/hook/probe", 404),
    ],
)
def test_a_path_leads_to_the_source_that_it_names(client: FlaskClient, path: str, status: int) -> None:
    assert client.post(path, data=body_of(alert()), headers=BEARER).status_code == status


def test_an_error_of_ours_is_logged_and_answered_500_as_a_problem(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    nothing: Any = None
    answer = app_of(store, nothing).test_client().post("/hooks/probe", data=body_of(alert()), headers=BEARER)
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_server_error")
    assert "/hooks/probe" in caplog.text


def test_a_stopped_writer_is_a_503_with_retry_after(store: Store) -> None:
    with running_writer(store) as writer:
        pass
    app = app_of(store, writer)
    answer = app.test_client().post("/hooks/probe", data=body_of(alert()), headers=BEARER)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_readyz_names_what_is_wrong_and_turns_no_sender_away_for_it(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.get_json()["problems"] == [
        {"name": "mappings", "refuses_deliveries": False, "problem": "probe.yaml:3:1: unknown key"}
    ]


def test_readyz_is_503_when_a_delivery_would_be_refused(store: Store) -> None:
    checks = [Check(name="store", refuses_deliveries=True, problem=lambda: "the disk is full")]
    with running_writer(store) as writer:
        app = app_of(store, writer, *checks)
        assert app.test_client().get("/readyz").status_code == 503
        assert app.test_client().get("/livez").status_code == 200


def test_metrics_count_by_source_and_outcome_and_know_no_strangers_name(client: FlaskClient) -> None:
    client.post("/hooks/probe", data=body_of(alert()), headers=BEARER)
    client.post("/hooks/probe", data=b"not JSON", headers=BEARER)
    client.post("/hooks/stranger", data=b"")
    text = client.get("/metrics").text
    assert 'bridge_deliveries_total{outcome="accepted",source="probe"} 1.0' in text
    assert 'bridge_deliveries_total{outcome="quarantined",source="probe"} 1.0' in text
    assert 'bridge_deliveries_refused_total{reason="not_authenticated",source="unknown"} 1.0' in text
    assert "stranger" not in text


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["alerts", "rule", "at"]), inner),
    max_leaves=20,
)
bodies = st.one_of(
    st.binary(),
    documents.map(lambda value: json.dumps(value).encode()),
    st.lists(documents).map(lambda value: json.dumps({"alerts": value}).encode()),
    st.lists(st.fixed_dictionaries({"rule": documents, "at": documents, "level": documents})).map(
        lambda value: json.dumps({"alerts": value}).encode()
    ),
    st.integers(1, 5_000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(1, 5_000).map(lambda depth: b'{"alerts":[' + b'{"a":' * depth + b"1" + b"}" * depth + b"]}"),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_no_authenticated_body_is_ever_answered_otherwise_than_200(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/hooks/probe", data=body, headers=BEARER)
    assert answer.status_code == 200, answer.text
    assert all(one["reason"] for one in answer.get_json()["alerts"])


def test_readyz_is_503_while_the_store_hangs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CHECK_SECONDS_MAX", 0.01)
    go = threading.Event()

    def hangs() -> str:
        go.wait(10)
        return ""

    with running_writer(store) as writer:
        app = app_of(store, writer, Check(name="store", refuses_deliveries=True, problem=hangs))
        answer = app.test_client().get("/readyz")
        go.set()
    assert answer.status_code == 503
    assert answer.get_json()["problems"][0]["problem"] == "the database does not answer: it hangs"
