"""The order of claims, and that finding the next one reads no more when more waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from intake_world import alert, delivery, library_of
from sqlalchemy import Connection, event, select, text, update

from bridge.store import due, intake
from bridge.store.engine import Store
from bridge.store.hasten import hasten
from bridge.store.held import UNSETTLED, WINDOW_OVER
from bridge.store.tables import correlations, episodes, incidents, intents
from bridge.store.work import claim

# What waits, in the order in which it is claimed, with how long it has been due.
WAITING = [("create", 10), ("second create", 5), ("close", 30), ("update", 40), ("over", 50)]
KIND = {
    "create": (False, "firing"),
    "second create": (False, "firing"),
    "close": (True, "resolved"),
    "update": (True, "firing"),
    "over": (False, "resolved"),
}


@pytest.fixture
def waiting(store: Store) -> Store:
    library = library_of(store)
    with store.transaction() as tx:
        now = store.now(tx)
        intake.commit(tx, [delivery(library, *(alert(name) for name, _minutes in WAITING), sender_id="1")], now)
        for name, minutes in WAITING:
            is_open, status = KIND[name]
            values = {"open": is_open, "status": status, "due_at": now - timedelta(minutes=minutes)}
            tx.execute(update(correlations).where(correlations.c.correlation_id == name).values(**values))
    return store


def claimed(store: Store, *, paused: tuple[str, ...] = ()) -> str | None:
    with store.transaction() as tx:
        lease = claim(tx, store.now(tx), paused=paused)
        if lease is None:
            return None
        query = correlations.select().where(correlations.c.id == lease.correlation)
        return str(tx.execute(query).one().correlation_id)


def test_creates_go_before_closes_and_closes_before_updates(waiting: Store) -> None:
    assert [claimed(waiting) for _ in WAITING] == [name for name, _minutes in WAITING]
    assert claimed(waiting) is None


def test_a_target_that_is_paused_holds_nothing_else_up(waiting: Store) -> None:
    with waiting.transaction() as tx:
        tx.execute(update(correlations).values(target="itsm"))
        tx.execute(update(correlations).where(correlations.c.correlation_id == "update").values(target="sir"))
    assert claimed(waiting, paused=("itsm",)) == "update"
    assert claimed(waiting, paused=("itsm",)) is None


@pytest.mark.parametrize("state", ["open", "ended"])
def test_an_incident_at_a_paused_target_waits_wherever_its_correlation_is_routed(waiting: Store, state: str) -> None:
    assert claimed(waiting) == "create"
    with waiting.transaction() as tx:
        tx.execute(update(incidents).values(target="sir", state=state, lease_until=None))
        tx.execute(update(correlations).values(target="itsm"))
    assert claimed(waiting, paused=("sir",)) == "second create"
    assert claimed(waiting) == "create"


def test_a_plan_at_a_paused_target_waits_no_longer_once_its_correlation_is_routed_elsewhere(waiting: Store) -> None:
    assert claimed(waiting) == "create"
    with waiting.transaction() as tx:
        tx.execute(update(incidents).values(target="sir", lease_until=None))
        tx.execute(update(correlations).values(target="itsm"))
    assert claimed(waiting, paused=("sir",)) == "create"


@pytest.mark.parametrize(
    ("outcome", "code", "is_claimed"),
    [
        (None, None, True),
        ("ambiguous", "timeout", True),
        ("applied", UNSETTLED, True),
        ("refused", "acl", False),
        ("not_applied", WINDOW_OVER, False),
    ],
    ids=["nothing noted", "ambiguous", "settled by nobody", "refused", "given up"],
)
def test_what_may_have_been_made_elsewhere_waits_for_no_paused_target(
    waiting: Store, outcome: str | None, code: str | None, *, is_claimed: bool
) -> None:
    assert claimed(waiting) == "create"
    with waiting.transaction() as tx:
        row = tx.execute(incidents.select()).one()
        tx.execute(update(incidents).values(lease_until=None))
        tx.execute(update(correlations).values(target="itsm"))
        intend(tx, row.id, "sir", outcome="ambiguous", outcome_code=None)
        intend(tx, row.id, "sir", outcome=outcome, outcome_code=code)
    assert claimed(waiting, paused=("itsm", "sir")) is None
    assert claimed(waiting, paused=("itsm",)) == ("create" if is_claimed else None)


def intend(tx: Connection, incident: int, target: str, **came_of_it: str | None) -> None:
    """A create of the incident, of which all that matters here is where it was tried and what came of it."""
    (correlation,) = tx.execute(select(episodes.c.correlation).where(episodes.c.incident == incident)).scalars()
    now = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    sent = {"ref": "0", "digest": b"", "fields": b"{}", "read_seq": 1, "settlement": b"{}", "deadline": now}
    of = {"incident": incident, "correlation": correlation, "epoch": 1, "operation": "create", "reason": "first_alert"}
    tx.execute(intents.insert().values(**of, **sent, **came_of_it, target=target, started_at=now))


def test_nothing_due_is_nothing_to_claim(waiting: Store) -> None:
    with waiting.transaction() as tx:
        tx.execute(update(correlations).values(due_at=waiting.now(tx) + timedelta(minutes=1)))
    assert claimed(waiting) is None


@pytest.mark.parametrize("paused", [(), ("itsm",)], ids=["", "some paused"])
def test_the_next_claim_is_one_statement_that_reads_ranges_of_the_index(
    waiting: Store, paused: tuple[str, ...]
) -> None:
    seen: list[tuple[str, Any]] = []
    with waiting.transaction() as tx:
        now = waiting.now(tx)
        event.listen(tx, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
        due.first_due(tx, now, paused, after="")
        ((statement, given),) = seen
        if waiting.is_sqlite:
            plan = _lines(tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given))
            wanted = "SEARCH due USING INDEX correlations_due (open=? AND status=? AND due_at<?)"
        else:
            tx.execute(text("SET LOCAL enable_seqscan = off"))  # its choice for a handful of rows
            plan = _lines(tx.exec_driver_sql(f"EXPLAIN {statement}", given))
            wanted = "Index Scan using correlations_due"
    assert plan.count(wanted) == len(due.ORDER)
    assert "SCAN due" not in plan
    assert "SCAN incidents" not in plan
    assert "Seq Scan" not in plan


def test_what_waits_out_a_failure_is_found_without_a_look_at_every_incident(waiting: Store) -> None:
    seen: list[tuple[str, Any]] = []
    with waiting.transaction() as tx:
        now = waiting.now(tx)
        event.listen(tx, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
        hasten(tx, ["unauthenticated"], ["itsm"], now)
        explain = "EXPLAIN QUERY PLAN" if waiting.is_sqlite else "EXPLAIN"
        plans = [_lines(tx.exec_driver_sql(f"{explain} {statement}", given)) for statement, given in list(seen)]
    one_by_one = "CORRELATED SCALAR SUBQUERY" if waiting.is_sqlite else "SubPlan"
    assert [one_by_one in plan for plan in plans] == [True, True]


def _lines(rows: Any) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)
