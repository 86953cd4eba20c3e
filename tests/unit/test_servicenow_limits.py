import threading

import pytest

from bridge.errors import Transient
from bridge.servicenow.limits import Alone, Gate, api_of
from bridge.settings import Limits

TABLE = "/api/now/v2/table/incident"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate_of(limits: Limits, clock: Clock) -> Gate:
    return Gate(limits, Alone(limits, monotonic=clock), monotonic=clock)


def test_a_call_waits_no_longer_than_its_deadline() -> None:
    clock = Clock()
    gate = gate_of(Limits(concurrent_calls=1), clock)
    with gate.call(TABLE, clock.now + 10), pytest.raises(Transient) as caught, gate.call(TABLE, clock.now):
        pass
    assert caught.value.code == "busy"


def test_a_call_that_ends_lets_the_next_one_in() -> None:
    gate = gate_of(Limits(concurrent_calls=1), Clock())
    for _ in range(3):
        with gate.call(TABLE, 1000.0):
            pass


def test_the_budget_counts_the_calls_of_the_last_hour() -> None:
    clock = Clock()
    gate = gate_of(Limits(calls_per_hour=2, concurrent_calls=1), clock)
    for _ in range(2):
        with gate.call(TABLE, clock.now + 10):
            pass
        clock.now += 600
    with pytest.raises(Transient) as caught, gate.call(TABLE, clock.now + 10):
        pass
    assert (caught.value.code, caught.value.retry_after) == ("call_budget", 2400.0)
    clock.now += 2400
    with gate.call(TABLE, clock.now + 10):
        pass


def calls(gate: Gate, many: int, path: str = TABLE) -> None:
    for _ in range(many):
        with gate.call(path, 1e9):
            pass


def turned_away(gate: Gate, path: str = TABLE) -> tuple[str, float | None]:
    with pytest.raises(Transient) as caught, gate.call(path, 1e9):
        pass
    return caught.value.code, caught.value.retry_after


def learn(gate: Gate, *, limited: bool = False, retry_after: float | None = None, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    gate.learn(TABLE, named, limited=limited, retry_after=retry_after)


DATE = {"Date": "Tue, 10 Mar 2026 12:00:00 GMT"}
NOON = 1773144000  # the same


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return gate_of(Limits(), clock)


def test_what_a_rule_allows_is_not_exceeded(gate: Gate, clock: Clock) -> None:
    calls(gate, 1)
    learn(gate, X_RateLimit_Limit="3")
    clock.now += 600
    calls(gate, 2)
    assert turned_away(gate) == ("call_budget", 3000.0)
    clock.now += 3000
    calls(gate, 1)


def test_a_rule_of_one_api_says_nothing_of_another(gate: Gate) -> None:
    learn(gate, X_RateLimit_Limit="1")
    calls(gate, 1)
    assert turned_away(gate, "/api/now/table/sys_user/1")[0] == "call_budget"
    calls(gate, 5, "/api/now/import/u_staging")


def test_the_hour_of_a_rule_ends_when_it_says(gate: Gate, clock: Clock) -> None:
    learn(gate, X_RateLimit_Limit="2", X_RateLimit_Reset=str(NOON + 120), **DATE)
    calls(gate, 2)
    assert turned_away(gate) == ("call_budget", 120.0)
    clock.now += 121
    calls(gate, 2)
    assert turned_away(gate)[0] == "call_budget"


def test_what_was_learned_is_forgotten_after_an_hour(gate: Gate, clock: Clock) -> None:
    learn(gate, X_RateLimit_Limit="1")
    clock.now += 3600
    calls(gate, 3)


def test_a_429_closes_the_api_until_its_time_is_over(gate: Gate, clock: Clock) -> None:
    learn(gate, limited=True, retry_after=30.0)
    assert turned_away(gate) == ("rate_limited", 30.0)
    calls(gate, 1, "/api/now/import/u_staging")
    clock.now += 30
    calls(gate, 1)


def test_a_429_without_a_time_is_over_when_the_rule_begins_anew(gate: Gate) -> None:
    learn(gate, limited=True, X_RateLimit_Limit="9", X_RateLimit_Reset=str(NOON + 77), **DATE)
    assert turned_away(gate) == ("rate_limited", 77.0)


def test_a_retry_after_of_another_answer_closes_nothing(gate: Gate) -> None:
    learn(gate, limited=False, retry_after=30.0)
    calls(gate, 1)


@pytest.mark.parametrize("limit", ["", "0", "many", "-1", "9" * 40])
def test_a_limit_that_is_none_is_not_learned(gate: Gate, limit: str) -> None:
    learn(gate, X_RateLimit_Limit=limit)
    calls(gate, 3)


@pytest.mark.parametrize("reset", ["", "soon", "1", str(NOON + 10**9)])
def test_a_reset_that_cannot_be_is_taken_within_the_hour(gate: Gate, reset: str) -> None:
    learn(gate, X_RateLimit_Limit="1", X_RateLimit_Reset=reset, **DATE)
    calls(gate, 1)
    code, wait = turned_away(gate)
    assert code == "call_budget"
    assert wait is not None
    assert 0 < wait <= 3600


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/api/now/v2/table/incident", "api/now/table"),
        ("/api/now/table/incident/abc", "api/now/table"),
        ("/api/now/import/u_s", "api/now/import"),
        ("/api/x_elas2_sir_int/elastic_api/health", "api/x_elas2_sir_int/elastic_api"),
        ("/oauth_token.do", "oauth_token.do"),
    ],
)
def test_the_api_of_a_path(path: str, api: str) -> None:
    assert api_of(path) == api


def test_what_an_answer_tells_does_not_wait_for_the_budget_to_be_counted() -> None:
    class Slow(Alone):
        learned = False

        def spend(self) -> float:
            learning = threading.Thread(
                target=gate.learn, args=(TABLE, {}), kwargs={"limited": False, "retry_after": None}
            )
            learning.daemon = True
            learning.start()
            learning.join(10)
            self.learned = not learning.is_alive()
            return super().spend()

    clock = Clock()
    share = Slow(Limits(), monotonic=clock)
    gate = Gate(Limits(), share, monotonic=clock)
    gate.spend(TABLE)
    assert share.learned


def test_what_the_budget_turned_away_does_not_count_against_what_servicenow_allows() -> None:
    clock = Clock()
    gate = gate_of(Limits(calls_per_hour=1), clock)
    calls(gate, 1)
    for _ in range(5):
        turned_away(gate)
    gate.learn(TABLE, {"X-RateLimit-Limit": "2"}, limited=False, retry_after=None)
    clock.now += 3600
    calls(gate, 1)
