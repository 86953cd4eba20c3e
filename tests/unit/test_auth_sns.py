"""Amazon SNS: both versions of its signature, whose topics, which certificates; and that all else is a 401."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import CERTIFICATE_URL, HOST, NOW, OTHER_KEY, TOPIC, Stub, certificate, signed, sns
from werkzeug.datastructures import Headers

from bridge.errors import Rejected
from bridge.settings import SourceAuth
from bridge.sources.auth import verifier_for

AUTH = SourceAuth(scheme="sns", topics=(TOPIC,))


def accepts(body: bytes, outside: Stub | None = None, *, now: datetime = NOW, auth: SourceAuth = AUTH) -> bool:
    verifier = verifier_for("s", auth, (), outside or Stub({CERTIFICATE_URL: certificate()}))
    try:
        verifier.verify(Headers(), body, remote="192.0.2.1", query="", now=now)  # type: ignore[arg-type]
    except Rejected as error:
        return error.status != 401
    return True


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("type_", ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"])
@pytest.mark.parametrize("subject", [None, "Ürgent"])
def test_both_versions_of_the_signature_over_each_type(version: str, type_: str, subject: str | None) -> None:
    assert accepts(signed(sns(Type=type_, SignatureVersion=version, Subject=subject)))


@pytest.mark.parametrize("key", ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "Subject"])
def test_what_is_signed_cannot_be_changed(key: str) -> None:
    message = json.loads(signed(sns(Subject="s")))
    two = SourceAuth(scheme="sns", topics=(TOPIC, TOPIC + "x"))
    changed = {"Timestamp": "2026-03-10T11:59:59Z", "TopicArn": TOPIC + "x", "Type": "SubscriptionConfirmation"}
    assert not accepts(json.dumps(message | {key: changed.get(key, "other")}).encode(), auth=two)


@pytest.mark.parametrize("key", [name for name in sns() if name != "Subject"] + ["Signature"])
def test_nothing_of_a_message_may_be_missing_or_something_else(key: str) -> None:
    message = json.loads(signed(sns()))
    for one in (
        {name: value for name, value in message.items() if name != key},
        message | {key: 7},
        message | {key: ""},
    ):
        assert not accepts(json.dumps(one).encode())


def test_another_key_or_another_version_does_not_verify() -> None:
    assert not accepts(signed(sns(), OTHER_KEY))
    message = json.loads(signed(sns(SignatureVersion="2")))
    assert not accepts(json.dumps(message | {"SignatureVersion": "1"}).encode())
    assert not accepts(json.dumps(message | {"SignatureVersion": "3"}).encode())


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/a.pem",
        f"{HOST}/a.pem?x=y",
        f"{HOST}/a.pem#x",
        f"{HOST}/../a.pem",
        f"{HOST}/a/b.pem",
        f"{HOST}/a.txt",
        f"{HOST}/a.pem\n",
        f"{HOST.upper()}/a.pem",
        "",
    ],
)
def test_no_certificate_is_fetched_but_from_sns_of_the_topics_region(url: str) -> None:
    outside = Stub({url: certificate()})
    assert not accepts(signed(sns(SigningCertURL=url)), outside)
    assert outside.asked == []


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:a", "https://sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:a", "https://sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_hosts_of_other_partitions(topic: str, host: str) -> None:
    auth = SourceAuth(scheme="sns", topics=(topic,))
    body = signed(sns(TopicArn=topic, SigningCertURL=f"{host}/a.pem"))
    assert accepts(body, Stub({f"{host}/a.pem": certificate()}), auth=auth)


def test_somebody_elses_topic_is_refused_without_a_look_outside() -> None:
    outside = Stub({CERTIFICATE_URL: certificate()})
    assert not accepts(signed(sns(TopicArn=TOPIC + "2")), outside)
    assert outside.asked == []


@pytest.mark.parametrize(
    ("now", "right"),
    [
        (NOW + timedelta(days=3, hours=23), True),
        (NOW + timedelta(days=4, seconds=1), False),
        (NOW - timedelta(seconds=299), True),
        (NOW - timedelta(seconds=303), False),
    ],
)
def test_a_message_older_than_what_is_remembered_could_be_sent_again(now: datetime, right: bool) -> None:
    assert accepts(signed(sns()), now=now) is right


def test_a_certificate_that_is_not_valid_now_is_refused() -> None:
    assert not accepts(signed(sns()), Stub({CERTIFICATE_URL: certificate(begins=NOW + timedelta(days=1))}))
    assert not accepts(signed(sns()), Stub({CERTIFICATE_URL: certificate(begins=NOW - timedelta(days=31))}))


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_verifies_nothing(pem: bytes) -> None:
    assert not accepts(signed(sns()), Stub({CERTIFICATE_URL: pem}))


def test_a_certificate_that_is_not_there_verifies_nothing() -> None:
    assert not accepts(signed(sns()), Stub({}))


def test_a_key_that_stands_twice_could_be_read_in_two_ways() -> None:
    body = signed(sns())
    assert not accepts(body.replace(b'"Message":', b'"Message": "other", "Message":'))


documents = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)
messages: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        key: documents | st.sampled_from([value, "", "arn:aws:sns", "0001-01-01T00:00:00+23:59", "AAAA", "\0"])
        for key, value in (sns() | {"Signature": "AAAA", "Subject": "s"}).items()
    },
)


@given(
    body=st.binary() | messages.map(lambda one: json.dumps(one).encode()) | documents.map(json.dumps).map(str.encode)
)
def test_hostile_input_is_a_401_and_nothing_else(body: bytes) -> None:
    verifier = verifier_for("s", AUTH, (), Stub({CERTIFICATE_URL: certificate()}))
    with pytest.raises(Rejected) as caught:
        verifier.verify({}, body, remote="", query="", now=NOW)
    assert (caught.value.status, caught.value.code) == (401, "not_authenticated")


@given(signature=st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode()) | st.text())
def test_a_hostile_signature_is_a_401(signature: str) -> None:
    assert not accepts(json.dumps(sns() | {"Signature": signature}).encode())
