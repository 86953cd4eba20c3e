import pytest

from bridge.errors import Transient
from bridge.servicenow.limits import Gate
from bridge.settings import Limits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_call_waits_no_longer_than_its_deadline() -> None:
    clock = Clock()
    gate = Gate(Limits(concurrent_calls=1), monotonic=clock)
    with gate.call(clock.now + 10), pytest.raises(Transient) as caught, gate.call(clock.now):
        pass
    assert caught.value.code == "busy"


def test_a_call_that_ends_lets_the_next_one_in() -> None:
    gate = Gate(Limits(concurrent_calls=1), monotonic=Clock())
    for _ in range(3):
        with gate.call(1000.0):
            pass


def test_the_budget_counts_the_calls_of_the_last_hour() -> None:
    clock = Clock()
    gate = Gate(Limits(calls_per_hour=2, concurrent_calls=1), monotonic=clock)
    for _ in range(2):
        with gate.call(clock.now + 10):
            pass
        clock.now += 600
    with pytest.raises(Transient) as caught, gate.call(clock.now + 10):
        pass
    assert (caught.value.code, caught.value.retry_after) == ("call_budget", 2400.0)
    clock.now += 2400
    with gate.call(clock.now + 10):
        pass
