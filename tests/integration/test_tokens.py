"""`bridge token`, on both engines: what is made, shown once, changed and ended, and what the log tells of it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from export_world import Log
from sqlalchemy import select

from bridge.cli.opening import actor
from bridge.cli.token import ROLES
from bridge.store import tokens as store_of_tokens
from bridge.store.token_tables import tokens
from bridge.store.tokens import TokenRole, find


def told(log: Log, action: str) -> list[dict[str, Any]]:
    return [entry for _, entry in log.stored() if entry["action"] == action]


def test_a_token_is_printed_once_and_only_its_digest_is_kept(log: Log) -> None:
    made = log.run("token", "create", "siem", "--role", "auditor").strip()
    assert made.startswith("ibt_")
    with log.store.reading() as tx:
        (row,) = tx.execute(select(tokens)).all()
    assert row.digest == hashlib.sha256(made.encode()).digest()
    assert made[4:] not in repr(row)


def test_beside_the_token_it_is_said_until_when_it_is_valid(log: Log) -> None:
    out, err = log.both("token", "create", "siem", "--role", "auditor", "--days", "1")
    assert out.count("\n") == 1
    assert err.startswith("siem: auditor, until ")
    assert err.endswith("; it is not shown again\n")


def test_each_change_is_an_entry_that_names_who_made_it(log: Log) -> None:
    log.run("token", "create", "siem", "--role", "auditor")
    log.run("token", "role", "siem", "admin")
    log.run("token", "revoke", "siem", "--reason", "it stood in a ticket")
    (created,), (changed,), (revoked,) = (told(log, f"token_{word}") for word in ("created", "role_changed", "revoked"))
    assert {entry["actor"] for entry in (created, changed, revoked)} == {actor()}
    assert {"token": "siem", "role": "auditor"}.items() <= created["detail"].items()
    assert changed["detail"] == {"token": "siem", "before": "auditor", "after": "admin"}
    assert (revoked["reason"], revoked["detail"]["role"]) == ("it stood in a ticket", "admin")


def test_no_entry_holds_the_token(log: Log) -> None:
    made = log.run("token", "create", "siem", "--role", "auditor").strip()
    assert all(made[4:] not in str(entry) for _, entry in log.stored())


def test_what_changes_nothing_is_no_entry(log: Log) -> None:
    log.run("token", "create", "siem", "--role", "auditor")
    assert log.run("token", "role", "siem", "auditor") == "siem: was auditor already\n"
    log.run("token", "revoke", "siem")
    assert log.run("token", "revoke", "siem") == "siem: was revoked already\n"
    assert (len(told(log, "token_role_changed")), len(told(log, "token_revoked"))) == (0, 1)


def test_the_list_tells_the_state_of_each(log: Log) -> None:
    for name in ("one", "two", "three"):
        log.run("token", "create", name, "--role", "engineer")
    log.run("token", "revoke", "one")
    with log.store.transaction() as tx:
        past = log.store.now(tx) - timedelta(days=1)
        tx.execute(tokens.update().where(tokens.c.name == "two").values(expires_at=past))
    assert [(one["name"], one["state"]) for one in log.json("token", "list")] == [
        ("one", "revoked"),
        ("two", "expired"),
        ("three", "valid"),
    ]
    assert "ibt_" not in log.run("token", "list")


def test_without_tokens_the_list_says_what_that_means(log: Log) -> None:
    assert log.run("token", "list") == "There are no tokens: nobody can read over the API.\n"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("create", "siem", "--role", "auditor"), 1, "names are not given twice"),
        (("create", "gone", "--role", "auditor"), 1, "names are not given twice"),
        (("create", "SIEM", "--role", "auditor"), 2, "'SIEM' is no name for a token"),
        (("create", "unknown", "--role", "auditor"), 2, "'unknown' is no name for a token"),
        (("create", "x" * 61, "--role", "auditor"), 2, "is no name for a token"),
        (("create", "new", "--role", "root"), 2, "'auditor', 'engineer', 'admin'"),
        (("create", "new", "--role", "auditor", "--days", "0"), 2, "1<=x<=366"),
        (("create", "new"), 2, "--role"),
        (("role", "nobody", "admin"), 1, "there is no token nobody: see `bridge token list`"),
        (("role", "gone", "admin"), 1, "is revoked, which is for good"),
        (("role", "old", "admin"), 1, "the token old is expired, which is for good"),
        (("revoke", "nobody"), 1, "there is no token nobody"),
        (("revoke", "siem", "--reason", "\udcff"), 2, "is no UTF-8"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(log: Log, words: tuple[str, ...], status: int, says: str) -> None:
    for name in ("siem", "gone", "old"):
        log.run("token", "create", name, "--role", "auditor")
    log.run("token", "revoke", "gone")
    with log.store.transaction() as tx:
        tx.execute(tokens.update().where(tokens.c.name == "old").values(expires_at=log.store.now(tx)))
    assert says in " ".join(log.run("token", *words, status=status).split())


def test_the_command_knows_the_roles_that_there_are() -> None:
    assert tuple(role.value for role in TokenRole) == ROLES


@pytest.mark.parametrize("presented", ["", "ibt_", "ibt_x", "Bearer", "ibt_" + "x" * 5000, "ibt_\u00e9"])
def test_what_is_no_token_is_found_to_be_none(log: Log, presented: str) -> None:
    with log.store.reading() as tx:
        assert find(tx, presented) is None


def test_a_use_is_a_sign_in_the_first_time_from_another_address_and_after_an_hour(log: Log) -> None:
    made = log.run("token", "create", "siem", "--role", "auditor").strip()
    now = log.store.moment()

    def uses(address: str, after: timedelta) -> bool:
        with log.store.transaction() as tx:
            token = find(tx, made)
            assert token is not None
            if new := store_of_tokens.is_sign_in(token, address, now + after):
                store_of_tokens.note_sign_in(tx, token, address, now + after)
            return new

    minutes = [0, 1, 2, 3, 62, 63]
    addresses = ["a", "a", "b", "b", "b", "b"]
    seen = [uses(address, timedelta(minutes=minute)) for address, minute in zip(addresses, minutes, strict=True)]
    assert seen == [True, False, True, False, True, False]
    assert [entry["address"] for entry in told(log, "signed_in")] == ["a", "b", "b"]
