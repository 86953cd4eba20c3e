"""What clouds put around an alert on its way: Amazon SNS and EventBridge, Google Pub/Sub."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

from bridge.alert import Json
from bridge.errors import Unmappable
from bridge.sources.document import decode
from bridge.sources.envelope.shape import Envelope, Handshake, Headers, Unwrapped, glimpse, identified, member
from bridge.sources.topic import host_of

URL_CHARACTERS_MAX = 4_000


def _sns(headers: Headers, _query: str, body: bytes) -> Unwrapped | Handshake:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html; posted as text/plain.

    A raw delivery comes here only where another secret protects the source: it bears no signature.
    """
    if headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
        return Unwrapped(sender_id=identified(headers.get("x-amz-sns-message-id")), content=body)
    message = decode(body).value
    sender_id = identified(member(message, "MessageId"))
    match member(message, "Type"):
        case "Notification" if isinstance(text := message.get("Message"), str):
            return Unwrapped(sender_id=sender_id, content=text.encode())
        case "SubscriptionConfirmation":
            topic = str(message.get("TopicArn"))
            return Handshake(told=f"confirmed the subscription of {topic[:300]}", visit=_confirmation(message, topic))
        case "UnsubscribeConfirmation":
            return Unwrapped(sender_id=sender_id, content=body, is_ping=True)
    raise Unmappable("not_sns", "The body is no message of Amazon SNS: see the source's `envelope`.")


def _confirmation(message: Json, topic: str) -> str:
    """The URL that confirms the subscription of this topic, at SNS of the topic's region. Raises Unmappable."""
    url = message.get("SubscribeURL")
    if isinstance(url, str) and len(url) <= URL_CHARACTERS_MAX and url.isascii() and url.isprintable():
        host = host_of(topic)
        if host is not None and url.startswith(f"https://{host}/?"):
            asked = parse_qs(urlsplit(url).query, max_num_fields=20)
            if asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [topic]:
                return url
    told = "The confirmation's URL is not that of its topic at Amazon SNS: it was not fetched."
    raise Unmappable("foreign_confirmation", told)


def _pubsub(headers: Headers, _query: str, body: bytes) -> Unwrapped:
    """https://cloud.google.com/pubsub/docs/push, wrapped; else the body is the message's data as it is."""
    wrapped = glimpse(body)
    message = member(wrapped, "message")
    if not isinstance(message, dict) or not isinstance(member(wrapped, "subscription"), str):
        return Unwrapped(sender_id=identified(headers.get("x-goog-pubsub-message-id")), content=body)
    sender_id = identified(message.get("messageId") or message.get("message_id"))
    data = message.get("data") or ""
    try:
        return Unwrapped(sender_id=sender_id, content=base64.b64decode(data, validate=True))
    except (TypeError, ValueError) as error:  # of which binascii.Error is one
        raise Unmappable("not_base64", "The data of the Pub/Sub message is not Base64.") from error


def _eventbridge(_headers: Headers, _query: str, body: bytes) -> Unwrapped:
    """The whole event: what its `detail` is depends on its `detail-type`."""
    return Unwrapped(sender_id=identified(member(glimpse(body), "id")), content=body)


SNS = Envelope(unwrap=_sns)
PUBSUB = Envelope(unwrap=_pubsub)
EVENTBRIDGE = Envelope(unwrap=_eventbridge)
