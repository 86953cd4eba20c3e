"""The daily statement: written once, by one process, of every day that has ended, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from intake_world import alert, undocumented
from sqlalchemy import delete, select, update
from sync_world import Clock
from test_audit import Intake

from bridge.settings import Source, SourceAuth
from bridge.store import stating
from bridge.store.engine import Store, open_store
from bridge.store.log_tables import log_seals
from bridge.store.pruning import PLACE, kept_from
from bridge.store.pruning_tables import prunings
from bridge.store.statement_tables import statements
from bridge.store.stating import DAY, SETTLES, midnight
from bridge.store.tables import alerts, installation, log_entries, metadata
from bridge.sync.stating import Stating

KEPT = timedelta(days=365)


def told(store: Store) -> list[dict[str, Any]]:
    with store.reading() as tx:
        found = tx.execute(
            select(log_entries.c.entry).where(log_entries.c.action == "statement").order_by(log_entries.c.id)
        )
        return [msgspec.json.decode(row.entry) for row in found]


def days(store: Store) -> list[str]:
    return [entry["detail"]["day"] for entry in told(store)]


def began(store: Store, days_ago: int) -> None:
    """The store is so old."""
    with store.transaction() as tx:
        tx.execute(delete(installation))
        created = midnight(store.now(tx)) - days_ago * DAY + timedelta(hours=5)
        tx.execute(installation.insert().values(id="0a1b2c3d", created_at=created))


def look(store: Store, sources: dict[str, Source] | None = None, *, stopping: Callable[[], bool] = bool) -> None:
    Stating(store=store, sources=sources or {}, log_kept=KEPT, stopping=stopping).look()


@pytest.fixture(autouse=True)
def _settled_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's clock is its own: in the first minutes of a day, the one before would not be stated yet."""
    if "clock" not in request.fixturenames:
        monkeypatch.setattr(stating, "SETTLES", timedelta(0))


@pytest.fixture
def taken(store: Store) -> Intake:
    return Intake(store)


@pytest.fixture
def clock(tmp_path: Any) -> Any:
    """A store whose time the test moves."""
    moving = Clock()
    store = open_store(f"sqlite:///{tmp_path / 'moved.db'}", moving)
    metadata.create_all(store.engine)
    yield moving, store
    store.close()


def test_the_day_that_has_ended_is_stated_with_what_became_of_its_alerts(taken: Intake) -> None:
    began(taken.store, 1)
    yesterday = midnight(taken.store.moment()) - DAY
    taken.take(alert("r1", kind="noisy"), alert("r2"), {"level": "low"}, at=yesterday + timedelta(hours=9))
    expected = {"probe": Source(name="probe", mapping="probe", auth=SourceAuth(scheme="none"))}
    look(taken.store, expected)
    (entry,) = told(taken.store)
    source = entry["detail"]["sources"]["probe"]
    assert (entry["outcome"], entry["actor"], entry["detail"]["day"]) == ("open", "statement", f"{yesterday:%Y-%m-%d}")
    assert source["ends"] == {"open": {"new": 1}, "quarantined": {"empty_identity": 1}, "suppressed": {"noise": 1}}
    assert (source["received"], source["alerts"], source["held"], source["open"]) == (1, 3, 1, 1)
    assert entry["detail"]["open"] == {"waiting": 1}
    assert [one["correlation_id"] for one in entry["detail"]["open_longest"]] == ["r2"]


def test_an_empty_day_is_stated_too(store: Store) -> None:
    began(store, 1)
    look(store)
    (entry,) = told(store)
    assert (entry["outcome"], entry["detail"]["sources"], entry["detail"]["differences"]) == ("complete", {}, 0)


def test_a_day_is_stated_once_whoever_looks(store: Store) -> None:
    began(store, 1)
    for _ in range(3):
        look(store)
    assert len(told(store)) == 1


def test_the_day_on_which_a_store_began_is_not_stated_before_it_has_ended(store: Store) -> None:
    began(store, 0)
    look(store)
    assert told(store) == []


def test_a_late_start_states_all_that_was_missed(store: Store) -> None:
    began(store, 4)
    today = midnight(store.moment())
    look(store)
    assert days(store) == [f"{today - number * DAY:%Y-%m-%d}" for number in (4, 3, 2, 1)]


def test_what_was_missed_for_too_long_is_named_and_never_stated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stating, "CATCH_UP_DAYS_MAX", 2)
    began(store, 5)
    today = midnight(store.moment())
    look(store)
    first, second = told(store)
    first_day, last_day = (f"{today - number * DAY:%Y-%m-%d}" for number in (5, 3))
    assert first["detail"]["never_stated"] == {"days": 3, "first": first_day, "last": last_day}
    assert "never_stated" not in second["detail"]
    assert undocumented(store) == set()


def test_what_differs_is_named_in_the_entry_and_told_by_readyz(taken: Intake, caplog: pytest.LogCaptureFixture) -> None:
    began(taken.store, 1)
    taken.take(alert("r1", kind="noisy"), at=midnight(taken.store.moment()) - timedelta(hours=9))
    with taken.store.transaction() as tx:
        tx.execute(delete(alerts))
    look(taken.store)
    (entry,) = told(taken.store)
    assert (entry["outcome"], entry["detail"]["differs"]) == ("differences", ["alert_missing: alert 1-0"])
    with taken.store.reading() as tx:
        assert stating.differs(tx).startswith("the newest daily statement names 1 difference in the record:")
    assert "differs: The log says that it was suppressed" in caplog.text


