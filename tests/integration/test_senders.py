"""Senders that others wrote, from their own packages: what they sign and wrap is taken."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signing import NOW
from standardwebhooks.webhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook
from ways_in_world import open_door

from bridge.store.engine import Store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("secret", "age", "status"),
    [(SECRET, 0, 200), (SECRET, 299, 200), (SECRET, 301, 401), ("whsec_" + "A" * 32, 0, 401)],
)
def test_standard_webhooks_own_package_signs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, age: int, status: int
) -> None:
    monkeypatch.setenv("S", SECRET)
    sent = datetime.fromtimestamp(NOW.timestamp() - age, UTC)
    body = '{"rule": "r1", "ü": 1}'
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", sent, body),
    }
    with open_door(store, tmp_path, "auth: {scheme: standard_webhooks, secret: {env: S}}") as door:
        assert door.post(body, headers).status_code == status
        assert [row.sender_id for row in door.kept()] == ["msg_1"] * (status == 200)


ATTRIBUTES = {
    "id": "c 1",
    "source": "/x y",
    "type": "t",
    "specversion": "1.0",
    "subject": 'Euro € "q"',
    "rule": "r1",
    "time": NOW,
    "datacontenttype": "application/json",
}


def posted(store: Store, folder: Path, message: HTTPMessage) -> tuple[str, dict[str, object]]:
    """The delivery id, and what the mapping was given."""
    with open_door(store, folder, "envelope: cloudevents, auth: {scheme: none}") as door:
        assert door.post(message.body, message.headers).status_code == 200
        assert door.ids() == ["r1"]
        (kept,) = door.kept()
        return kept.sender_id, json.loads(kept.content if kept.content is not None else kept.body)


def test_cloudevents_own_package_sends_the_same_event_in_both_modes(store: Store, tmp_path: Path) -> None:
    event = CloudEvent(ATTRIBUTES, {"a": [1, "ü"]})
    mark, binary = posted(store, tmp_path, to_binary_event(event))
    assert (mark, binary) == ("/x y c 1", json.loads(to_structured_event(event).body))


def test_cloudevents_own_package_sends_a_structured_event(store: Store, tmp_path: Path) -> None:
    event = CloudEvent(ATTRIBUTES, {"a": [1, "ü"]})
    mark, structured = posted(store, tmp_path, to_structured_event(event))
    assert (mark, structured["data"]) == ("/x y c 1", {"a": [1, "ü"]})


def test_events_that_cloudevents_own_package_wrote_come_in_a_batch(store: Store, tmp_path: Path) -> None:
    """The package knows no batches: one is a list of what it writes of each event."""
    events = [CloudEvent(ATTRIBUTES | {"id": f"c {n}", "rule": f"r{n}"}, {"n": n}) for n in range(3)]
    batch = b"[" + b",".join(bytes(to_structured_event(event).body) for event in events) + b"]"
    with open_door(store, tmp_path, "envelope: cloudevents, auth: {scheme: none}") as door:
        assert door.post(batch, {"Content-Type": "application/cloudevents-batch+json"}).status_code == 200
        assert door.ids() == ["r0", "r1", "r2"]


def test_a_standard_webhook_that_a_private_key_signed_is_taken_once_the_body_is_right(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    monkeypatch.setenv("S", "whpk_" + base64.b64encode(public).decode())
    body, sent = '{"rule": "r1"}', str(int(NOW.timestamp()))
    signature = base64.b64encode(key.sign(f"msg_1.{sent}.{body}".encode())).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": sent, "webhook-signature": f"v1a,{signature}"}
    with open_door(store, tmp_path, "auth: {scheme: standard_webhooks, secret: {env: S}}") as door:
        assert door.post(body, headers).status_code == 200
        assert door.post(body + " ", headers).status_code == 401
        assert door.ids() == ["r1"]


@pytest.mark.parametrize("headers", ["webhook", "svix"])
@pytest.mark.parametrize(("secret", "status"), [(SECRET, 200), ("whsec_" + "A" * 32, 401)])
def test_svix_own_package_signs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: str, secret: str, status: int
) -> None:
    """Its senders write the same signature into headers of either name."""
    monkeypatch.setenv("S", SECRET)
    body = '{"rule": "r1", "ü": 1}'
    sent = {
        f"{headers}-id": "msg_1",
        f"{headers}-timestamp": str(int(NOW.timestamp())),
        f"{headers}-signature": SvixWebhook(secret).sign("msg_1", NOW, body),
    }
    with open_door(store, tmp_path, "auth: {scheme: standard_webhooks, secret: {env: S}}") as door:
        assert door.post(body, sent).status_code == status
        assert door.post(body + " ", sent).status_code == 401
        assert [row.sender_id for row in door.kept()] == ["msg_1"] * (status == 200)


def test_a_delivery_id_that_nobody_signed_does_not_make_a_replay_new(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S", SECRET)
    body = '{"rule": "r1"}'
    sent = {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(NOW.timestamp())),
        "svix-signature": SvixWebhook(SECRET).sign("msg_1", NOW, body),
    }
    with open_door(store, tmp_path, "auth: {scheme: standard_webhooks, secret: {env: S}}") as door:
        assert door.post(body, sent).status_code == 200
        assert door.post(body, sent | {"webhook-id": "msg_2"}).status_code == 401
