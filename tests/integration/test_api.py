"""/api/v1 over HTTP, in process, on both engines: who is let in, what the log then tells, and that all is described."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from export_world import KEY, Log
from flask import Flask
from flask.testing import FlaskClient
from intake_world import alert
from sqlalchemy import event, select

from bridge.errors import Transient
from bridge.log.note import opened, verifier, vkey
from bridge.store import tokens
from bridge.store.log_list import log_page
from bridge.store.signins import ADDRESSES_MAX, SignIns
from bridge.store.tables import log_entries
from bridge.web.api import ALLOWED, AT_ONCE_MAX, LOG_PARAMETERS, api
from bridge.web.app import create_app
from bridge.web.openapi import PREFIX, document


class Reader:
    """A program that reads over the API of a store."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.later = timedelta()  # than now, by the API's clock
        self.signins = SignIns(log.store)
        self.app: Flask = create_app(api(store=log.store, signins=self.signins, clock=self.clock))
        self.http: FlaskClient = self.app.test_client()
        self.token = ""

    def clock(self) -> datetime:
        return self.log.store.moment() + self.later

    def sign_in(self, name: str = "siem", role: str = "auditor") -> None:
        self.token = self.log.run("token", "create", name, "--role", role).strip()

    def get(self, path: str, *, status: int = 200, address: str = "192.0.2.1", **headers: str) -> Any:
        given = headers or ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        answer = self.http.get(f"{PREFIX}{path}", headers=given, environ_overrides={"REMOTE_ADDR": address})
        assert answer.status_code == status, answer.text
        return json.loads(answer.data)

    def told(self, action: str) -> list[dict[str, Any]]:
        return [entry for _, entry in self.log.stored() if entry["action"] == action]


@pytest.fixture
def reader(log: Log) -> Reader:
    return Reader(log)


# --- who is let in


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "no_token"),
        ("", "no_token"),
        ("Bearer", "no_token"),
        ("Bearer ", "no_token"),
        ("Basic aWJ0XzE6", "no_token"),
        ("Bearer nonsense", "unknown_token"),
        ("Bearer ibt_nonsense", "unknown_token"),
        ("Bearer ibt_" + "x" * 4000, "unknown_token"),
        ("Bearer ibt_\u00e9", "unknown_token"),
    ],
)
def test_without_a_token_of_ours_nothing_is_told(reader: Reader, header: str | None, code: str) -> None:
    reader.log.write("a")
    headers = {} if header is None else {"Authorization": header}
    answer = reader.http.get(f"{PREFIX}/log", headers=headers)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert answer.json is not None
    assert answer.json["code"] == code
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_the_scheme_may_be_written_in_any_case(reader: Reader) -> None:
    reader.sign_in()
    reader.get("/log", Authorization=f"bearer {reader.token}")


def test_an_expired_token_is_refused_by_the_stores_clock(reader: Reader) -> None:
    reader.sign_in()
    reader.later = timedelta(days=90)
    assert reader.get("/log", status=401)["code"] == "expired_token"


def test_a_token_that_is_revoked_is_refused_from_the_next_request_on(reader: Reader) -> None:
    reader.sign_in()
    reader.get("/log")
    reader.log.run("token", "revoke", "siem")
    assert reader.get("/log", status=401)["code"] == "revoked_token"


def test_a_new_role_holds_from_the_next_request_on(reader: Reader) -> None:
    reader.sign_in(role="engineer")
    assert reader.get("/log", status=403)["code"] == "role_not_allowed"
    reader.log.run("token", "role", "siem", "auditor")
    reader.get("/log")


def test_every_view_under_api_says_which_roles_may_ask_for_it(reader: Reader) -> None:
    views = {rule.endpoint.partition("api.")[2] for rule in reader.app.url_map.iter_rules()}
    assert views == ALLOWED.keys()