def test_a_statement_without_differences_is_no_matter_for_readyz(store: Store) -> None:
    with store.reading() as tx:
        assert stating.differs(tx) == ""
    began(store, 1)
    look(store)
    with store.reading() as tx:
        assert stating.differs(tx) == ""


def test_what_was_pruned_is_not_missed(taken: Intake) -> None:
    """The log is kept for a second here: of the day nothing is compared, and its statement says so."""
    began(taken.store, 1)
    taken.take(alert("r1", kind="noisy"), at=midnight(taken.store.moment()) - timedelta(hours=9))
    with taken.store.transaction() as tx:
        tx.execute(delete(log_entries).where(log_entries.c.delivery == 1))
    kept = timedelta(seconds=1)
    Stating(store=taken.store, sources={}, log_kept=kept, stopping=bool).look()
    (entry,) = told(taken.store)
    assert (entry["outcome"], entry["detail"]["sources"]["probe"]["received"]) == ("complete", 1)
    assert "compared_from" in entry["detail"]


def test_once_entries_were_pruned_the_first_seal_that_is_left_tells_from_when_all_is_there(store: Store) -> None:
    now = store.moment()
    with store.transaction() as tx:
        tx.execute(installation.insert().values(id="0a1b2c3d", created_at=now - 90 * DAY))
        assert kept_from(tx, KEPT, now) is None
        assert kept_from(tx, 30 * DAY, now) == now - 30 * DAY
        for first, days in ((0, 60), (10, 40), (20, 20)):
            sealed = {"size": first + 10, "ids": b"", "id_min": 1, "id_max": 1, "root": b"", "note": ""}
            tx.execute(log_seals.insert().values(first_index=first, at=now - days * DAY, **sealed))
        tx.execute(prunings.insert().values(name=PLACE, epoch=0, due_at=now, log_to=20))
        assert kept_from(tx, KEPT, now) == now - 20 * DAY
        assert kept_from(tx, 10 * DAY, now) == now - 10 * DAY


def test_a_turn_is_one_process_s_until_its_lease_runs_out(store: Store) -> None:
    began(store, 1)
    with store.transaction() as tx:
        assert stating.claim(tx, store.now(tx)) is not None
    look(store)
    assert told(store) == []
    with store.transaction() as tx:
        tx.execute(update(statements).values(lease_until=store.now(tx)))
    look(store)
    assert len(told(store)) == 1


def test_of_two_that_have_computed_the_same_day_one_writes_it(store: Store) -> None:
    began(store, 1)
    with store.transaction() as tx:
        turn = stating.claim(tx, store.now(tx))
        assert turn is not None
        tx.execute(update(statements).values(lease_until=None))
    look(store)
    found = _statement_of(store, turn)
    with store.transaction() as tx:
        assert not stating.state(tx, turn, found, store.now(tx))
    assert len(told(store)) == 1


def test_a_process_that_stops_leaves_its_turn_to_the_next(taken: Intake) -> None:
    began(taken.store, 1)
    asked: list[bool] = []

    def stops() -> bool:
        asked.append(True)
        return len(asked) > 1

    taken.take(alert("r1"), at=midnight(taken.store.moment()) - timedelta(hours=9))
    look(taken.store, stopping=stops)
    assert told(taken.store) == []
    look(taken.store)
    assert len(told(taken.store)) == 1


def test_days_that_a_clock_had_not_reached_are_stated_again_once_they_have_ended(clock: tuple[Clock, Store]) -> None:
    """It ran three days ahead, and was set right: what was stated of the future was not true of it."""
    moving, store = clock
    look(store)
    today = midnight(moving.now)
    moving.advance(days=3)
    look(store)
    assert days(store) == [f"{today + number * DAY:%Y-%m-%d}" for number in range(3)]
    moving.advance(days=-3)
    look(store)
    assert len(told(store)) == 3
    moving.now = today + DAY + SETTLES
    look(store)
    again = told(store)[-1]["detail"]
    assert (again["day"], again["again"]) == (f"{today:%Y-%m-%d}", True)
    moving.advance(days=3)
    look(store)
    assert ["again" in entry["detail"] for entry in told(store)[4:]] == [True, True, False]
    assert undocumented(store) == set()


def test_a_lease_of_a_clock_that_ran_ahead_is_not_waited_for(clock: tuple[Clock, Store]) -> None:
    moving, store = clock
    look(store)
    moving.advance(days=30)
    with store.transaction() as tx:
        assert stating.claim(tx, store.now(tx)) is not None
    moving.advance(days=-28)
    look(store)
    assert len(told(store)) == 2


def test_a_clock_that_is_set_back_an_hour_at_midnight_leaves_no_day_out(clock: tuple[Clock, Store]) -> None:
    moving, store = clock
    look(store)
    first = midnight(moving.now)
    for _ in range(2):
        moving.now = midnight(moving.now) + DAY + SETTLES
        look(store)
        moving.advance(hours=-1)
        look(store)
        moving.advance(hours=2)
        look(store)
    assert sorted(set(days(store))) == [f"{first + number * DAY:%Y-%m-%d}" for number in range(2)]


def test_its_entry_holds_whole_numbers_and_words_alone(taken: Intake) -> None:
    """A float has no canonical form."""
    began(taken.store, 1)
    taken.take(alert("r1"), at=midnight(taken.store.moment()) - timedelta(hours=9))
    look(taken.store)
    (entry,) = told(taken.store)

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for one in value.values() for leaf in leaves(one)]
        return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]

    assert {type(leaf) for leaf in leaves(entry)} <= {str, int, bool}


def _statement_of(store: Store, turn: stating.Turn) -> Any:
    from bridge.audit import audit

    return audit(store, since=turn.day, until=turn.day + DAY, expected={}, kept_from=None)
