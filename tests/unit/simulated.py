"""A simulated instance without a socket, its clock, and a caller who keeps the contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.simulator.app import create_app
from bridge.simulator.applying import apply_scenario
from bridge.simulator.scenario import parse_body
from bridge.simulator.state import Simulator

INCIDENT = "/api/now/table/incident"
SECURITY = "/api/now/table/sn_si_incident"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Caller:
    """A client that does all that the contract asks, unless a test says otherwise."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: Any = None, **changes: Any) -> TestResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json"} | changes.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        arguments: dict[str, Any] = {"auth": ("bridge", "secret"), "headers": headers} | changes
        if body is not None:
            arguments["data"] = json.dumps(body)
        return self.client.open(path, method=method, **arguments)

    def created(self, path: str = INCIDENT, **fields: Any) -> dict[str, Any]:
        answer = self("POST", path, fields)
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json["result"]  # type: ignore[index]
        return row


def result(answer: TestResponse) -> Any:
    assert answer.json is not None
    return answer.json["result"]


def refusal(answer: TestResponse) -> tuple[int, str, str | None]:
    assert answer.json is not None
    assert answer.json["status"] == "failure"
    return answer.status_code, answer.json["error"]["message"], answer.json["error"]["detail"]


class World:
    """An instance with one API user who may do everything."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.simulator = Simulator(clock=self.clock, accounts={"bridge": "secret"})
        app = create_app(self.simulator, go_down=lambda _seconds: None)
        app.testing = True  # a failure of the simulator's own is the test's
        self.call = Caller(app.test_client())

    def apply(self, **scenario: Any) -> None:
        apply_scenario(self.simulator, parse_body(scenario))

    def violations(self) -> list[tuple[str, str]]:
        return [(violation.code, violation.detail) for violation in self.simulator.violations]
