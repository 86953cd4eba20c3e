"""What stands around alerts: delivery ids, pings, handshakes, codings; and several documents in one body."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import HOST, TOPIC, sns, subscribe_url
from werkzeug.datastructures import Headers

from bridge.errors import Rejected, Unmappable
from bridge.settings import DECODED_BYTES_MAX_DEFAULT, SourceAuth
from bridge.settings.sources import ENVELOPES as NAMES
from bridge.sources.envelope import ENVELOPES, PLAIN, Envelope, Handshake, Unwrapped, envelope_for, unwrap
from bridge.sources.envelope.several import DOCUMENTS_MAX

IDS = {
    "X-GitHub-Delivery": "g1",
    "webhook-id": "w1",
    "Idempotency-Key": "i1",
    "X-Gitlab-Event-UUID": "u1",
    "X-Webhook-Id": "p1",
    "X-Snyk-Transport-ID": "s1",
    "X-HCP-Radar-Message-ID": "r1",
    "x-amz-sns-message-id": "a1",
    "x-goog-pubsub-message-id": "b1",
    "ce-id": "c1",
    "ce-source": "c2",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def opened(name: str | Envelope, body: Any = b"{}", headers: dict[str, str] | None = None, query: str = "") -> Any:
    envelope = ENVELOPES[name] if isinstance(name, str) else name
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return unwrap(envelope, Headers(headers or {}), query, raw)  # type: ignore[arg-type]


def refused(name: str, body: Any, headers: dict[str, str] | None = None) -> str:
    """The code of what it raises."""
    with pytest.raises((Unmappable, Rejected)) as caught:
        opened(name, body, headers)
    assert isinstance(caught.value, Unmappable | Rejected)
    return caught.value.code


def test_the_file_knows_every_envelope() -> None:
    assert set(NAMES) == ENVELOPES.keys()


@pytest.mark.parametrize(
    ("auth", "sender_id"),
    [
        (SourceAuth(scheme="hmac", preset="github"), "g1"),
        (SourceAuth(scheme="hmac", preset="pagerduty"), "p1"),
        (SourceAuth(scheme="hmac", preset="snyk"), "s1"),
        (SourceAuth(scheme="hmac", preset="vault_radar"), "r1"),
        (SourceAuth(scheme="hmac", preset="grafana"), None),
        (SourceAuth(scheme="hmac"), None),
        (SourceAuth(scheme="standard_webhooks"), "w1"),
        (SourceAuth(scheme="header", header="x-gitlab-TOKEN"), "i1"),
        (SourceAuth(scheme="bearer"), None),
        (SourceAuth(scheme="header", header="X-Token"), None),
        (SourceAuth(scheme="none"), None),
    ],
)
def test_a_delivery_id_is_believed_only_where_it_belongs_to_the_scheme(auth: SourceAuth, sender_id: str | None) -> None:
    assert opened(envelope_for(None, auth), headers=IDS).sender_id == sender_id


def test_the_file_has_the_last_word_on_the_envelope() -> None:
    assert envelope_for("none", SourceAuth(scheme="hmac", preset="github")) is PLAIN
    assert envelope_for("sns", SourceAuth(scheme="query")) is ENVELOPES["sns"]
    assert envelope_for(None, SourceAuth(scheme="sns", topics=(TOPIC,))) is ENVELOPES["sns"]


@pytest.mark.parametrize(
    ("name", "body", "headers", "sender_id"),
    [
        ("gitlab", {}, {"X-Gitlab-Event-UUID": "u1"}, "u1"),
        ("pagerduty", {"event": {"id": "01A"}}, IDS, "01A"),
        ("pagerduty", {"event": {"id": 7}}, {}, None),
        ("okta", {"data": {"events": [{"uuid": "a"}, {"uuid": "b"}]}}, {}, "a b"),
        ("okta", {"data": {"events": [{"uuid": "a"}, {}]}}, {}, None),
        ("okta", {"data": {"events": "a"}}, {}, None),
        ("eventbridge", {"id": "17793124", "detail-type": "GuardDuty Finding"}, {}, "17793124"),
        ("eventbridge", [], {}, None),
        ("cloudevents", {"specversion": "1.0", "id": "c1", "source": "/x"}, {}, "/x c1"),
        ("cloudevents", [{"id": "c1", "source": "/x"}, {"id": "c2", "source": "/x"}], {}, "/x c1 /x c2"),
        ("cloudevents", {"id": "c1"}, {}, None),
        ("event_grid", [{"id": "e1", "topic": "/sub/7"}], {"aeg-event-type": "Notification"}, "/sub/7 e1"),
        ("graph", {"value": [{"id": "n1"}, {"id": "n2"}]}, {}, "n1 n2"),
        ("github", {}, {"X-GitHub-Delivery": ""}, None),
        ("none", {}, IDS, None),
        ("hec", {}, IDS, None),
    ],
)  # fmt: skip
def test_where_each_sender_keeps_its_delivery_id(
    name: str, body: Any, headers: dict[str, str], sender_id: str | None
) -> None:
    found = opened(name, body, headers)
    assert (found.sender_id, json.loads(found.content), found.is_ping) == (sender_id, body, False)


@pytest.mark.parametrize("long", ["x" * 201, "nul\0", "line\nbreak"])
def test_an_id_that_could_not_be_stored_is_digested(long: str) -> None:
    first, same, other = (opened("eventbridge", {"id": one}).sender_id for one in (long, long, long + "."))
    assert first == same != other
    assert len(first) == 64


@pytest.mark.parametrize(
    ("name", "headers", "is_ping"),
    [
        ("github", {"X-GitHub-Event": "ping"}, True),
        ("github", {"X-GitHub-Event": "push"}, False),
        ("none", {"X-GitHub-Event": "ping"}, False),
        ("snyk", {"X-Snyk-Event": "ping/v0"}, True),
        ("snyk", {"X-Snyk-Event": "project_snapshot/v0"}, False),
        ("event_grid", {"aeg-event-type": "SubscriptionDeletion"}, True),
    ],
)
def test_a_ping_has_no_alerts(name: str, headers: dict[str, str], is_ping: bool) -> None:
    assert opened(name, b"{}", headers).is_ping is is_ping


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_an_identity_coding_is_taken(coding: str) -> None:
    assert opened("none", b"x", {"Content-Encoding": coding}).content == b"x"


def bare_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b'{"a": 1}', mtime=0)),
        ("X-GZip", gzip.compress(b'{"a":', mtime=0) + gzip.compress(b" 1}", mtime=0)),
        ("deflate", zlib.compress(b'{"a": 1}')),
        ("deflate", bare_deflate(b'{"a": 1}')),
    ],
)
def test_gzip_and_deflate_are_undone(coding: str, body: bytes) -> None:
    assert opened("none", body, {"Content-Encoding": coding}).content == b'{"a": 1}'


@pytest.mark.parametrize("coding", ["br", "zstd", "identity, gzip", "gzip, gzip"])
def test_any_other_coding_is_415(coding: str) -> None:
    with pytest.raises(Rejected) as caught:
        opened("none", b"x", {"Content-Encoding": coding})
    assert caught.value.status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_larger_than_the_cap_once_decompressed_is_413(coding: str) -> None:
    full = b" " * DECODED_BYTES_MAX_DEFAULT
    squeeze = gzip.compress if coding == "gzip" else zlib.compress
    assert opened("none", squeeze(full), {"Content-Encoding": coding}).content == full
    with pytest.raises(Rejected) as caught:
        opened("none", squeeze(full + b" "), {"Content-Encoding": coding})
    assert caught.value.status == 413


def test_members_of_a_gzip_are_counted_together() -> None:
    member = gzip.compress(b" " * (DECODED_BYTES_MAX_DEFAULT // 2 + 1))
    assert refused("none", member + member, {"Content-Encoding": "gzip"}) == "too_large"


@pytest.mark.parametrize(
    "body", [b"x", gzip.compress(b"{}", mtime=0)[:-1], gzip.compress(b"{}", mtime=0) + b"x", b"\x1f\x8b"]
)
def test_what_is_not_compressed_as_it_says_is_kept_for_a_person(body: bytes) -> None:
    assert refused("none", body, {"Content-Encoding": "gzip"}) == "not_decodable"


def test_sns_carries_the_alert_as_a_text() -> None:
    found = opened("sns", sns('{"rule": "ü"}'))
    assert (found.sender_id, found.content) == ("5a1c0b6e-0001", '{"rule": "ü"}'.encode())


def test_sns_unsubscribed_is_no_alert() -> None:
    assert opened("sns", sns(Type="UnsubscribeConfirmation")).is_ping


def test_sns_raw_delivery_is_the_alert_itself() -> None:
    found = opened("sns", b"{}", {"x-amz-sns-rawdelivery": "true", "x-amz-sns-message-id": "a1"})
    assert (found.sender_id, found.content) == ("a1", b"{}")


@pytest.mark.parametrize("body", [{}, [], "x", sns(Type="Other"), {"Type": "Notification", "Message": 7}])
def test_what_is_no_message_of_sns(body: Any) -> None:
    assert refused("sns", body) == "not_sns"


def test_a_subscription_is_confirmed_at_the_topics_own_host() -> None:
    handshake = opened("sns", sns(Type="SubscriptionConfirmation"))
    assert isinstance(handshake, Handshake)
    assert handshake.visit == subscribe_url()


@pytest.mark.parametrize(
    "url",
    [
        subscribe_url().replace("https", "http"),
        subscribe_url().replace("sns.eu-central-1", "sns.us-east-1"),
        subscribe_url().replace(".com/", ".com.evil.example/"),
        subscribe_url().replace(".com/", ".com@evil.example/"),
        subscribe_url().replace(".com/", ".com:8443/"),
        subscribe_url().replace("/?", "/x?"),
        subscribe_url().replace("ConfirmSubscription", "Unsubscribe"),
        subscribe_url().replace("alerts", "other"),
        subscribe_url() + "&Action=Unsubscribe",
        f"{HOST}/",
        "https://127.0.0.1/?Action=ConfirmSubscription",
        "",
        "\nhttps://sns",
    ],
)
def test_no_other_url_is_visited(url: str) -> None:
    assert refused("sns", sns(Type="SubscriptionConfirmation", SubscribeURL=url)) == "foreign_confirmation"
    assert refused("sns", sns(Type="SubscriptionConfirmation", SubscribeURL=None)) == "foreign_confirmation"


def pubsub(data: str | None, **more: Any) -> dict[str, Any]:
    message = {"data": data, "messageId": "b7", "attributes": {}} | more
    return {"message": message, "subscription": "projects/p/subscriptions/s", "deliveryAttempt": 1}


def test_pubsub_wraps_the_alert_in_base64() -> None:
    found = opened("pubsub", pubsub(base64.b64encode(b'{"a": 1}').decode()))
    assert (found.sender_id, found.content) == ("b7", b'{"a": 1}')


def test_pubsub_without_a_wrapper() -> None:
    found = opened("pubsub", {"message": "of the alert's own"}, {"x-goog-pubsub-message-id": "b1"})
    assert (found.sender_id, json.loads(found.content)) == ("b1", {"message": "of the alert's own"})


def test_pubsub_without_data_is_empty() -> None:
    assert opened("pubsub", pubsub(None)).content == b""


@pytest.mark.parametrize("data", ["!", "AAA", 7, ["x"]])
def test_pubsub_of_data_that_is_not_base64(data: Any) -> None:
    assert refused("pubsub", pubsub(data)) == "not_base64"


def test_event_grid_asks_for_its_code() -> None:
    body = [
        {"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d"}}
    ]
    handshake = opened("event_grid", body, {"aeg-event-type": "SubscriptionValidation"})
    assert isinstance(handshake, Handshake)
    assert json.loads(handshake.body) == {"validationResponse": "512d"}


@pytest.mark.parametrize("body", [{}, [], [{}], [{"data": {"validationCode": 7}}], b"x"])
def test_event_grid_without_a_code(body: Any) -> None:
    assert refused("event_grid", body, {"aeg-event-type": "SubscriptionValidation"}) == "no_validation_code"


def test_graph_wants_its_token_back() -> None:
    query = "code=x&validationToken=Validation%3a+Testing+%3Cb%3E"
    handshake = opened("graph", b"", query=query)
    assert isinstance(handshake, Handshake)
    assert (handshake.body, handshake.content_type[:10]) == (b"Validation: Testing <b>", "text/plain")
    assert ("X-Content-Type-Options", "nosniff") in handshake.headers


BINARY = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "c1", "ce-source": "/x", "ce-type": "t"}
ATTRIBUTES = {"specversion": "1.0", "id": "c1", "source": "/x", "type": "t"}


@pytest.mark.parametrize(
    ("headers", "body", "event"),
    [
        ({}, b'{"a": 18446744073709551616}', {"datacontenttype": "application/json", "data": {"a": 1 << 64}}),
        (
            {"Ce-Subject": "Euro%20%E2%82%AC", "Ce-Data": "x"},
            b"[]",
            {"subject": "Euro €", "datacontenttype": "application/json", "data": []},
        ),
        ({"Content-Type": "text/plain"}, b"hot", {"datacontenttype": "text/plain", "data": "hot"}),
        ({"Content-Type": "image/png"}, b"\xff", {"datacontenttype": "image/png", "data_base64": "/w=="}),
        ({"Content-Type": ""}, b"", {}),
    ],
)
def test_a_binary_cloudevent_is_given_as_if_it_were_structured(
    headers: dict[str, str], body: bytes, event: dict[str, Any]
) -> None:
    found = opened("cloudevents", body, BINARY | headers)
    assert (found.sender_id, json.loads(found.content)) == ("/x c1", ATTRIBUTES | event)


def test_the_data_of_a_binary_cloudevent_cannot_pose_as_an_attribute() -> None:
    assert refused("cloudevents", b'1, "id": "other"', BINARY) == "not_json"


def test_a_cloudevent_in_another_format_is_415() -> None:
    assert refused("cloudevents", b"<x/>", {"Content-Type": "application/cloudevents+xml"}) == "format_unsupported"


def options(**headers: str) -> Handshake | None:
    return ENVELOPES["cloudevents"].greetings["OPTIONS"](
        Headers({name.replace("_", "-"): value for name, value in headers.items()})  # type: ignore[arg-type]
    )


def test_cloudevents_asks_by_options() -> None:
    handshake = options(WebHook_Request_Origin="eventemitter.example.com", WebHook_Request_Rate="120")
    assert handshake is not None
    assert dict(handshake.headers) == {
        "Allow": "POST",
        "WebHook-Allowed-Origin": "eventemitter.example.com",
        "WebHook-Allowed-Rate": "*",
    }
    assert options(WebHook_Request_Origin="eventgrid.azure.net") is not None


@pytest.mark.parametrize("origin", ["", "a b", "ü", "x" * 300, "a\u2028b", "<script>"])
def test_what_is_no_origin_is_not_given_back(origin: str) -> None:
    assert options(WebHook_Request_Origin=origin) is None


def test_okta_asks_by_get() -> None:
    ask = ENVELOPES["okta"].greetings["GET"]
    handshake = ask({"X-Okta-Verification-Challenge": 'c"1'})
    assert handshake is not None
    assert json.loads(handshake.body) == {"verification": 'c"1'}
    assert ask({}) is None
    assert ask({"X-Okta-Verification-Challenge": "x" * 2_001}) is None


@pytest.mark.parametrize(
    ("name", "body", "content"),
    [
        ("hec", b'{"event": 1}{"event": "}{"} \n {"event": 3}', [{"event": 1}, {"event": "}{"}, {"event": 3}]),
        ("hec", b'{"event": 1}', {"event": 1}),
        ("hec", b'[{"event": 1}]', [{"event": 1}]),
        ("hec", b'{"event": 1}{"event": ', [{"event": 1}, '{"event": ']),
        ("hec", b'{"event": 1},{"event": 2}', [{"event": 1}, ',{"event": 2}']),
        ("hec", b'{"a": NaN}{"a": 1, "a": 2}{"a": 3}', ['{"a": NaN}', '{"a": 1, "a": 2}', {"a": 3}]),
        ("ndjson", b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        ("ndjson", b'{"a": 1}\n{"a": \n{"a": 3}', [{"a": 1}, '{"a": ', {"a": 3}]),
        ("ndjson", b'{\n"a": 1\n}\n', {"a": 1}),
        ("kibana", b'{"a": "},{"},{"a": 2}', [{"a": "},{"}, {"a": 2}]),
        ("kibana", b'{"a": 1},\n{"a": 2},', [{"a": 1}, {"a": 2}]),
        ("kibana", b'{"alerts": [{"a": 1}]}', {"alerts": [{"a": 1}]}),
        ("kibana", b'{"a": 1},{"a": \xc3\xbc', [{"a": 1}, '{"a": ü']),
    ],
)  # fmt: skip
def test_several_documents_come_out_as_a_list(name: str, body: bytes, content: Any) -> None:
    assert json.loads(opened(name, body).content) == content


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b"\xff{}{}", b"[" * 5_000])
def test_what_holds_not_one_document_is_left_as_it_is(body: bytes) -> None:
    assert opened("hec", body).content == body


def test_not_more_documents_than_a_body_should_have_are_told_apart() -> None:
    found = json.loads(opened("ndjson", b"1\n" * (DOCUMENTS_MAX + 7)).content)
    assert (len(found), found[-1]) == (DOCUMENTS_MAX + 1, "1\n" * 7)


@pytest.mark.parametrize(
    ("name", "body", "content"),
    [
        ("form", b"payload=%7B%22a%22%3A+1%7D&x=y", {"a": 1}),
        ("form", b"id=7&title=a%20b+c&empty=", {"id": "7", "title": "a b c", "empty": ""}),
        ("github", b"payload=%7B%22a%22%3A+1%7D", {"a": 1}),
    ],
)
def test_a_form_is_its_payload_or_its_fields(name: str, body: bytes, content: Any) -> None:
    assert json.loads(opened(name, body, FORM).content) == content


@pytest.mark.parametrize("body", [b"a", b"a=%ff", b"\xff=1", b"&".join(b"%d=" % number for number in range(1_001))])
def test_what_is_no_form(body: bytes) -> None:
    assert refused("form", body) == "not_a_form"


def test_a_field_that_stands_twice() -> None:
    assert refused("form", b"a=1&a=2") == "duplicate_key"


documents = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["message", "data", "messageId", "subscription", "Type", "Message", "events", "event", "value", "id"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
bodies = st.binary() | documents.map(lambda one: json.dumps(one).encode()) | st.text('{}[],:"1\n\\ ü').map(str.encode)


@given(
    body=bodies,
    headers=st.dictionaries(
        st.sampled_from([*IDS, "Content-Type", "Content-Encoding", "aeg-event-type", "ce-specversion", "ce-x"]),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]))
        | st.sampled_from(
            ["gzip", "application/json", "application/cloudevents+json", "SubscriptionValidation", *FORM.values()]
        ),
    ),
    query=st.text(st.characters(max_codepoint=255)) | st.just("validationToken=%ff+"),
)
def test_no_envelope_fails_otherwise_than_by_saying_so(body: bytes, headers: dict[str, str], query: str) -> None:
    for name in ENVELOPES:
        try:
            found = opened(name, body, headers, query)
        except (Rejected, Unmappable):
            continue
        assert isinstance(found, Unwrapped | Handshake)
