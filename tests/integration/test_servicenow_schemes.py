"""Each scheme against the simulator over TLS: expiry, revocation, and what refusals tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from schemes_world import OAUTH, auth_of, given_access

from bridge.errors import Transient
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import Instance, InstanceAuth, Secret, Transport
from bridge.simulator.scenario import parse_body
from bridge.simulator.server import SimulatorServer
from bridge.simulator.tls import Authority, ClientCertificates
from bridge.wiring import utc_now


@contextmanager
def serving(authority: Authority, **more: Any) -> Iterator[SimulatorServer]:
    given = parse_body(given_access(**more))
    with SimulatorServer(clock=utc_now, scenario=given, tls=authority.context()) as server:
        yield server


@pytest.fixture
def servicenow(authority: Authority) -> Iterator[SimulatorServer]:
    with serving(authority) as server:
        yield server


class Way:
    def __init__(self, server: SimulatorServer, auth: InstanceAuth, transport: Transport, off: timedelta) -> None:
        self.server = server
        self.counted: list[str] = []
        self.passed = 0.0  # seconds that a test lets go by
        self.client = Client(
            Instance(name="test", url=server.url, auth=auth, transport=transport),
            clock=lambda: utc_now() + off,
            monotonic=self.monotonic,
            on_call=lambda word, _seconds: self.counted.append(word),
        )
        self.api = TableApi(self.client)

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def create(self) -> str:
        return self.api.create("incident", {"short_description": "x"}, deadline=self.monotonic() + 10).sys_id

    def refused(self) -> Transient:
        with pytest.raises(Transient) as caught:
            self.create()
        return caught.value

    def tokens(self, authority: Authority, **what: str) -> None:
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.server.url}/simulator/tokens"
            session.post(url, json=what, verify=str(authority.certificate_file), timeout=10).raise_for_status()


@contextmanager
def way(
    server: SimulatorServer, authority: Authority, auth: InstanceAuth, off: timedelta = timedelta(0)
) -> Iterator[Way]:
    made = Way(server, auth, Transport(ca=authority.certificate_file), off)
    try:
        yield made
    finally:
        made.client.close()


def soon() -> float:
    return time.monotonic() + 10


@pytest.mark.parametrize("what", ["expire", "revoke"])
@pytest.mark.parametrize("scheme", OAUTH)
def test_a_token_that_has_ended_is_followed_by_another(
    servicenow: SimulatorServer, authority: Authority, secrets: Path, scheme: str, what: str
) -> None:
    with way(servicenow, authority, auth_of(scheme, secrets)) as there:
        there.create()
        there.tokens(authority, **{what: "siem"})
        there.create()
        refreshed = ["not_applied"] if (scheme, what) == ("oauth_password", "revoke") else []
        assert there.counted == ["token", "applied", "not_applied", *refreshed, "token", "applied"]


def test_a_token_that_servicenow_gives_again_until_it_expires_is_renewed_without_a_refusal(
    authority: Authority, secrets: Path
) -> None:
    began = utc_now()
    ways: list[Way] = []

    def clock() -> datetime:
        return began + timedelta(seconds=ways[0].passed if ways else 0.0)

    given = parse_body(given_access())
    with (
        SimulatorServer(clock=clock, scenario=given, tls=authority.context()) as server,
        way(server, authority, auth_of("oauth_client_credentials", secrets)) as there,
    ):
        ways.append(there)
        for _ in range(2 * 1800 // 30 + 2):
            there.create()
            there.passed += 30
        tokens = there.counted.count("token")
        refused = there.counted.count("not_applied")
    assert (tokens, refused) == (7, 0)  # one; then twice the same with less and less left, and the next


@pytest.mark.parametrize(("off", "taken"), [(-550, True), (290, True), (-650, False)], ids=str)
def test_an_assertion_is_taken_from_a_clock_that_is_minutes_off(
    servicenow: SimulatorServer, authority: Authority, secrets: Path, off: int, taken: bool
) -> None:
    auth = auth_of("oauth_jwt_bearer, ES256", secrets)
    with way(servicenow, authority, auth, timedelta(seconds=off)) as there:
        if taken:
            assert there.create()
        else:
            assert "this machine's clock" in there.refused().message


@pytest.mark.parametrize("scheme", OAUTH)
def test_a_wrong_secret_is_told_once_and_tells_what_to_check(
    servicenow: SimulatorServer, authority: Authority, secrets: Path, scheme: str
) -> None:
    wrong = Secret(kind="file", name=str(secrets / "wrong"))
    auth = replace(auth_of(scheme, secrets), client_secret=wrong)
    with way(servicenow, authority, auth) as there:
        error = there.refused()
        assert error.code == "token_refused"
        assert "Check in this order: client_secret" in error.message
        there.refused()
        assert there.counted == ["not_applied"]


def test_an_instance_that_says_more_is_repeated(authority: Authority, secrets: Path) -> None:
    wrong = Secret(kind="file", name=str(secrets / "wrong"))
    auth = replace(auth_of("oauth_client_credentials", secrets), client_secret=wrong)
    with serving(authority, oauth_errors="specific") as server, way(server, authority, auth) as there:
        assert there.refused().code == "invalid_client"


def test_a_user_who_must_show_more_than_a_password_is_told_as_such(authority: Authority, secrets: Path) -> None:
    access = {"users": {"siem": {"password": "s3cret", "mfa": True}}}
    with serving(authority, access=access) as server, way(server, authority, auth_of("basic", secrets)) as there:
        assert "Multi-factor authentication" in there.refused().message


def test_a_certificate_that_the_instance_asks_for_is_shown(authority: Authority, secrets: Path) -> None:
    pair = authority.client("siem")
    tls = authority.context(ClientCertificates.REQUIRED)
    with SimulatorServer(clock=utc_now, scenario=parse_body(given_access()), tls=tls) as server:
        transport = Transport(ca=authority.certificate_file, client_cert=pair.certificate, client_key=pair.key)
        there = Way(server, auth_of("api_key", secrets), transport, timedelta(0))
        assert there.create()
        there.client.close()


def test_the_limit_that_the_instance_names_is_not_run_into(authority: Authority, secrets: Path) -> None:
    now = utc_now()
    half_past = 1800 - now.minute * 60 - now.second  # there: its hour does not end during the test
    limits = [{"limit": 3, "api": "table", "lag": 0}]
    auth = auth_of("api_key", secrets)
    with (
        serving(authority, rate_limits=limits, clock_offset=half_past) as server,
        way(server, authority, auth) as there,
    ):
        for _ in range(3):
            there.create()
        error = there.refused()
        assert (error.code, there.counted) == ("call_budget", ["applied", "applied", "applied"])
        assert error.retry_after == pytest.approx(1800, abs=60)
