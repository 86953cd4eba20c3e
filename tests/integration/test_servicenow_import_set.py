"""The Import Set API's answers, over real sockets, written out by hand: what each means for the record."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from scripted_server import ScriptedServer, Step, answer

from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.client import Client
from bridge.servicenow.import_set import ImportSetWay
from bridge.servicenow.record import Record
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret, Staging, Target, Write

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
A, B = "a" * 32, "b" * 32
FIELDS = {"correlation_id": "id-1", "correlation_display": "Probe · 0a1b", "u_extra": "x", "state": "2"}
OURS = {"sys_id": A, "number": "INC1", "state": "2"} | {name: FIELDS[name] for name in list(FIELDS)[:2]}
KEY = {"correlation_id": "id-1"}
BEFORE = Record(sys_id=A, number="INC1", state="1", fields={"sys_created_by": "bridge", "sys_mod_count": "1"})


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secret, "read", lambda _secret: b"secret")


@contextmanager
def served(*steps: Step) -> Iterator[tuple[ImportSetWay, ScriptedServer]]:
    target = Target(
        name="t", instance="test", table="incident", write=Write.IMPORT_SET, staging=Staging(table="u_stage")
    )
    with ScriptedServer(*steps) as server:
        password = Secret(kind="env", name="UNUSED")
        auth = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=password)
        client = Client(Instance(name="test", url=server.url, auth=auth), clock=lambda: NOW, monotonic=time.monotonic)
        try:
            yield ImportSetWay(target, TableApi(client)), server
        finally:
            client.close()


def soon() -> float:
    return time.monotonic() + 10


def refusal_of(way: ImportSetWay, fields: dict[str, str]) -> str | None:
    """The code of an update that was refused."""
    try:
        way.update(BEFORE, fields, key=KEY, deadline=soon())
    except Permanent as error:
        return error.code
    return None


def record(**fields: str) -> Step:
    return answer(200, msgspec.json.encode({"result": OURS | fields}))


def imported(*results: object, status: int = 201) -> Step:
    return answer(status, msgspec.json.encode({"import_set": "ISET1", "staging_table": "u_stage", "result": results}))


def one(status: str, **more: object) -> dict[str, object]:
    return {"transform_map": "M", "table": "incident", "status": status, "display_value": "INC1", "sys_id": A} | more


def test_fields_go_with_their_prefix_but_for_those_that_have_it_already() -> None:
    with served(imported(one("inserted")), record()) as (way, server):
        made = way.create(FIELDS, deadline=soon()).record
        head, body = server.requests[0].split(b"\r\n\r\n")
    assert (made.sys_id, made.number) == (A, "INC1")
    assert head.startswith(b"POST /api/now/import/u_stage ")
    assert msgspec.json.decode(body) == {
        "u_correlation_id": "id-1",
        "u_correlation_display": "Probe · 0a1b",
        "u_extra": "x",
        "u_state": "2",
    }


@pytest.mark.parametrize(
    ("statuses", "there"),
    [(["inserted"], False), (["Inserted"], False), (["updated"], True), (["inserted", "updated"], False)],
    ids=["inserted", "Inserted", "updated", "inserted and updated"],
)
def test_what_a_map_wrote_is_read_once_and_returned_with_whether_it_was_there(statuses: list[str], there: bool) -> None:
    with served(imported(*(one(status) for status in statuses)), record()) as (way, server):
        made = way.create(FIELDS, deadline=soon())
        assert (made.record.sys_id, made.there) == (A, there)
        assert [request.split(b" ")[0] for request in server.requests] == [b"POST", b"GET"]


ANSWERS: dict[str, tuple[tuple[Step, ...], type[BridgeError], str]] = {
    "an error": ((imported(one("error", sys_id="", error_message="No")),), Permanent, "import_error"),
    "an error of no map": ((imported({"transform_map": "", "status": "error"}),), Permanent, "import_error"),
    "no result at all": ((imported(),), Permanent, "import_error"),
    "a status that nobody knows": ((imported(one("perhaps")),), Permanent, "import_error"),
    "only another table's": ((imported(one("inserted", table="problem")),), Permanent, "import_error"),
    "written, and no sys_id": ((imported(one("inserted", sys_id="")),), Ambiguous, "no_sys_id"),
    "not a list of results": ((answer(201, b'{"result": [1]}'),), Ambiguous, "unreadable_answer"),
    "the answer of another API": ((answer(201, b'{"result": {"sys_id": "a"}}'),), Ambiguous, "unreadable_answer"),
    "a page": ((answer(200, b"<html>", content_type="text/html"),), Ambiguous, "html_answer"),
    "no such staging table": (
        (answer(400, b'{"error": {"message": "Invalid table u_stage", "detail": null}}'),),
        Permanent,
        "invalid_table",
    ),
    "turned away": ((answer(429, b"{}"),), Transient, "rate_limited"),
    "a record that cannot be read": ((imported(one("inserted")), answer(503, b"{}")), Ambiguous, "unverified"),
    "a record that may not be read": (
        (imported(one("inserted")), answer(403, b'{"error": {"message": "Insufficient rights"}}')),
        Ambiguous,
        "unverified",
    ),
    "a record that is not there": (
        (imported(one("inserted")), answer(404, b'{"error": {"message": "No Record found"}}')),
        Ambiguous,
        "unverified",
    ),
    "a record without our mark": (
        (imported(one("inserted")), record(correlation_display="")),
        Permanent,
        "id_not_carried",
    ),
    "two records": (
        (imported(one("inserted"), one("inserted", sys_id=B, display_value="INC2")),),
        Permanent,
        "several_records",
    ),
    "left, and nothing there": (
        (imported(one("ignored", sys_id="")), answer(200, b'{"result": []}', "X-Total-Count: 0")),
        Permanent,
        "import_left",
    ),
}


@pytest.mark.parametrize(("steps", "kind", "code"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_to_a_create_has_one_meaning(steps: tuple[Step, ...], kind: type[BridgeError], code: str) -> None:
    with served(*steps) as (way, _), pytest.raises(kind) as caught:
        way.create(FIELDS, deadline=soon())
    assert caught.value.code == code


@pytest.mark.parametrize(("status", "made"), [("inserted", (A, "INC1")), ("updated", None)])
def test_what_an_import_made_and_nobody_could_read_is_named(status: str, made: tuple[str, str] | None) -> None:
    hidden = answer(404, b'{"error": {"message": "No Record found"}}')
    with served(imported(one(status)), hidden) as (way, _), pytest.raises(Ambiguous) as caught:
        way.create(FIELDS, deadline=soon())
    assert caught.value.made == made


def test_a_row_that_was_left_because_ours_is_there_is_ours() -> None:
    listed = answer(200, msgspec.json.encode({"result": [OURS]}), "X-Total-Count: 1")
    with served(imported(one("skipped", sys_id="")), listed) as (way, _):
        made = way.create(FIELDS, deadline=soon())
        assert (made.record.sys_id, made.there) == (A, True)


def test_one_map_that_fails_beside_one_that_wrote_is_none_of_ours() -> None:
    results = one("error", table="problem", sys_id=""), one("inserted")
    with served(imported(*results), record()) as (way, _):
        assert way.create(FIELDS, deadline=soon()).record.sys_id == A


def test_an_update_carries_the_key_and_must_come_back_with_the_same_record() -> None:
    with served(imported(one("updated")), record()) as (way, server):
        assert way.update(BEFORE, {"state": "2"}, key=KEY, deadline=soon()).sys_id == A
        assert msgspec.json.decode(server.requests[0].split(b"\r\n\r\n")[1]) == {
            "u_state": "2",
            "u_correlation_id": "id-1",
        }


def test_an_update_that_made_another_record_is_told() -> None:
    made = imported(one("inserted", sys_id=B)), record(sys_id=B, number="INC2")
    with served(*made) as (way, _), pytest.raises(Permanent, match="made INC2 instead") as caught:
        way.update(BEFORE, {"state": "2"}, key=KEY, deadline=soon())
    assert caught.value.code == "not_coalesced"


def test_an_update_whose_state_did_not_arrive_is_told() -> None:
    with served(imported(one("updated")), record(state="1")) as (way, _), pytest.raises(Permanent) as caught:
        way.update(BEFORE, {"state": "6"}, key=KEY, deadline=soon())
    assert caught.value.code == "state_not_carried"


@pytest.mark.parametrize(
    ("saves", "code"), [("2", "state_not_carried"), ("3", None)], ids=["ours alone", "another after"]
)
def test_a_state_that_somebody_changed_before_it_was_read_back_had_arrived(saves: str, code: str | None) -> None:
    shown = record(state="1", sys_created_by="bridge", sys_updated_by="fred", sys_mod_count=saves)
    with served(imported(one("updated")), shown) as (way, _):
        assert refusal_of(way, {"state": "6"}) == code


def test_an_update_that_was_left_because_all_is_so_already_is_done() -> None:
    with served(imported(one("ignored", sys_id="")), record()) as (way, _):
        assert way.update(BEFORE, {"state": "2"}, key=KEY, deadline=soon()).sys_id == A


@pytest.mark.parametrize(("notes", "code"), [("x [ref1]", None), ("x", "import_left")], ids=["there", "missing"])
def test_a_note_of_a_row_that_was_left_is_looked_for(notes: str, code: str | None) -> None:
    shown = answer(200, msgspec.json.encode({"result": {"sys_id": A, "work_notes": notes}}))
    with served(imported(one("ignored", sys_id="")), record(), shown) as (way, _):
        assert refusal_of(way, {"work_notes": "Again.\n[ref1]"}) == code
