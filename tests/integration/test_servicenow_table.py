"""The Table API's rules, over real sockets, against answers written out by hand."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from scripted_server import ScriptedServer, Step, answer

from bridge.errors import Ambiguous, Permanent
from bridge.servicenow.client import Client
from bridge.servicenow.table import RECORD_FIELDS, TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
A, B = "a" * 32, "b" * 32
GONE = answer(404, b'{"error": {"message": "No Record found", "detail": "Record doesn\'t exist"}}')


@contextmanager
def served(*steps: Step) -> Iterator[tuple[TableApi, ScriptedServer]]:
    with ScriptedServer(*steps) as server:
        password = Secret(kind="env", name="UNUSED")
        auth = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=password)
        client = Client(Instance(name="test", url=server.url, auth=auth), clock=lambda: NOW, monotonic=time.monotonic)
        try:
            yield TableApi(client), server
        finally:
            client.close()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secret, "read", lambda _secret: b"secret")


def soon() -> float:
    return time.monotonic() + 10


def result(value: object, *headers: str, status: int = 200) -> Step:
    return answer(status, msgspec.json.encode({"result": value}), *headers)


def asked(server: ScriptedServer) -> dict[str, str]:
    target = server.requests[-1].split(b" ")[1].decode()
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


def row(sys_id: str, correlation_id: str = "id-1", created: str = "2026-01-01 00:00:00") -> dict[str, str]:
    return {"sys_id": sys_id, "correlation_id": correlation_id, "sys_created_on": created}


def test_a_record_is_read_with_the_fields_that_were_asked_for() -> None:
    reference = {"link": "https://x.example/api", "value": B}
    with served(result({"sys_id": A, "number": "INC1", "state": "2", "caller_id": reference})) as (api, server):
        record = api.read("incident", A, fields=["caller_id", "state"], deadline=soon())
        assert asked(server)["sysparm_fields"] == ",".join((*RECORD_FIELDS, "caller_id"))
    assert record is not None
    assert (record.number, record.state, record.text("caller_id")) == ("INC1", "2", B)


def test_a_record_that_is_gone_reads_as_none() -> None:
    with served(GONE) as (api, _):
        assert api.read("incident", A, deadline=soon()) is None


def test_a_write_to_a_record_that_is_gone_is_permanent() -> None:
    with served(GONE) as (api, _), pytest.raises(Permanent) as caught:
        api.update("incident", A, {"work_notes": "x"}, deadline=soon())
    assert caught.value.code == "record_gone"


def test_another_record_than_the_one_asked_for_is_not_believed() -> None:
    with served(result({"sys_id": B})) as (api, _), pytest.raises(Permanent) as caught:
        api.read("incident", A, deadline=soon())
    assert caught.value.code == "lookup_unusable"


def test_what_is_found_comes_oldest_first_and_case_does_not_count() -> None:
    rows = [row(B, created="2026-01-02 00:00:00"), row(A, "ID-1")]
    with served(result(rows, "X-Total-Count: 2")) as (api, server):
        assert [record.sys_id for record in api.find("incident", "id-1", deadline=soon())] == [A, B]
        query = asked(server)
    assert query["sysparm_query"] == "correlation_id=id-1^ORDERBYsys_created_on^ORDERBYsys_id"
    assert query["sysparm_exclude_reference_link"] == "true"


def test_nothing_found_is_an_empty_list() -> None:
    with served(result([], "X-Total-Count: 0")) as (api, _):
        assert api.find("incident", "id-1", deadline=soon()) == []


@pytest.mark.parametrize(
    "step",
    [
        result([row(A), row(B, "another")]),
        result([{"sys_id": A}]),
        result([{"correlation_id": "id-1"}]),
        result([row(A)], "X-Total-Count: 2"),
        result([], "X-Total-Count: 1"),
        result([row(f"{number:032x}") for number in range(1000)]),
    ],
    ids=["an ignored query", "a hidden field", "no sys_id", "a hidden row", "only a hidden row", "too many"],
)
def test_a_look_up_that_cannot_be_trusted_is_never_not_found(step: Step) -> None:
    with served(step) as (api, _), pytest.raises(Permanent) as caught:
        api.find("incident", "id-1", deadline=soon())
    assert caught.value.code == "lookup_unusable"


@pytest.mark.parametrize("correlation_id", ["", "a^ORnumber=INC1", "javascript:gs.now()"])
def test_an_id_that_would_be_another_query_is_not_asked(correlation_id: str) -> None:
    with served() as (api, server), pytest.raises(Permanent) as caught:
        api.find("incident", correlation_id, deadline=soon())
    assert (caught.value.code, server.accepted) == ("lookup_unusable", 0)


def test_a_create_sends_its_fields_and_returns_the_record() -> None:
    with served(result(row(A) | {"number": "INC1", "state": "1"}, status=201)) as (api, server):
        record = api.create("incident", {"correlation_id": "id-1", "description": "ä"}, deadline=soon())
        head, body = server.requests[0].split(b"\r\n\r\n")
    assert (record.sys_id, record.number) == (A, "INC1")
    assert head.startswith(b"POST /api/now/v2/table/incident?")
    assert msgspec.json.decode(body) == {"correlation_id": "id-1", "description": "ä"}


def test_an_update_changes_one_record() -> None:
    with served(result(row(A))) as (api, server):
        assert api.update("incident", A, {"work_notes": "x"}, deadline=soon()).sys_id == A
        assert server.requests[0].startswith(f"PATCH /api/now/v2/table/incident/{A}?".encode())


def test_an_update_that_answers_with_another_record_is_ambiguous() -> None:
    with served(result(row(B))) as (api, _), pytest.raises(Ambiguous) as caught:
        api.update("incident", A, {"work_notes": "x"}, deadline=soon())
    assert caught.value.code == "foreign_answer"


@pytest.mark.parametrize(
    ("table", "parent"), [("incident", "parent_incident"), ("sn_si_incident", "parent_security_incident")]
)
def test_open_children_are_asked_for_by_the_tables_parent_field(table: str, parent: str) -> None:
    with served(result([{"sys_id": B, parent: A, "active": "true", "state": "1"}])) as (api, server):
        assert api.has_open_children(table, A, ended={"7", "6"}, deadline=soon())
        assert asked(server)["sysparm_query"] == f"{parent}={A}^active=true^stateNOT IN6,7"


def test_no_open_children_is_an_empty_list() -> None:
    with served(result([])) as (api, _):
        assert not api.has_open_children("incident", A, ended={"6"}, deadline=soon())


@pytest.mark.parametrize("shown", [{"parent_incident": ""}, {"active": "false"}, {"state": "6"}])
def test_a_child_that_was_not_asked_for_shows_that_the_query_was_ignored(shown: dict[str, str]) -> None:
    other = result([{"sys_id": B, "parent_incident": A, "active": "true", "state": "1"} | shown])
    with served(other) as (api, _), pytest.raises(Permanent):
        api.has_open_children("incident", A, ended={"6"}, deadline=soon())


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        (result({"sys_id": A, "work_notes": "2026-01-01 - Bridge (Work notes)\nAgain [r1]\n\n"}), True),
        (result({"sys_id": A, "work_notes": "2026-01-01 - Bridge (Work notes)\nAgain [r2]\n\n"}), False),
        (result({"sys_id": A, "work_notes": ""}), False),
        (result({"sys_id": A}), None),
        (GONE, None),
        (answer(403, b"{}"), None),
    ],
    ids=["there", "another's", "no notes", "a hidden field", "gone", "refused"],
)
def test_a_note_is_there_or_not_or_cannot_be_read(step: Step, seen: bool | None) -> None:
    with served(step) as (api, server):
        assert api.has_note("incident", A, "[r1]", deadline=soon()) is seen
        assert asked(server)["sysparm_display_value"] == "true"


@pytest.mark.parametrize(("shown", "total"), [(1, 1), (2, 2), (5, 9)], ids=["one", "all", "as many as asked for"])
def test_all_rows_are_all_that_match_or_as_many_as_were_asked_for(shown: int, total: int) -> None:
    with served(result([{"name": "a"}] * shown, f"X-Total-Count: {total}")) as (api, _):
        assert len(api.all_rows("sys_choice", "name=a", ("name",), 5, soon())) == shown


def test_a_part_of_the_rows_is_not_taken_for_all() -> None:
    with served(result([{"name": "a"}], "X-Total-Count: 3")) as (api, _), pytest.raises(Permanent) as caught:
        api.all_rows("sys_choice", "name=a", ("name",), 5, soon())
    assert (caught.value.code, caught.value.message) == (
        "partly_hidden",
        "Of 3 rows of sys_choice 1 is shown to the integration user.",
    )


def test_the_url_for_a_person_keeps_the_inner_query_together() -> None:
    with served() as (api, server):
        assert api.record_url("incident", A) == f"{server.url}/nav_to.do?uri=incident.do%3Fsys_id%3D{A}"
