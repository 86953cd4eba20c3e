"""Signatures with a shared secret: every preset, and every part of one that is spelt out."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.datastructures import Headers

from bridge.errors import Rejected
from bridge.settings import Signature, SourceAuth
from bridge.settings.signatures import PRESETS
from bridge.sources.auth import verifier_for

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
OLD, NEW = b"the old secret", b"the new secret"
BODY = b'{"alert": 1}'


def hexed(content: bytes, *, secret: bytes = NEW, name: str = "sha256") -> str:
    return hmac.new(secret, content, getattr(hashlib, name)).hexdigest()


def based(content: bytes, *, secret: bytes = NEW) -> str:
    return base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def accepts(shape: Signature, headers: dict[str, str], *, body: bytes = BODY, now: datetime = NOW) -> bool:
    verifier = verifier_for("s", SourceAuth(scheme="hmac", signature=shape), (NEW, OLD))
    try:
        verifier.verify(Headers(headers), body, remote="192.0.2.1", query="", now=now)  # type: ignore[arg-type]
    except Rejected:
        return False
    return True


ISO = "2026-03-10T12:00:00.123456789Z"
# preset -> the headers of a right delivery, with `secret`
PRESET_HEADERS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "github": lambda secret: {"X-Hub-Signature-256": f"sha256={hexed(BODY, secret=secret)}"},
    "pagerduty": lambda secret: {"X-PagerDuty-Signature": f"v1={hexed(BODY, secret=secret)}"},
    "grafana": lambda secret: {"X-Grafana-Alerting-Signature": hexed(BODY, secret=secret)},
    "snyk": lambda secret: {"X-Hub-Signature": f"sha256={hexed(BODY, secret=secret)}"},
    "crowdstrike": lambda secret: {
        "X-Cs-Primary-Signature": based(BODY + ISO.encode(), secret=secret),
        "X-Cs-Delivery-Timestamp": ISO,
    },
    "splunk_observability": lambda secret: {"X-SFX-Signature": based(BODY, secret=secret)},
    "vault_radar": lambda secret: {"X-HCP-Radar-Signature": f"sha512={hexed(BODY, secret=secret, name='sha512')}"},
}


def test_every_preset_is_tried_here() -> None:
    assert PRESET_HEADERS.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_what_its_product_signs_with_either_secret(preset: str) -> None:
    assert accepts(PRESETS[preset], PRESET_HEADERS[preset](NEW))
    assert accepts(PRESETS[preset], PRESET_HEADERS[preset](OLD))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_refuses_another_secret_and_another_body(preset: str) -> None:
    assert not accepts(PRESETS[preset], PRESET_HEADERS[preset](b"other"))
    assert not accepts(PRESETS[preset], PRESET_HEADERS[preset](NEW), body=BODY + b" ")


@pytest.mark.parametrize(
    ("preset", "header"), [(name, header) for name in PRESETS for header in PRESET_HEADERS[name](NEW)]
)
def test_a_preset_needs_each_of_its_headers(preset: str, header: str) -> None:
    right = PRESET_HEADERS[preset](NEW)
    assert not accepts(PRESETS[preset], {name: value for name, value in right.items() if name != header})
    assert not accepts(PRESETS[preset], right | {header: ""})


@pytest.mark.parametrize("preset", [name for name, shape in PRESETS.items() if shape.prefix])
def test_a_prefix_is_part_of_the_signature(preset: str) -> None:
    ((header, value),) = PRESET_HEADERS[preset](NEW).items()
    assert not accepts(PRESETS[preset], {header: value.removeprefix(PRESETS[preset].prefix)})


def test_pagerduty_sends_several_while_it_rotates() -> None:
    right = f"v1={hexed(BODY)}"
    for value in (f"v1={'0' * 64},{right}", f"{right}, v1={'0' * 64}", f"v2=abc {right}"):
        assert accepts(PRESETS["pagerduty"], {"X-PagerDuty-Signature": value})
    assert not accepts(PRESETS["pagerduty"], {"X-PagerDuty-Signature": ",".join(["v1=00"] * 8 + [right])})


def test_hexadecimal_digits_may_be_large() -> None:
    assert accepts(PRESETS["grafana"], {"X-Grafana-Alerting-Signature": hexed(BODY).upper()})


def test_base64_may_not_change_its_case() -> None:
    assert not accepts(PRESETS["splunk_observability"], {"X-SFX-Signature": based(BODY).swapcase()})


TIMED = Signature(
    header="X-Sig", template="{id}.{timestamp}.{body}!", id_header="X-Id", timestamp_header="X-At", prefix="HMAC "
)


def timed(**changes: str) -> dict[str, str]:
    sent = {"id": "m1", "at": SECONDS} | changes
    content = f"{sent['id']}.{sent['at']}.".encode() + BODY + b"!"
    return {"X-Sig": f"HMAC {hexed(content)}", "X-Id": sent["id"], "X-At": sent["at"]}


@pytest.mark.parametrize(
    ("sent", "right"),
    [
        (SECONDS, True),
        (SECONDS + "000", True),
        ("2026-03-10T12:00:00Z", True),
        ("2026-03-10T13:04:59+01:00", True),
        ("2026-03-10T12:00:00", False),
        (str(int(SECONDS) + 300), True),
        (str(int(SECONDS) + 301), False),
        (str(int(SECONDS) - 301), False),
        ("soon", False),
        ("", False),
        ("-1", False),
        ("9" * 30, False),
        ("9" * 5000, False),
        ("٣", False),
    ],
)
def test_a_signed_time_must_be_near(sent: str, right: bool) -> None:
    assert accepts(TIMED, timed(at=sent) if sent.isascii() else timed() | {"X-At": sent}) is right


def test_the_id_and_the_time_are_part_of_what_is_signed() -> None:
    assert accepts(TIMED, timed())
    assert not accepts(TIMED, timed() | {"X-Id": "m2"})
    assert not accepts(TIMED, timed() | {"X-At": str(int(SECONDS) + 1)})
    assert not accepts(TIMED, timed(id=""))


def test_a_tolerance_is_as_it_was_set() -> None:
    shape = Signature(
        header="X-Sig", template="{timestamp}{body}", timestamp_header="X-At", tolerance=timedelta(days=1)
    )
    headers = {"X-Sig": hexed(SECONDS.encode() + BODY), "X-At": SECONDS}
    assert accepts(shape, headers, now=NOW + timedelta(hours=23))
    assert not accepts(shape, headers, now=NOW + timedelta(hours=25))
