"""The client against the simulator: that both mean the same Table API."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge.errors import Permanent, Transient
from bridge.mapping.rendered import Find
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi, display_of, is_ours
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret
from bridge.simulator.server import SimulatorServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = {"correlation_id": "id-1", "correlation_display": display_of("Elastic", "prod"), "short_description": "x"}


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=lambda: NOW, security_incidents=False) as server:
        yield server


@pytest.fixture
def api(servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TableApi]:
    monkeypatch.setattr(Secret, "read", lambda _secret: servicenow.password.encode())
    password = Secret(kind="env", name="UNUSED")
    auth = InstanceAuth(scheme=AuthScheme.BASIC, username=servicenow.username, password=password)
    client = Client(Instance(name="test", url=servicenow.url, auth=auth), clock=lambda: NOW, monotonic=time.monotonic)
    yield TableApi(client)
    client.close()


def soon() -> float:
    return time.monotonic() + 10


def test_what_is_created_is_read_and_found_and_ours(api: TableApi) -> None:
    created = api.create("incident", OURS, deadline=soon())
    assert created.http_status == 201
    assert api.read("incident", created.sys_id, deadline=soon()) == replace(created, http_status=None)
    (found,) = api.find("incident", "ID-1", deadline=soon())
    assert found.sys_id == created.sys_id
    assert is_ours(found, correlation_id="id-1", installation="prod")


def test_all_records_of_one_id_are_found_and_no_others(api: TableApi) -> None:
    twins = {api.create("incident", OURS, deadline=soon()).sys_id for _ in range(2)}
    api.create("incident", OURS | {"correlation_id": "id-2"}, deadline=soon())
    assert {record.sys_id for record in api.find("incident", "id-1", deadline=soon())} == twins


def test_a_note_is_seen_after_it_was_written(api: TableApi) -> None:
    sys_id = api.create("incident", OURS, deadline=soon()).sys_id
    assert api.has_note("incident", sys_id, "[r1]", deadline=soon()) is False
    api.update("incident", sys_id, {"work_notes": "Again [r1]"}, deadline=soon())
    assert api.has_note("incident", sys_id, "[r1]", deadline=soon()) is True


def test_an_open_child_is_seen(api: TableApi) -> None:
    parent = api.create("incident", OURS, deadline=soon()).sys_id
    assert not api.has_open_children("incident", parent, ended={"6"}, deadline=soon())
    child = api.create("incident", {"short_description": "child", "parent_incident": parent}, deadline=soon())
    assert api.has_open_children("incident", parent, ended={"6"}, deadline=soon())
    resolved = {"state": "6", "close_code": "Solution provided", "close_notes": "Done."}
    assert api.update("incident", child.sys_id, resolved, deadline=soon()).text("active") == "true"
    assert not api.has_open_children("incident", parent, ended={"6"}, deadline=soon())


def test_a_close_without_its_fields_names_them(api: TableApi) -> None:
    sys_id = api.create("incident", OURS, deadline=soon()).sys_id
    with pytest.raises(Permanent, match="Resolution code") as caught:
        api.update("incident", sys_id, {"state": "6"}, deadline=soon())
    assert caught.value.code == "data_policy"


def test_a_record_that_is_not_there_reads_as_none(api: TableApi) -> None:
    assert api.read("incident", "0" * 32, deadline=soon()) is None


def test_a_group_that_is_not_there_is_not_found(api: TableApi) -> None:
    assert api.look_up(Find(table="sys_user_group", by=(("name", "No such group"),)), deadline=soon()) is None


def test_a_missing_plugin_is_named(api: TableApi) -> None:
    with pytest.raises(Permanent, match="SIR is not installed"):
        api.create("sn_si_incident", OURS, deadline=soon())


def test_an_instance_that_is_down_has_not_applied_anything(api: TableApi, servicenow: SimulatorServer) -> None:
    servicenow.down()
    with pytest.raises(Transient) as caught:
        api.create("incident", OURS, deadline=soon())
    assert caught.value.code == "connect_failed"