def test_a_view_that_no_role_is_named_for_answers_nobody(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.sign_in(role="admin")
    monkeypatch.delitem(ALLOWED, "log")
    reader.get("/log", status=403)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(reader: Reader, method: str) -> None:
    reader.sign_in(role="admin")
    answer = reader.http.open(f"{PREFIX}/log", method=method, headers={"Authorization": f"Bearer {reader.token}"})
    assert answer.status_code == 405


# --- what the log tells of it


def test_a_use_of_a_token_is_a_sign_in_once_an_hour_for_each_address(reader: Reader) -> None:
    reader.sign_in()
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        reader.get("/openapi.json", address=address)
    reader.later = timedelta(hours=2)
    reader.get("/openapi.json", address="192.0.2.2")
    signed_in = reader.told("signed_in")
    assert [entry["address"] for entry in signed_in] == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    assert {(entry["actor"], entry["known_by"]) for entry in signed_in} == {("token:siem", "api_token")}
    assert signed_in[0]["detail"] == {"role": "auditor"}


def test_refused_sign_ins_are_counted_and_told_by_token_and_reason(reader: Reader) -> None:
    reader.sign_in(role="engineer")
    reader.get("/log", status=403)
    for number in range(ADDRESSES_MAX + 2):
        reader.get("/log", status=401, address=f"192.0.2.{number}", Authorization="Bearer ibt_guess")
    assert reader.told("sign_in_refused") == []
    reader.signins.flush()
    reader.signins.flush()
    by_reason = {entry["reason"]: entry for entry in reader.told("sign_in_refused")}
    assert len(reader.told("sign_in_refused")) == 2
    known, unknown = by_reason["role_not_allowed"], by_reason["unknown_token"]
    assert (known["actor"], known["known_by"], known["detail"]["requests"]) == ("token:siem", "api_token", 1)
    assert (unknown["actor"], unknown["known_by"]) == ("token:unknown", "claim")
    assert unknown["detail"] == {"requests": 7, "addresses": [f"192.0.2.{number}" for number in range(ADDRESSES_MAX)]}


def test_refused_sign_ins_that_cannot_be_told_now_are_told_later(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise Transient("store_unavailable", "the database is read-only")

    reader.get("/log", status=401)
    with monkeypatch.context() as broken:
        broken.setattr(reader.log.store, "in_transaction", refuse)
        with pytest.raises(Transient):
            reader.signins.flush()
    reader.get("/log", status=401)
    reader.signins.flush()
    (entry,) = reader.told("sign_in_refused")
    assert entry["detail"] == {"requests": 2, "addresses": ["192.0.2.1"]}


def test_whoever_guesses_costs_the_store_no_write(reader: Reader) -> None:
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE")):
            written.append(statement)

    event.listen(reader.log.store.engine, "before_cursor_execute", note)
    try:
        reader.get("/log", status=401, Authorization="Bearer ibt_guess")
    finally:
        event.remove(reader.log.store.engine, "before_cursor_execute", note)
    assert written == []


def test_reading_is_an_entry_with_what_was_asked_for(reader: Reader) -> None:
    reader.sign_in()
    reader.log.write("a", "b")
    reader.get("/log?action=resumed&limit=2")
    (entry,) = reader.told("log_read")
    assert (entry["actor"], entry["address"]) == ("token:siem", "192.0.2.1")
    assert entry["detail"] == {"entries": 2, "filter": {"action": "resumed", "limit": "2"}}


def test_what_cannot_be_noted_is_not_shown(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.sign_in()
    reader.get("/log")

    def refuse(*_: Any) -> None:
        raise Transient("store_unavailable", "the database is read-only")

    monkeypatch.setattr("bridge.web.api.append", refuse)
    answer = reader.get("/log", status=503)
    assert answer["message"] == "The database does not do this now. Ask again; /readyz says why."


def test_a_token_that_is_ended_while_a_page_is_read_is_shown_nothing(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.sign_in()
    reader.get("/log")

    def ended_meanwhile(*given: Any, **more: Any) -> Any:
        found = log_page(*given, **more)
        reader.log.store.in_transaction(
            lambda tx: tokens.revoke(tx, "siem", reason="", actor="cli:robin", now=reader.clock())
        )
        return found

    monkeypatch.setattr("bridge.web.api.log_page", ended_meanwhile)
    assert reader.get("/log", status=401)["code"] == "revoked_token"
    assert len(reader.told("log_read")) == 1


def test_more_readers_than_there_are_turns_are_told_to_come_again(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.sign_in()
    monkeypatch.setattr("bridge.web.api.AT_ONCE_MAX", 0)
    other = create_app(api(store=reader.log.store, signins=reader.signins, clock=reader.clock)).test_client()
    answer = other.get(f"{PREFIX}/log", headers={"Authorization": f"Bearer {reader.token}"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_turn_is_given_back_however_a_request_ends(reader: Reader) -> None:
    reader.sign_in()
    for _ in range(AT_ONCE_MAX + 1):
        reader.get("/log?limit=1")
        reader.get("/log?limit=0", status=400)
        reader.get("/log", status=401, Authorization="Bearer ibt_guess")


# --- what is told


def test_the_pages_have_every_entry_once_the_newest_first(reader: Reader) -> None:
    reader.sign_in()
    reader.log.write(*"abcdefg")
    path, found = "/log?limit=3&action=resumed", []
    while path:
        page = reader.get(path)
        found += [entry["entry"]["actor"] for entry in page["entries"]]
        path = (page["next"] or "").removeprefix(PREFIX)
    assert found == list("gfedcba")


@pytest.mark.parametrize(("bound", "value"), [("LOOKED_AT_MAX", 2), ("PAGE_BYTES_MAX", 150)])
def test_a_page_ends_early_where_it_would_be_much_work_and_the_next_goes_on(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    reader.sign_in()
    reader.log.write(*"abcdefg")
    monkeypatch.setattr(f"bridge.store.log_list.{bound}", value)
    path, found, pages = "/log?action=resumed", [], 0
    while path:
        page = reader.get(path)
        found += [entry["entry"]["actor"] for entry in page["entries"]]
        path = (page["next"] or "").removeprefix(PREFIX)
        pages += 1
    assert found == list("gfedcba")
    assert pages > 3


def test_an_entry_has_the_index_under_which_it_is_sealed(reader: Reader) -> None:
    reader.sign_in()
    reader.log.write("a")
    assert [one["index"] for one in reader.get("/log?action=resumed")["entries"]] == [None]
    reader.log.export()
    assert [one["index"] for one in reader.get("/log?action=resumed")["entries"]] == [1]


def test_an_entry_is_told_as_it_is_stored(reader: Reader) -> None:
    reader.sign_in()
    reader.log.write("a")
    with reader.log.store.reading() as tx:
        stored = tx.execute(select(log_entries.c.entry).where(log_entries.c.action == "resumed")).scalar_one()
    answer = reader.http.get(f"{PREFIX}/log", headers={"Authorization": f"Bearer {reader.token}"})
    assert bytes(stored) in answer.data


def test_the_entries_of_a_correlation_are_found_with_its_deliveries(reader: Reader) -> None:
    reader.sign_in()
    reader.log.take(alert("r1"))
    reader.log.take(alert("r2"))
    found = reader.get("/log?correlation=r1")["entries"]
    assert [one["entry"]["action"] for one in found] == ["delivered"]
    assert found[0]["entry"]["detail"]["alerts"][0]["correlation_id"] == "r1"


def test_entries_of_a_time_begin_with_since_and_end_before_until(reader: Reader) -> None:
    reader.sign_in()
    begin = reader.log.store.moment().replace(microsecond=0) - timedelta(hours=3)
    for minute in range(4):
        reader.log.write(f"minute {minute}", at=begin + timedelta(minutes=minute))
    since, until = ((begin + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ") for minute in (1, 3))
    found = reader.get(f"/log?since={since}&until={until}")["entries"]
    assert [one["entry"]["actor"] for one in found] == ["minute 2", "minute 1"]


def test_the_checkpoint_is_the_signed_note(reader: Reader) -> None:
    reader.sign_in()
    assert reader.get("/log/checkpoint", status=404)["code"] == "no_checkpoint"
    reader.log.export()
    told = reader.get("/log/checkpoint")
    origin = told["checkpoint"].partition("\n")[0]
    assert opened(told["checkpoint"], [verifier(vkey(origin, KEY.public_key()))]).size == told["size"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "limit is a whole number from 1 to 1000, and not 0."),
        ("limit=1001", "limit is a whole number"),
        ("limit=-1", "limit is a whole number"),
        ("limit=%D9%A1", "limit is a whole number"),
        ("limit=1&limit=2", "limit is given 2 times."),
        ("before=x", "before is a whole number"),
        ("before=" + "9" * 30, "before is a whole number"),
        ("since=yesterday", "since is a time with its zone"),
        ("since=2026-11-26T08:30:00", "since is a time with its zone"),
        ("until=0001-01-01T00:00:00%2B23:59", "until is a time with its zone"),
        ("source=", "source is empty"),
        ("source=" + "x" * 1001, "source is empty, longer than 1000 characters"),
        ("source=a%00b", "or has a zero byte"),
        ("action=nonsense", "nonsense is no action; known: delivered, "),
        ("since=2026-11-26T00:00:00Z&until=2026-11-26T00:00:00Z", "since is not before until"),
        ("actor=a", "There is no parameter actor; known: limit, "),
    ],
)
def test_a_query_that_cannot_be_heeded_is_refused_with_a_sentence(reader: Reader, query: str, says: str) -> None:
    reader.sign_in()
    assert says in reader.get(f"/log?{query}", status=400)["message"]


def test_everything_is_described_and_nothing_else(reader: Reader) -> None:
    reader.sign_in()
    described = reader.get("/openapi.json")
    (parameters,) = (one["get"]["parameters"] for one in described["paths"].values() if "parameters" in one["get"])
    assert tuple(one["name"] for one in parameters) == LOG_PARAMETERS
    assert set(described["paths"]) == {rule.rule for rule in reader.app.url_map.iter_rules()}


def test_the_description_names_the_roles_of_each(reader: Reader) -> None:
    paths = document()["paths"]
    for rule in reader.app.url_map.iter_rules():
        may = ", ".join(role for role in ("auditor", "engineer", "admin") if role in ALLOWED[rule.endpoint[4:]])
        assert paths[rule.rule]["get"]["description"] == f"Roles: {may}."
