"""What stands around an alert: the sender's delivery id, a ping, a coding that we do not take."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from bridge.errors import Rejected
from bridge.settings import SourceAuth
from bridge.sources.envelope import GITHUB, PLAIN, STANDARD_WEBHOOKS, Envelope, envelope_for, unwrap

IDS = {"X-GitHub-Delivery": "g1", "webhook-id": "w1"}


@pytest.mark.parametrize(
    ("auth", "sender_id"),
    [
        (SourceAuth(scheme="hmac", preset="github"), "g1"),
        (SourceAuth(scheme="standard_webhooks"), "w1"),
        (SourceAuth(scheme="bearer"), None),
        (SourceAuth(scheme="header", header="X-Token"), None),
        (SourceAuth(scheme="none"), None),
    ],
)
def test_a_delivery_id_is_believed_only_where_it_belongs_to_the_scheme(auth: SourceAuth, sender_id: str | None) -> None:
    assert unwrap(envelope_for(auth), Headers(IDS), b"{}").sender_id == sender_id  # type: ignore[arg-type]


@pytest.mark.parametrize("envelope", [GITHUB, STANDARD_WEBHOOKS, PLAIN])
def test_without_its_header_there_is_no_delivery_id(envelope: Envelope) -> None:
    assert unwrap(envelope, {}, b"{}").sender_id is None


@pytest.mark.parametrize(("event", "is_ping"), [("ping", True), ("push", False), ("", False)])
def test_githubs_ping(event: str, is_ping: bool) -> None:
    assert unwrap(GITHUB, {"X-GitHub-Event": event}, b"{}").is_ping is is_ping
    assert not unwrap(PLAIN, {"X-GitHub-Event": event}, b"{}").is_ping


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_an_identity_coding_is_taken(coding: str) -> None:
    assert unwrap(PLAIN, {"Content-Encoding": coding}, b"x").content == b"x"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip"])
def test_any_other_coding_is_415(coding: str) -> None:
    with pytest.raises(Rejected) as caught:
        unwrap(PLAIN, {"Content-Encoding": coding}, b"x")
    assert caught.value.status == 415
