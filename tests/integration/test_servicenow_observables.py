"""Observables over real sockets: told apart by value and type, and one for two processes as far as that can be had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from scripted_server import ScriptedServer, Step, answer

from bridge.alert import Observable
from bridge.errors import Permanent
from bridge.servicenow.client import Client
from bridge.servicenow.observables import Observables
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret
from bridge.simulator.server import SimulatorServer

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TASK, TYPE, OTHER, SEEN = "a" * 32, "b" * 32, "c" * 32, "d" * 32
ADDRESS = Observable(kind="ipv4", value="192.0.2.1")


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secret, "read", lambda _secret: b"bridge")


@contextmanager
def process(url: str) -> Iterator[Observables]:
    """One process's view of the instance: a client and a lock of its own."""
    auth = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=Secret(kind="env", name="UNUSED"))
    client = Client(Instance(name="test", url=url, auth=auth), clock=lambda: NOW, monotonic=time.monotonic)
    try:
        yield Observables(TableApi(client))
    finally:
        client.close()


def soon() -> float:
    return time.monotonic() + 10


def rows(*found: dict[str, str]) -> Step:
    return answer(200, msgspec.json.encode({"result": found}))


def link(value: str, type_value: str, type_name: str) -> dict[str, str]:
    shown = {"observable.value": value, "observable.type.value": type_value, "observable.type.name": type_name}
    return {"task": TASK, "observable": SEEN, **shown}


@pytest.mark.parametrize(
    ("linked", "there"),
    [
        (link("192.0.2.1", "ipv4-addr", ""), True),
        (link("192.0.2.1", "", "IP address (V4)"), True),
        (link("192.0.2.1", "domain-name", "Domain name"), False),
        (link("192.0.2.1", "", ""), False),
        (link("192.0.2.2", "ipv4-addr", "IP address (V4)"), False),
    ],
    ids=["by its type's value", "by its type's name", "of another type", "of no type", "another value"],
)
def test_what_is_linked_is_told_by_value_and_type(linked: dict[str, str], there: bool) -> None:
    with ScriptedServer(rows(linked)) as server, process(server.url) as observables:
        assert observables.are_linked(TASK, [ADDRESS], deadline=soon()) is there


@pytest.mark.parametrize(
    "row", [{"value": "192.0.2.1", "type": OTHER}, {"value": "192.0.2.2", "type": TYPE}], ids=["type", "value"]
)
def test_an_observable_of_another_type_or_value_than_was_asked_for_is_not_linked(row: dict[str, str]) -> None:
    steps = rows(), rows({"sys_id": TYPE, "value": "ipv4-addr"}), rows({"sys_id": SEEN, **row})
    with (
        ScriptedServer(*steps) as server,
        process(server.url) as observables,
        pytest.raises(Permanent, match="Rows of sn_ti_observable came back that were not asked for") as caught,
    ):
        observables.link(TASK, [ADDRESS], deadline=soon)
    assert caught.value.code == "lookup_unusable"


def test_an_observable_that_another_process_makes_meanwhile_is_linked_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look and find none; the other is the first to insert."""
    with (
        SimulatorServer(clock=lambda: NOW) as server,
        process(server.url) as one,
        process(server.url) as other,
    ):
        tasks = [server.simulator.person_creates("sn_si_incident")["sys_id"] for _ in range(2)]
        insert = TableApi.insert

        def after_the_other(api: TableApi, table: str, fields: dict[str, str], *, deadline: float) -> str:
            monkeypatch.setattr(TableApi, "insert", insert)
            other.link(tasks[1], [ADDRESS], deadline=soon)
            server.simulator.offset += timedelta(seconds=1)
            return insert(api, table, fields, deadline=deadline)

        monkeypatch.setattr(TableApi, "insert", after_the_other)
        one.link(tasks[0], [ADDRESS], deadline=soon)
        links = server.simulator.records("sn_ti_m2m_task_observable")
        oldest = server.simulator.records("sn_ti_observable")[0]
        assert [row["task"] for row in links] == [tasks[1], tasks[0]]
        assert {row["observable"] for row in links} == {oldest["sys_id"]}
