"""Claims and settlements: one holder, nothing lost under it, and SQL that agrees with the pure summary."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from intake_world import alert, delivery, library_of
from sqlalchemy import event, insert, select, text, update

from bridge.alert import Severity, Status
from bridge.correlation.policy import Episode, Kind, Reason
from bridge.correlation.progress import Progress, fold
from bridge.correlation.summary import AlertFacts, summarise
from bridge.errors import Permanent
from bridge.library import Library
from bridge.store import intake, orders, queries, settle
from bridge.store.engine import Store
from bridge.store.held import LEASE, WINDOW_OVER, Held, Settlement
from bridge.store.pending import pending_of
from bridge.store.settle import LeaseLost
from bridge.store.tables import alerts, correlation_keys, correlations, deliveries, incidents, intents, log_entries
from bridge.store.work import claim, doubt_of, hold

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def library(store: Store) -> Library:
    return library_of(store)


def put(store: Store, library: Library, *rules: str, **more: Any) -> None:
    one = delivery(library, *(alert(rule, **more) for rule in rules), sender_id=random.randbytes(8).hex())
    with store.transaction() as tx:
        intake.commit(tx, [one], store.now(tx))


def take(store: Store, *, paused: tuple[str, ...] = ()) -> Held | None:
    with store.transaction() as tx:
        lease = claim(tx, store.now(tx), paused=paused)
        return hold(tx, lease) if lease is not None else None


def held_of(store: Store) -> Held:
    held = take(store)
    assert held is not None
    return held


def settlement_of(held: Held) -> Settlement:
    progress = fold(held.progress, held.pending)
    return Settlement(
        kind=Kind.CREATE.value,
        reason=Reason.FIRST_ALERT.value,
        read_seq=held.read_seq,
        progress=progress,
        episode=Episode(open=True, severity=Severity.MEDIUM, told_at=NOW),
    )


def finish(store: Store, held: Held) -> None:
    incident = replace(held.incident, target="itsm", sys_id=f"s{held.incident.id}", number="INC1")
    with store.transaction() as tx:
        settle.settle(tx, held, settlement_of(held), incident, store.now(tx), decision="create: first_alert")


def the(store: Store, table: Any) -> Any:
    with store.reading() as tx:
        return tx.execute(select(table)).one()


# --- the summary


def random_alerts(seed: int) -> list[AlertFacts]:
    """Few distinct times, so that equal ones are common; seqs from 1, without a hole."""
    chance = random.Random(seed)
    return [
        AlertFacts(
            seq=seq,
            status=(status := chance.choice(list(Status))),
            severity=chance.choice(list(Severity)),
            event_time=NOW + timedelta(minutes=chance.randrange(6)),
            received_at=NOW + timedelta(minutes=10, seconds=chance.randrange(20)),
            suppressed=status is Status.FIRING and chance.random() < 0.3,  # a closing alert is always accepted
        )
        for seq in range(1, chance.randrange(2, 12))
    ]


def stored(store: Store, library: Library, facts: list[AlertFacts]) -> int:
    put(store, library, "r1")
    with store.transaction() as tx:
        correlation = tx.execute(select(correlations.c.id)).scalar_one()
        delivered = tx.execute(select(deliveries.c.id)).scalar_one()
        tx.execute(alerts.delete())
        tx.execute(
            insert(alerts),
            [
                {
                    "delivery_id": delivered,
                    "position": fact.seq,
                    "covers_rest": False,
                    "outcome": "suppressed" if fact.suppressed else "accepted",
                    "reason": "test",
                    "correlation": correlation,
                    "seq": fact.seq,
                    "status": fact.status.value,
                    "severity": int(fact.severity),
                    "event_time": fact.event_time,
                    "received_at": fact.received_at,
                }
                for fact in facts
            ],
        )
    return int(correlation)


def test_what_sql_says_of_pending_alerts_is_what_the_pure_summary_says(store: Store, library: Library) -> None:
    for seed in range(60):
        facts = random_alerts(seed)
        correlation = stored(store, library, facts)
        split = random.Random(seed).randrange(len(facts) + 1)
        progress = fold(Progress(), summarise(facts[:split], Progress()))
        with store.transaction() as tx:
            found = pending_of(tx, correlation, progress, after=split, upto=len(facts))
            for table in (alerts, log_entries, deliveries, correlation_keys, correlations):
                tx.execute(table.delete())
        assert found == summarise(facts[split:], progress), seed


# --- one holder


def test_what_is_claimed_is_not_claimed_again(store: Store, library: Library) -> None:
    put(store, library, "r1")
    assert take(store) is not None
    assert take(store) is None


def test_who_claims_while_another_has_not_committed_yet_gets_another_problem_at_once(postgres: Store) -> None:
    put(postgres, library_of(postgres), "r1", "r2")
    with postgres.transaction() as first, postgres.transaction() as second:
        one = claim(first, postgres.now(first), paused=())
        second.execute(text("SET LOCAL lock_timeout = '1s'"))  # whoever waits for the first one waits for ever
        other = claim(second, postgres.now(second), paused=())
    assert one is not None
    assert other is not None
    assert one.correlation != other.correlation


def test_who_stood_still_until_the_next_episode_was_planned_holds_nothing(store: Store, library: Library) -> None:
    put(store, library, "r1")
    finish(store, held_of(store))
    put(store, library, "r1", level="critical")
    with store.transaction() as tx:
        late = claim(tx, store.now(tx), paused=())
    assert late is not None
    with store.transaction() as tx:
        taken_over = claim(tx, store.now(tx) + LEASE + timedelta(seconds=1), paused=())
        assert taken_over is not None
        held = hold(tx, taken_over)
        assert held is not None
        settle.plan_next(tx, held, "itsm")
    with store.reading() as tx:
        assert hold(tx, late) is None


def test_a_lease_of_before_the_clock_was_set_back_is_taken_over_with_a_higher_epoch(
    store: Store, library: Library
) -> None:
    put(store, library, "r1")
    first = held_of(store)
    with store.transaction() as tx:
        now = store.now(tx) - timedelta(hours=1)
        tx.execute(update(correlations).values(due_at=now))
        second = claim(tx, now, paused=())
    assert second is not None
    assert (second.incident, second.epoch) == (first.incident.id, first.epoch + 1)


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_epoch(store: Store, library: Library) -> None:
    put(store, library, "r1")
    first = held_of(store)
    with store.transaction() as tx:
        second = claim(tx, store.now(tx) + LEASE + timedelta(seconds=1), paused=())
    assert second is not None
    assert (second.incident, second.epoch) == (first.incident.id, first.epoch + 1)


def test_two_claimers_never_hold_one_incident(store: Store, library: Library) -> None:
    rules = [f"r{number}" for number in range(20)]
    put(store, library, *rules)
    taken: list[int] = []
    start = threading.Barrier(4)

    def claimer() -> None:
        start.wait()
        misses = 0
        while misses < 20:  # a claim that lost a race finds nothing, though there is more
            held = take(store)
            misses = misses + 1 if held is None else 0
            if held is not None:
                taken.append(held.incident.id)

    threads = [threading.Thread(target=claimer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == len(rules)


def test_a_paused_targets_work_is_not_claimed(store: Store, library: Library) -> None:
    put(store, library, "r1")
    assert take(store, paused=("itsm",)) is None
    assert take(store, paused=("sir",)) is not None


def test_the_correlation_that_has_been_due_longest_is_first(store: Store, library: Library) -> None:
    put(store, library, "r1", "r2")
    with store.transaction() as tx:
        hour_ago = store.now(tx) - timedelta(hours=1)
        tx.execute(update(correlations).where(correlations.c.correlation_id == "r2").values(due_at=hour_ago))
    assert held_of(store).correlation_id == "r2"


# --- settling


def test_all_that_was_read_is_settled(store: Store, library: Library) -> None:
    put(store, library, "r1")
    finish(store, held_of(store))
    row = the(store, correlations)
    assert (row.applied_seq, row.due_at, row.open) == (1, None, True)
    assert the(store, incidents).lease_until is None


def test_an_alert_that_arrived_meanwhile_leaves_the_correlation_due(store: Store, library: Library) -> None:
    put(store, library, "r1")
    held = held_of(store)
    put(store, library, "r1")
    finish(store, held)
    row = the(store, correlations)
    assert (row.applied_seq, row.last_seq) == (1, 2)
    assert row.due_at is not None
    again = held_of(store)
    assert (again.pending.count, again.incident.state, again.epoch) == (1, "open", held.epoch + 1)


def lose(store: Store, held: Held) -> None:
    with store.transaction() as tx:
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(epoch=held.epoch + 1))


def test_a_lost_lease_settles_nothing(store: Store, library: Library) -> None:
    put(store, library, "r1")
    held = held_of(store)
    lose(store, held)
    before = the(store, incidents), the(store, correlations)
    with pytest.raises(LeaseLost):
        finish(store, held)
    assert (the(store, incidents), the(store, correlations)) == before


def test_a_lost_lease_fails_nothing(store: Store, library: Library) -> None:
    put(store, library, "r1")
    held = held_of(store)
    lose(store, held)
    before = the(store, incidents), the(store, correlations)
    with pytest.raises(LeaseLost), store.transaction() as tx:
        settle.fail(tx, held, Permanent("acl", "let us"), store.now(tx), due_at=None)
    assert (the(store, incidents), the(store, correlations)) == before


def test_a_lost_lease_intends_nothing(store: Store, library: Library) -> None:
    put(store, library, "r1")
    held = held_of(store)
    lose(store, held)
    with pytest.raises(LeaseLost):
        intend(store, library, held)
    with store.reading() as tx:
        assert tx.execute(select(intents)).all() == []


def intend(store: Store, library: Library, held: Held) -> int:
    with store.transaction() as tx:
        now = store.now(tx)
        about = settle.intend(
            tx,
            held,
            settlement_of(held),
            {"impact": "1"},
            before={},
            ref="0a1b2c3d",
            target="itsm",
            revision=library["probe"].revision,
            revision_id=library["probe"].revision_id,
            now=now,
            deadline=now + timedelta(seconds=15),
        )
        return about.id


@pytest.mark.parametrize(
    ("outcome", "code", "doubted", "known"),
    [
        (None, "", True, False),
        ("ambiguous", "timed_out", True, False),
        ("not_applied", "connect_failed", True, True),
        ("permanent", "data_policy", True, True),
        ("applied", "", False, False),
        ("applied", "lease_lost", True, False),
    ],
)
def test_which_creates_the_next_holder_looks_up(
    store: Store, library: Library, outcome: str | None, code: str, *, doubted: bool, known: bool
) -> None:
    put(store, library, "r1")
    held = held_of(store)
    intent = intend(store, library, held)
    with store.transaction() as tx:
        now = store.now(tx)
        if outcome is not None:
            settle.record_outcome(tx, intent, outcome, now, code=code)
        lease = claim(tx, now + LEASE + timedelta(seconds=1), paused=())
        assert lease is not None
        later = hold(tx, lease)
    assert (later.doubt is not None) is doubted
    if later.doubt is not None:
        assert (later.doubt.id, later.doubt.known, later.doubt.said.fields) == (intent, known, {"impact": "1"})


@pytest.mark.parametrize(
    ("outcome", "made"),
    [("ambiguous", "s1"), ("permanent", "s1"), ("applied", None)],
    ids=["import", "refused", "ours"],
)
def test_what_a_create_that_is_looked_up_has_made_by_its_own_word_is_kept(
    store: Store, library: Library, outcome: str, made: str | None
) -> None:
    put(store, library, "r1")
    intent = intend(store, library, held_of(store))
    with store.transaction() as tx:
        settle.record_outcome(tx, intent, outcome, store.now(tx), code="lease_lost", sys_id="s1", number="INC1")
    with store.reading() as tx:
        doubt = doubt_of(tx, the(store, incidents).id)
    assert doubt is not None
    assert (doubt.made, doubt.made_number) == (made, "INC1")


@pytest.mark.parametrize(
    ("before", "outcome", "code", "made", "nothing"),
    [
        (None, "permanent", "acl", None, True),
        (None, "permanent", "id_not_carried", "s1", False),
        (None, "not_applied", WINDOW_OVER, None, False),
        (None, "ambiguous", "timed_out", None, False),
        (WINDOW_OVER, "permanent", "acl", None, False),
        ("connect_failed", "permanent", "acl", None, True),
    ],
)
def test_when_it_is_certain_that_no_create_has_made_anything(
    store: Store, library: Library, before: str | None, outcome: str, code: str, made: str | None, *, nothing: bool
) -> None:
    put(store, library, "r1")
    held = held_of(store)
    if before is not None:
        earlier = intend(store, library, held)
        with store.transaction() as tx:
            settle.record_outcome(tx, earlier, "not_applied", store.now(tx), code=before)
    intent = intend(store, library, held)
    with store.transaction() as tx:
        settle.record_outcome(tx, intent, outcome, store.now(tx), code=code, sys_id=made)
    with store.reading() as tx:
        doubt = doubt_of(tx, held.incident.id)
    assert doubt is not None
    assert doubt.made_nothing is nothing


def test_what_was_found_applied_is_not_unlearned(store: Store, library: Library) -> None:
    put(store, library, "r1")
    intent = intend(store, library, held_of(store))
    with store.transaction() as tx:
        settle.record_outcome(tx, intent, "applied", store.now(tx), code="looked_up", sys_id="s1")
        settle.record_outcome(tx, intent, "ambiguous", store.now(tx), code="timed_out")
    row = the(store, intents)
    assert (row.outcome, row.outcome_code, row.sys_id) == ("applied", "looked_up", "s1")


def ask(store: Store) -> None:
    with store.transaction() as tx:
        orders.ask_sync(tx, queries.find_correlations(tx, "r1"), actor="test", now=store.now(tx))


def test_a_person_who_asks_in_mid_round_is_heard_after_it(store: Store, library: Library) -> None:
    put(store, library, "r1")
    held = held_of(store)
    ask(store)
    finish(store, held)
    again = held_of(store)
    assert again.sync_asked_at is not None
    finish(store, again)
    assert (the(store, correlations).sync_asked_at, take(store)) == (None, None)


def test_a_person_who_asks_in_mid_round_is_heard_although_the_round_fails_for_good(
    store: Store, library: Library
) -> None:
    put(store, library, "r1")
    held = held_of(store)
    ask(store)
    with store.transaction() as tx:
        settle.fail(tx, held, Permanent("acl", "let us"), store.now(tx), due_at=None)
    assert not the(store, correlations).waits_for_person
    assert held_of(store).sync_asked_at is not None


# --- the order of locks


def test_what_cannot_be_read_is_told_with_the_correlation_locked_before_its_incident(
    store: Store, library: Library
) -> None:
    put(store, library, "r1")
    with store.transaction() as tx:
        lease = claim(tx, store.now(tx), paused=())
    assert lease is not None
    said: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        said.append(statement)

    event.listen(store.engine, "before_cursor_execute", listen)
    with store.transaction() as tx:
        settle.unreadable(tx, lease, Permanent("store_unreadable", "It cannot be decoded."), NOW)
    event.remove(store.engine, "before_cursor_execute", listen)
    tables = [name for statement in said for name in ("correlations", "incidents") if f"{name}." in statement]
    assert tables.index("correlations") < tables.index("incidents")
    row = the(store, correlations)
    assert (row.failure, row.waits_for_person) == ("store_unreadable", True)
