"""Which correlation an alert belongs to while its mapping changes the form of the ID."""

from __future__ import annotations

from bridge.alert import MappedAlert, Severity, Status
from bridge.store.correlation_state import CorrelationState
from bridge.store.naming import Naming


def mapped(correlation_id: str, *formerly: str) -> MappedAlert:
    return MappedAlert(
        correlation_id=correlation_id,
        correlation_text=correlation_id,
        status=Status.FIRING,
        severity=Severity.HIGH,
        event_time=None,
        target="itsm",
        route="route[0]",
        suppressed_by=None,
        former_ids=formerly,
    )


def stored(key: str, *, live: bool) -> CorrelationState:
    return CorrelationState(
        id=7,
        tenant="t",
        key=key,
        correlation_id=key,
        correlation_text=key,
        source="s",
        mapping="m",
        target=None,
        open=live,
    )


def named(known: dict[str, CorrelationState], *alerts: MappedAlert) -> dict[str, CorrelationState]:
    naming = Naming({("t", key): state for key, state in known.items()})
    for alert in alerts:
        naming.name(alert, tenant="t", source="s", mapping="m")
    return {key: state for (_, key), state in naming.states.items()}


def test_an_id_that_nothing_bears_is_a_new_correlation_and_its_own_only_key() -> None:
    state = named({}, mapped("New"))["new"]
    assert (state.id, state.correlation_id, state.new_keys, state.taken_keys) == (None, "New", ("new",), ())


def test_an_id_that_is_a_correlations_own_is_that_one_whatever_it_was_formerly() -> None:
    own, old = stored("new", live=False), stored("old", live=True)
    assert named({"new": own, "old": old}, mapped("new", "old"))["new"] is own
    assert own.new_keys == ()


def test_what_was_known_by_its_former_id_is_carried_over_live_or_not() -> None:
    for live in (True, False):
        old = stored("old", live=live)
        assert named({"old": old}, mapped("new", "old"))["new"] is old
        assert old.new_keys == ("new",)


def test_what_was_carried_over_stays_so_without_formerly_while_it_is_live() -> None:
    old = stored("old", live=True)
    assert named({"new": old}, mapped("new"))["new"] is old
    assert old.new_keys == ()


def test_what_was_carried_over_and_is_over_gives_its_new_id_back() -> None:
    old = stored("old", live=False)
    state = named({"new": old}, mapped("new"))["new"]
    assert (state.id, state.new_keys, state.taken_keys) == (None, ("new",), ("new",))


def test_alerts_of_the_old_revision_find_what_the_new_one_began() -> None:
    states = named({}, mapped("new", "old"), mapped("old"))
    assert states["old"] is states["new"]
    assert states["new"].new_keys == ("old", "new")


def test_alerts_of_the_new_revision_find_what_the_old_one_began_in_the_same_batch() -> None:
    states = named({}, mapped("old"), mapped("new", "old"))
    assert states["old"] is states["new"]
    assert (states["new"].key, states["new"].new_keys) == ("old", ("old", "new"))


def test_several_new_ids_of_one_former_are_one_correlation() -> None:
    old = stored("rule", live=True)
    states = named({"rule": old}, mapped("rule:a", "rule"), mapped("rule:b", "rule"))
    assert states["rule:a"] is states["rule:b"] is old
    assert old.new_keys == ("rule:a", "rule:b")


def test_of_several_former_ids_the_first_that_is_known_is_followed() -> None:
    old = stored("a", live=True)
    assert named({"a": old}, mapped("c", "b", "a"))["c"] is old
    assert old.new_keys == ("c",)
