"""The service's log: one shape for all, and nothing in it that must not be."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from bridge.logs import DEPTH_MAX, REDACTED, redact, set_up

CANARY = "canary-5Kx0-secret-value"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_in_service_each_event_is_a_line_of_json() -> None:
    stream = io.StringIO()
    set_up(stream)
    structlog.get_logger("bridge.test").info("delivery accepted", source="edr", alerts=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["source"], line["alerts"], line["level"]) == ("delivery accepted", "edr", 3, "info")
    assert line["at"].endswith("Z")


def test_on_a_terminal_it_reads_as_text() -> None:
    stream = Terminal()
    set_up(stream)
    structlog.get_logger().info("delivery accepted", source="edr")
    assert "delivery accepted" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_the_events_of_libraries_have_the_same_shape() -> None:
    stream = io.StringIO()
    set_up(stream)
    logging.getLogger("some.library").warning("retrying %s", "now")
    assert json.loads(stream.getvalue())["event"] == "retrying now"


SECRET_NAMES = [
    "secret",
    "client_secret",
    "token",
    "access_token",
    "password",
    "Authorization",
    "X-Hub-Signature-256",
    "x-sn-apikey",
    "cookie",
    "private_key",
    "apikey",
    "api_key",
    "body",
    "request_body",
    "payload",
    "raw",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_field_of_a_secret_class_is_redacted(name: str) -> None:
    assert redact(None, "info", {"event": "x", name: CANARY})[name] == REDACTED


def test_a_secret_is_found_at_any_depth() -> None:
    event = redact(None, "info", {"request": {"headers": [{"authorization": CANARY}, ("a", {"token": CANARY})]}})
    assert CANARY not in json.dumps(event)


def test_what_is_too_deep_is_left_out() -> None:
    value: object = CANARY
    for _ in range(DEPTH_MAX + 1):
        value = [value]
    assert CANARY not in json.dumps(redact(None, "info", {"deep": value}))


def test_a_size_is_no_secret() -> None:
    assert redact(None, "info", {"body_bytes": 12})["body_bytes"] == 12


def test_a_name_that_looks_like_a_measure_does_not_let_a_text_through() -> None:
    assert redact(None, "info", {"token_bytes": CANARY})["token_bytes"] == REDACTED


@pytest.mark.parametrize("text", [f"Basic {CANARY}", f"sent Bearer {CANARY}", f"https://user:{CANARY}@acme.example/x"])
def test_credentials_in_a_text_are_redacted(text: str) -> None:
    assert CANARY not in str(redact(None, "info", {"event": text})["event"])


@pytest.mark.parametrize(
    "text",
    [
        f"Error handling request /hooks/edr?code={CANARY}",
        f"Invalid HTTP request line: 'POST /hooks/edr?code={CANARY}&a=b HTTP/9'",
        f'"POST /hooks/edr/?a=b&code={CANARY} HTTP/1.1" 200',
    ],
)
def test_the_query_of_a_hook_may_hold_a_secret(text: str) -> None:
    shown = redact(None, "info", {"event": text})["event"]
    assert CANARY not in shown
    assert "/hooks/edr" in shown


def test_bytes_are_only_counted() -> None:
    assert redact(None, "info", {"content": b"abc"})["content"] == "[3 bytes]"


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert redact(None, "info", {"event": "a\x1b[2Jb\x9b"})["event"] == "a\\x1b[2Jb\\x9b"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["service", "terminal"])
def test_a_traceback_shows_no_values_of_variables(stream: io.StringIO) -> None:
    set_up(stream)
    password = CANARY
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("a call failed")
    assert "ValueError: broken" in stream.getvalue()
    assert password not in stream.getvalue()
