"""Every envelope over HTTP: what its sender posts and asks, what is answered, and what is kept."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from intake_world import library_of
from signing import KEY, TOPIC, signed, sns, subscribe_url, token
from sqlalchemy import select
from ways_in_world import PROBE, Door, open_door

from bridge.store import bodies
from bridge.store.callers import LOOKED_AT_ENOUGH
from bridge.store.engine import Store
from bridge.store.reconciler_tables import fields
from bridge.store.replay import quarantined, replay
from bridge.store.tables import alerts, delivered
from bridge.store.tables import deliveries as deliveries_table

QUERY = "code=s3cret"
AUTH = "auth: {scheme: query, name: code, secret: {env: S}}"
SNS_AUTH = f"auth: {{scheme: sns, topics: ['{TOPIC}']}}"
TEXT = {"Content-Type": "text/plain; charset=UTF-8"}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "s3cret")


def one(rule: str = "r1") -> bytes:
    return json.dumps({"rule": rule}).encode()


def wrapped(data: bytes, mark: str = "b1") -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": mark, "publishTime": "2026-03-10T12:00:00Z"}
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def cloudevent(rule: str, mark: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": mark, "source": "/x", "type": "t", "rule": rule, "data": {}}


CE = {"ce-specversion": "1.0", "ce-id": "c1", "ce-source": "/x", "ce-type": "t", "ce-rule": "r1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

# name, envelope, body, headers, the correlation IDs that come out, the delivery id
POSTED: list[tuple[str, str, bytes, dict[str, str], list[str | None], str | None]] = [
    ("none", "none", one(), {}, ["r1"], None),
    ("gzip", "none", gzip.compress(one()), {"Content-Encoding": "gzip"}, ["r1"], None),
    ("deflate", "none", zlib.compress(one()), {"Content-Encoding": "deflate"}, ["r1"], None),
    ("github", "github", one(), {"X-GitHub-Delivery": "g1"}, ["r1"], "g1"),
    ("github's form", "github", b"payload=%7B%22rule%22%3A%22r1%22%7D", FORM, ["r1"], None),
    ("gitlab", "gitlab", one(), {"Idempotency-Key": "i1", "X-Gitlab-Event-UUID": "u1"}, ["r1"], "i1"),
    ("gitlab before 17.4", "gitlab", one(), {"X-Gitlab-Event-UUID": "u1"}, ["r1"], "u1"),
    ("pagerduty", "pagerduty", b'{"event": {"id": "01A"}, "rule": "r1"}', {"X-Webhook-Id": "w"}, ["r1"], "01A"),
    ("snyk", "snyk", one(), {"X-Snyk-Transport-ID": "s1"}, ["r1"], "s1"),
    ("vault_radar", "vault_radar", one(), {"X-HCP-Radar-Message-ID": "m1"}, ["r1"], "m1"),
    ("okta", "okta", b'{"data": {"events": [{"uuid": "a"}]}, "rule": "r1"}', {}, ["r1"], "a"),
    ("standard_webhooks", "standard_webhooks", one(), {"webhook-id": "msg_1"}, ["r1"], "msg_1"),
    ("sns", "sns", json.dumps(sns('{"rule": "r1"}')).encode(), TEXT, ["r1"], "5a1c0b6e-0001"),
    ("sns raw", "sns", one(), {"x-amz-sns-rawdelivery": "true", "x-amz-sns-message-id": "a1"}, ["r1"], "a1"),
    ("eventbridge", "eventbridge", b'{"id": "e1", "rule": "r1", "detail": {}}', {}, ["r1"], "e1"),
    ("pubsub", "pubsub", wrapped(one()), {}, ["r1"], "b1"),
    ("pubsub without a wrapper", "pubsub", one(), {"x-goog-pubsub-message-id": "b1"}, ["r1"], "b1"),
    ("event_grid", "event_grid", b'[{"id": "1", "topic": "t", "rule": "r1"}, {"id": "2", "topic": "t", "rule": "r2"}]',
     {"aeg-event-type": "Notification"}, ["r1", "r2"], "t 1 t 2"),
    ("graph", "graph", b'{"value": [{"id": "n1"}], "rule": "r1"}', {}, ["r1"], "n1"),
    ("cloudevents structured", "cloudevents", json.dumps(cloudevent("r1", "c1")).encode(),
     {"Content-Type": "application/cloudevents+json; charset=utf-8"}, ["r1"], "/x c1"),
    ("cloudevents batch", "cloudevents", json.dumps([cloudevent("r1", "c1"), cloudevent("r2", "c2")]).encode(),
     {"Content-Type": "application/cloudevents-batch+json"}, ["r1", "r2"], "/x c1 /x c2"),
    ("cloudevents binary", "cloudevents", b'{"a": 1}', CE | {"Content-Type": "application/json"}, ["r1"], "/x c1"),
    ("hec", "hec", one("r1") + one("r2"), {}, ["r1", "r2"], None),
    ("ndjson with a broken line", "ndjson", one("r1") + b"\n{\n" + one("r2") + b"\n", {}, ["r1", None, "r2"], None),
    ("kibana", "kibana", one("r1") + b"," + one("r2"), {}, ["r1", "r2"], None),
    ("form", "form", b"rule=r1&x=y", FORM, ["r1"], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("envelope", "body", "headers", "ids", "sender_id"), [pytest.param(*row[1:], id=row[0]) for row in POSTED]
)
def test_what_a_sender_posts_comes_out_of_its_envelope(
    store: Store,
    tmp_path: Path,
    envelope: str,
    body: bytes,
    headers: dict[str, str],
    ids: list[str | None],
    sender_id: str | None,
) -> None:
    with open_door(store, tmp_path, f"envelope: {envelope}, {AUTH}") as door:
        answers = [door.post(body, headers, query=QUERY) for _ in range(2)]
        assert [(answer.status_code, answer.json()["duplicate"]) for answer in answers] == [(200, False), (200, True)]
        assert door.ids() == ids
        (kept,) = door.kept()
        assert (kept.sender_id, bytes(kept.body)) == (sender_id, body)
        assert door.post(body, headers).status_code == 401


def test_an_envelope_is_opened_only_after_the_secret(store: Store, tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    with open_door(store, tmp_path, f"envelope: none, {AUTH}") as door:
        assert door.post(bomb, {"Content-Encoding": "gzip"}).status_code == 401
        assert door.post(bomb, {"Content-Encoding": "gzip"}, query=QUERY).status_code == 413
        assert door.post(b"x", {"Content-Encoding": "br"}, query=QUERY).status_code == 415
        assert door.kept() == []


def test_a_source_may_take_less_once_it_is_decompressed(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: none, decoded_bytes_max: 2048, {AUTH}") as door:
        right, large = (json.dumps({"rule": "r1", "x": " " * size}).encode() for size in (1900, 2048))
        headers = {"Content-Encoding": "gzip"}
        assert door.post(gzip.compress(right), headers, query=QUERY).status_code == 200
        assert door.post(gzip.compress(large), headers, query=QUERY).json()["code"] == "too_large"
        assert door.ids() == ["r1"]


def test_what_fields_come_is_looked_at_in_what_came_out_of_the_envelope(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: pubsub, {AUTH}") as door:
        for number in range(2 * LOOKED_AT_ENOUGH):
            door.post(wrapped(one(), f"b{number}"), query=QUERY)
        door.post(wrapped(b"no JSON"), query=QUERY)
        assert not door.callers.wants_look("s")
        door.callers.flush()
    with store.reading() as tx:
        assert [tuple(row) for row in tx.execute(select(fields))] == [("s", ".rule", 1, 0)]


def test_a_new_delivery_id_is_a_new_delivery(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: pubsub, {AUTH}") as door:
        duplicates = [
            door.post(wrapped(one(), mark), query=QUERY).json()["duplicate"] for mark in ("b1", "b2", "b1", "b2")
        ]
        assert duplicates == [False, False, True, True]


@pytest.mark.parametrize(
    ("envelope", "body", "headers", "reason"),
    [
        ("none", b"no gzip", {"Content-Encoding": "gzip"}, "not_decodable"),
        ("sns", b"{}", {}, "not_sns"),
        ("pubsub", wrapped(b"x").replace(b"eA==", b"****"), {}, "not_base64"),
        ("form", b"no form", {}, "not_a_form"),
        ("cloudevents", b"{", CE | {"Content-Type": "application/json"}, "not_json"),
        ("sns", json.dumps(sns("no JSON")).encode(), {}, "not_json"),
        ("pubsub", wrapped(b""), {}, "not_json"),
    ],
)
def test_what_cannot_be_unwrapped_is_kept_and_quarantined(
    store: Store, tmp_path: Path, envelope: str, body: bytes, headers: dict[str, str], reason: str
) -> None:
    with open_door(store, tmp_path, f"envelope: {envelope}, {AUTH}") as door:
        answer = door.post(body, headers, query=QUERY)
        assert answer.status_code == 200
        (alert,) = answer.json()["alerts"]
        assert (alert["outcome"], alert["reason"].partition(":")[0]) == ("quarantined", reason)
        assert door.post(body, headers, query=QUERY).json()["duplicate"]
        (kept,) = door.kept()
        assert bytes(kept.body) == body
        assert replayed(door) == (0, 1)
        with store.reading() as tx:
            assert tx.execute(select(alerts.c.reason)).scalars().all() == [reason]


def replayed(door: Door) -> tuple[int, int]:
    with door.store.reading() as tx:
        ids = quarantined(tx, source=None)
    library = library_of(door.store, PROBE)
    done = replay(door.store, ids, library=library, mapping_of={"s": "probe"}, actor="a test")
    return done.mapped, done.waiting


def test_a_mended_mapping_is_given_what_came_out_of_the_envelope(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: pubsub, {AUTH}") as door:
        door.post(wrapped(b'{"title": "r1"}'), query=QUERY)
        assert door.ids() == [None]
        library = library_of(store, PROBE.replace(".rule", ".title"))
        with store.reading() as tx:
            ids = quarantined(tx, source=None)
        assert replay(store, ids, library=library, mapping_of={"s": "probe"}, actor="a test").mapped == 1
        assert door.ids() == ["r1"]
        with store.reading() as tx:
            ids = bodies.ids_within(tx, bodies.window_of_last(tx, ["s"], 5))
        ((found,),) = bodies.pages(store, ids)
        assert found.body is not None
        assert bytes(found.body) == b'{"title": "r1"}'


def test_of_an_erased_delivery_nothing_is_left_to_map(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: pubsub, {AUTH}") as door:
        door.post(wrapped(one()), query=QUERY)
    with store.transaction() as tx:
        tx.execute(deliveries_table.update().values(body=None))
        assert tx.execute(select(delivered)).scalar_one() is None


def test_sns_is_confirmed_once_its_signature_holds(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, SNS_AUTH) as door:
        body = signed(sns(Type="SubscriptionConfirmation"))
        assert door.post(body.replace(b"t0k3n", b"other"), TEXT).status_code == 401
        assert door.outside.visited == []
        assert door.post(body, TEXT).status_code == 200
        assert door.outside.visited == [subscribe_url()]
        assert door.post(signed(sns(Type="UnsubscribeConfirmation"))).json()["alerts"] == []


def test_an_sns_confirmation_that_points_elsewhere_is_kept_and_not_fetched(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: sns, {AUTH}") as door:
        elsewhere = sns(
            Type="SubscriptionConfirmation", SubscribeURL="https://169.254.169.254/?Action=ConfirmSubscription"
        )
        answer = door.post(json.dumps(elsewhere), query=QUERY)
        assert answer.json()["alerts"][0]["reason"].startswith("foreign_confirmation")
        assert door.outside.visited == []


def test_an_sns_confirmation_that_is_refused_is_asked_for_again(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, SNS_AUTH) as door:
        door.outside.visit = lambda _url: False  # type: ignore[method-assign]
        answer = door.post(signed(sns(Type="SubscriptionConfirmation")))
        assert (answer.status_code, answer.json()["code"]) == (503, "confirmation_refused")


def test_pubsub_with_its_token(store: Store, tmp_path: Path) -> None:
    auth = (
        "auth: {scheme: oidc, issuer: 'https://accounts.google.com', audience: 'https://bridge.example/hooks/scc',"
        " subject: push@project.iam.gserviceaccount.com}"
    )
    with open_door(store, tmp_path, f"envelope: pubsub, {auth}") as door:
        assert door.post(wrapped(one()), {"Authorization": f"Bearer {token(KEY)}"}).status_code == 200
        assert door.post(wrapped(one()), {"Authorization": f"Bearer {token(KEY, aud='x')}"}).status_code == 401


def test_event_grid_is_given_its_code(store: Store, tmp_path: Path) -> None:
    body = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d"}}]
    with open_door(store, tmp_path, f"envelope: event_grid, {AUTH}") as door:
        headers = {"aeg-event-type": "SubscriptionValidation"}
        answer = door.post(json.dumps(body), headers, query=QUERY)
        assert (answer.status_code, answer.json()) == (200, {"validationResponse": "512d"})
        assert door.post(json.dumps(body), headers).status_code == 401
        assert door.kept() == []


def test_graph_is_given_its_token(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: graph, {AUTH}") as door:
        answer = door.post(b"", query=f"{QUERY}&validationToken=Validation%3a+%3Cscript%3E")
        assert (answer.status_code, answer.text) == (200, "Validation: <script>")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert door.post(b"", query="validationToken=x").status_code == 401


def notification(*states: str | None) -> bytes:
    changes = [
        {"id": f"n{number}"} | ({"clientState": state} if state is not None else {})
        for number, state in enumerate(states)
    ]
    return json.dumps({"value": changes, "rule": "r1"}).encode()


def test_graph_writes_our_secret_into_each_notification(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, "auth: {scheme: graph, secret: {env: S}}") as door:
        validation = door.post(b"", query="validationToken=t%31")
        assert (validation.status_code, validation.text) == (200, "t1")
        hidden = door.post(notification("s3cret"), query="validationToken=t1")
        assert (hidden.status_code, hidden.text) == (200, "t1"), "the question alone is answered"
        assert door.kept() == []
        for body in (notification("other"), notification(None), notification("s3cret", None), notification(), b"{}"):
            assert door.post(body).status_code == 401
            assert door.post(body, query="validationToken=").status_code == 401
        assert door.post(notification("s3cret", "s3cret")).status_code == 200
        assert [row.sender_id for row in door.kept()] == ["n0 n1"]
        assert door.kept()[0].body == notification("***", "***"), "no row holds our secret"


def test_graphs_secret_in_a_spelling_that_could_not_be_taken_out_is_not_let_in(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, "auth: {scheme: graph, secret: {env: S}}") as door:
        spelt = {"state": rb'"clientState": "s3\u0063ret"', "key": rb'"client\u0053tate": "s3cret"'}
        assert door.post(b'{"rule": "r1", "value": [{"id": "n", ' + spelt["state"] + b"}]}").status_code == 200
        assert b"***" in door.kept()[0].body
        assert door.post(b'{"rule": "r1", "value": [{"id": "m", ' + spelt["key"] + b"}]}").status_code == 401


def test_oktas_challenge_is_answered(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: okta, {AUTH}") as door:
        answer = door.ask("GET", headers={"X-Okta-Verification-Challenge": "ch4"})
        assert (answer.status_code, answer.json()) == (200, {"verification": "ch4"})
        plain = door.ask("GET")
        assert (plain.status_code, plain.headers["Allow"]) == (405, "POST")


def test_cloudevents_options_are_answered(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: cloudevents, {AUTH}") as door:
        answer = door.ask("OPTIONS", headers={"WebHook-Request-Origin": "a.example", "WebHook-Request-Rate": "9"})
        assert answer.status_code == 200
        assert (answer.headers["WebHook-Allowed-Origin"], answer.headers["WebHook-Allowed-Rate"]) == ("a.example", "*")
        assert door.ask("OPTIONS").status_code == 405
        assert door.ask("OPTIONS", headers={"WebHook-Request-Origin": "<a>"}).status_code == 405
        xml = door.post(b"<x/>", {"Content-Type": "application/cloudevents+xml"}, query=QUERY)
        assert xml.status_code == 415


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE"])
def test_a_source_without_such_questions_answers_none(store: Store, tmp_path: Path, method: str) -> None:
    asked = {"X-Okta-Verification-Challenge": "ch4", "WebHook-Request-Origin": "a.example"}
    with open_door(store, tmp_path, f"envelope: none, {AUTH}") as door:
        answer = door.ask(method, headers=asked)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_hec_senders_look_for_code_0(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: hec, {AUTH}") as door:
        answer = door.post(one("r1") + one("r2"), query=QUERY).json()
        assert (answer["text"], answer["code"], len(answer["alerts"])) == ("Success", 0, 2)


def test_pings_are_deliveries_without_alerts(store: Store, tmp_path: Path) -> None:
    with open_door(store, tmp_path, f"envelope: snyk, {AUTH}") as door:
        assert door.post(b"{}", {"X-Snyk-Event": "ping/v0"}, query=QUERY).json()["alerts"] == []
