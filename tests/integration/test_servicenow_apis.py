"""What one API refuses holds up that API, and no other way to the instance: against the simulator, by real sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from ways_world import simulated, staged

from bridge.errors import Ambiguous, Transient
from bridge.metrics import Metrics
from bridge.servicenow.breaker import FAILURES_MAX, HELD
from bridge.servicenow.client import Client
from bridge.servicenow.import_set import ImportSetWay
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret
from bridge.simulator.access import ApiKey
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FIELDS = {"correlation_id": "id-1", "correlation_display": "Probe · 0a1b", "short_description": "x"}


class Way:
    """Two targets of one instance: one by an import set, the other by the Table API."""

    def __init__(self, servicenow: SimulatorServer) -> None:
        self.now = 1000.0
        auth = InstanceAuth(scheme=AuthScheme.API_KEY, key=Secret(kind="env", name="UNUSED"))
        self.client = Client(
            Instance(name="test", url=servicenow.url, auth=auth),
            clock=lambda: NOW + timedelta(seconds=self.now),
            monotonic=lambda: self.now,
        )
        self.simulator = servicenow.simulator
        self.by_table = TableApi(self.client)
        self.by_import = ImportSetWay(staged(), self.by_table)

    def imports(self) -> str:
        """The outcome's code."""
        try:
            self.by_import.create(FIELDS, deadline=self.now + 10)
        except Transient as error:
            return error.code
        return "made"

    def writes(self) -> str:
        return self.by_table.create("incident", {"short_description": "y"}, deadline=self.now + 10).number

    @property
    def posts(self) -> int:
        return len([method for method, _, _ in self.simulator.calls if method == "POST"])


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    monkeypatch.setattr(Secret, "read", lambda _secret: b"k-1")
    with SimulatorServer(clock=lambda: NOW) as servicenow:
        servicenow.simulator.add_staging(simulated("correlation_id"))
        servicenow.simulator.access.api_keys["k-1"] = ApiKey(user="bridge")
        made = Way(servicenow)
        yield made
        made.client.close()


def key_is_for(way: Way, *apis: str) -> None:
    way.simulator.access.api_keys["k-1"] = ApiKey(user="bridge", apis=frozenset(apis))


def test_a_key_that_imports_refuse_holds_up_no_target_that_writes_by_the_table(way: Way) -> None:
    key_is_for(way, "table")
    assert [way.imports() for _ in range(3)] == ["unauthenticated", "unauthenticated", "api_held"]
    assert (way.client.held, way.writes()[:3]) == (False, "INC")


def test_what_is_told_of_it_blames_the_policy_of_that_api_and_not_the_credentials(way: Way) -> None:
    key_is_for(way, "table")
    for _ in range(2):
        way.imports()
    told = way.client.problem
    assert told.startswith("/api/now/import at 127.0.0.1:")
    assert "the Table API takes the same credentials" in told
    assert "incidents are written all the same" not in told


def test_the_metrics_name_it_beside_an_instance_that_is_well(way: Way) -> None:
    key_is_for(way, "table")
    metrics = Metrics()
    metrics.watch_instance("acme", lambda: HELD[way.client.breaker.state], lambda: way.client.held_apart)
    for _ in range(2):
        way.imports()
    told = metrics.text().decode()
    assert 'bridge_servicenow_held{instance="acme"} 0.0' in told
    assert re.findall(r'bridge_servicenow_api_held\{api="(.*)",instance="acme"\} (.*)', told) == [
        ("/api/now/import", "1.0")
    ]


def test_it_is_tried_again_by_one_import_when_its_time_is_over(way: Way) -> None:
    key_is_for(way, "table")
    for _ in range(3):
        way.imports()
    key_is_for(way)
    assert way.imports() == "api_held"
    way.now += 61
    assert (way.imports(), way.client.problem) == ("made", "")


def test_a_key_that_nothing_takes_is_the_whole_instances_matter(way: Way) -> None:
    way.simulator.access.api_keys.clear()
    assert way.imports() == "unauthenticated"
    assert way.client.held, "a read of the Table API was refused as well"


def test_while_the_instance_is_left_alone_nothing_is_imported(way: Way) -> None:
    for _ in range(FAILURES_MAX):
        way.client.breaker.noticed(Transient("connect_failed", "No."))
    assert (way.imports(), way.posts) == ("instance_held", 0)


def test_what_several_tables_of_one_api_fail_at_is_told_once(way: Way) -> None:
    """Enrichment has three, and one path that may be wrong."""
    way.simulator.faults.add(Fault(kind=FaultKind.SERVER_ERROR, path="enrichment", times=None))
    beside = way.client.beside()
    for table in ("sn_ti_lookup_result", "sn_ti_observable_enrichment_result"):
        for _ in range(FAILURES_MAX):
            with pytest.raises(Ambiguous):
                beside.write("POST", table, "/api/x/enrichment/y", {}, {"a": "b"}, deadline=way.now + 10)
    assert way.client.problem.count("/api/x/enrichment at ") == 1
