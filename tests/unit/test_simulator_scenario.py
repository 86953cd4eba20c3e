"""Scenario files: what they say, and every mistake with its place."""

from __future__ import annotations

import pytest

from bridge.errors import Misconfigured
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.scenario import parse_scenario
from bridge.simulator.switches import UnknownField
from bridge.yamlfile import parse_yaml


def test_a_scenario_is_read() -> None:
    text = b"""
unknown_query_field: forbidden
faults:
  - {kind: rate_limit, method: [POST, PATCH], table: incident, after: 2, times: always, seconds: 30}
  - {kind: server_error, method: GET, path: /v2/, status: 502, applied: true}
  - {kind: refused, status: 404, message: Not here, detail: At all}
"""
    scenario = parse_scenario(parse_yaml(text, "s.yaml"))
    assert scenario.unknown_query_field is UnknownField.FORBIDDEN
    writes = frozenset({"POST", "PATCH"})
    assert scenario.faults == (
        Fault(kind=FaultKind.RATE_LIMIT, methods=writes, table="incident", after=2, times=None, seconds=30),
        Fault(kind=FaultKind.SERVER_ERROR, methods=frozenset({"GET"}), path="/v2/", status=502, applied=True),
        Fault(kind=FaultKind.REFUSED, status=404, message="Not here", detail="At all"),
    )


def test_every_mistake_is_told_with_its_place() -> None:
    text = b"""faults:
  - {kind: nope}
  - {kind: latency, seconds: -1, method: FETCH}
  - {kind: closed, tmies: 2}
  - {kind: server_error, status: 418, times: often}
  - {kind: refused, message: x}
  - {kind: login, applied: true}
speed: 1
"""
    with pytest.raises(Misconfigured) as caught:
        parse_scenario(parse_yaml(text, "s.yaml"))
    places = [(problem.line, problem.message.split()[0]) for problem in caught.value.problems]
    assert places == [
        (2, "kind"),
        (3, "seconds"),
        (3, "method"),
        (4, "unknown"),
        (5, "status"),
        (5, "times"),
        (6, "status"),
        (7, "only"),
        (8, "unknown"),
    ]


@pytest.mark.parametrize("text", [b"", b"- 1", b"faults: 1", b"faults: [1]", b"faults: [{kind: [x]}]"])
def test_another_shape_is_refused(text: bytes) -> None:
    with pytest.raises(Misconfigured):
        parse_scenario(parse_yaml(text, "s.yaml"))
