"""When an instance is left alone, for how long, and what brings it back. Time is a variable."""

from __future__ import annotations

import pytest

from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.breaker import CREDENTIALS, DOWN, FAILURES_MAX, NEUTRAL, Breaker, State
from bridge.servicenow.token import REFUSED


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.breaker = Breaker("acme.example", monotonic=lambda: self.now)

    def call(self, outcome: BridgeError | None = None) -> bool:
        """One call with this outcome; whether it was the probe."""
        with self.breaker.call() as probe:
            if outcome is not None:
                raise outcome
        return probe

    def fail(self, code: str = "connect_failed", times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(BridgeError) as caught:
                self.call(Transient(code, f"It said {code}."))
            assert caught.value.code == code

    def turned_away(self) -> float:
        """Seconds until it may be tried again."""
        with pytest.raises(Transient) as caught:
            self.call()
        assert caught.value.code == "instance_held"
        assert caught.value.retry_after is not None
        return caught.value.retry_after


def test_failures_in_a_row_open_it() -> None:
    world = World()
    world.fail(times=FAILURES_MAX - 1)
    assert world.breaker.state is State.CLOSED
    world.fail()
    assert (world.breaker.state, world.breaker.held) == (State.OPEN, True)
    assert world.turned_away() == 1.0


@pytest.mark.parametrize(
    "outcome",
    [None, Permanent("data_policy", "No."), Permanent("record_gone", "No."), Transient("record_hidden", "Later.")],
    ids=["a result", "a refusal", "a missing record", "something else"],
)
def test_an_answer_of_any_kind_begins_the_count_anew(outcome: BridgeError | None) -> None:
    world = World()
    world.fail(times=FAILURES_MAX - 1)
    if outcome is None:
        world.call()
    else:
        with pytest.raises(type(outcome)):
            world.call(outcome)
    world.fail(times=FAILURES_MAX - 1)
    assert world.breaker.state is State.CLOSED


@pytest.mark.parametrize("code", sorted(NEUTRAL))
def test_what_says_nothing_of_the_instance_changes_nothing(code: str) -> None:
    world = World()
    world.fail(times=FAILURES_MAX - 1)
    world.fail(code, times=9)
    assert world.breaker.state is State.CLOSED
    world.fail()
    assert world.breaker.state is State.OPEN


def test_a_write_without_an_answer_counts_like_a_read() -> None:
    world = World()
    for _ in range(FAILURES_MAX):
        with pytest.raises(Ambiguous):
            world.call(Ambiguous("timed_out", "?"))
    assert world.breaker.state is State.OPEN


def test_one_call_is_the_probe_and_the_others_wait_for_it() -> None:
    world = World()
    world.fail(times=FAILURES_MAX)
    world.now += 1
    assert (world.breaker.state, world.breaker.held) == (State.HALF_OPEN, False)
    with world.breaker.call() as probe:
        assert probe
        assert world.breaker.held
        assert world.turned_away() == 1.0
    assert world.breaker.state is State.CLOSED
    assert world.call() is False


def test_a_probe_that_fails_doubles_the_time_up_to_a_minute() -> None:
    world = World()
    world.fail(times=FAILURES_MAX)
    waits = []
    for _ in range(9):
        waits.append(world.turned_away())
        world.now += waits[-1]
        world.fail()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_it_worked_the_times_begin_anew() -> None:
    world = World()
    world.fail(times=FAILURES_MAX)
    world.now += 1
    world.fail()
    world.now += 2
    assert world.call() is True
    world.fail(times=FAILURES_MAX)
    assert world.turned_away() == 1.0


@pytest.mark.parametrize("outcome", [Transient("busy", "Full."), RuntimeError("a bug")], ids=["busy", "a bug"])
def test_a_probe_that_asked_nothing_leaves_the_turn_to_the_next(outcome: Exception) -> None:
    world = World()
    world.fail(times=FAILURES_MAX)
    world.now += 1
    with pytest.raises(type(outcome)), world.breaker.call():
        raise outcome
    assert world.breaker.state is State.HALF_OPEN
    assert world.call() is True


def test_a_call_that_began_before_the_others_failed_does_not_prolong_it() -> None:
    world = World()
    late = world.breaker.call()
    late.__enter__()
    world.fail(times=FAILURES_MAX)
    assert not late.__exit__(Transient, Transient("timed_out", "Late."), None)
    assert world.turned_away() == 1.0


@pytest.mark.parametrize("code", sorted(CREDENTIALS))
def test_refused_credentials_open_it_sooner_and_for_longer(code: str) -> None:
    world = World()
    world.fail(code)
    assert world.breaker.state is State.CLOSED
    world.fail(code)
    assert world.turned_away() == 60.0


def test_the_probe_of_refused_credentials_comes_every_five_minutes_at_last() -> None:
    world = World()
    world.fail("unauthenticated", times=2)
    waits = []
    for _ in range(5):
        waits.append(world.turned_away())
        world.now += waits[-1]
        world.fail("unauthenticated")
    assert waits == [60, 120, 240, 300, 300]


def test_what_it_says_ends_as_a_sentence_for_another_may_follow() -> None:
    breaker = Breaker("acme.example", monotonic=lambda: 1000.0)
    for _ in range(FAILURES_MAX):
        breaker.noticed(Transient("unauthenticated", "It said: User Not Authenticated"))
    assert breaker.problem.endswith("It said: User Not Authenticated.")


def test_it_says_what_is_wrong_until_nothing_is() -> None:
    world = World()
    world.fail(times=FAILURES_MAX - 1)
    assert world.breaker.problem == ""
    world.fail("hibernating")
    assert world.breaker.problem == "acme.example is left alone for now. It said hibernating."
    world.now += 1
    world.call()
    assert world.breaker.problem == ""


def test_what_was_the_reason_can_be_forgotten() -> None:
    world = World()
    world.fail("unauthenticated", times=2)
    world.breaker.forget()
    assert world.call() is False


def test_what_was_turned_away_is_worth_a_try_again_once_its_reason_is_forgotten() -> None:
    world = World()
    world.fail("server_error", times=FAILURES_MAX)
    before = world.breaker.mended
    world.breaker.forget()
    assert world.breaker.mended == before + 1


def test_every_refusal_of_a_token_is_one_of_credentials() -> None:
    assert REFUSED <= CREDENTIALS
    assert not DOWN & CREDENTIALS
    assert not NEUTRAL & (DOWN | CREDENTIALS)


def test_what_is_turned_away_from_one_api_names_it_and_spares_the_incidents() -> None:
    breaker = Breaker("acme.example", monotonic=lambda: 1000.0, api="/api/x", spares_incidents=True)
    for _ in range(FAILURES_MAX):
        breaker.noticed(Transient("server_error", "It failed."))
    with (
        pytest.raises(Transient, match=r"/api/x at acme\.example is left alone until .* It failed\.") as caught,
        breaker.call(),
    ):
        pass
    assert caught.value.code == "api_held"
    assert (
        breaker.problem
        == "/api/x at acme.example is left alone for now; incidents are written all the same. It failed."
    )
