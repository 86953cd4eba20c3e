"""When a token is asked for, by how many, and what is done when it is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.errors import Misconfigured, Problem, Transient
from bridge.servicenow.access import RENEW_AGAIN_SECONDS, Access
from bridge.servicenow.auth import ApiKey, ClientCredentials, Grant, Header
from bridge.servicenow.token import REFUSED_SECONDS, Token

APP = ClientCredentials(client_id="c", client_secret="s")
REFUSAL = Transient("token_refused", "No token was given.", retry_after=REFUSED_SECONDS)
DOWN = Transient("connect_failed", "It was not reached.")
FAR = 1e9  # a deadline that no test comes to


class World:
    """Secrets that can be changed, a clock that can be moved, and an endpoint that keeps what it was asked."""

    def __init__(self, *, life: float = 1800.0, refresh: bool = False) -> None:
        self.now = 0.0
        self.life = life
        self.known: Header | Grant | Misconfigured = APP
        self.answers: list[Token | Transient] = []  # before the usual ones
        self.asked: list[tuple[Grant, str | None]] = []
        self._refresh = refresh
        self.access = Access(self.read, self.fetch, monotonic=self.time)

    def time(self) -> float:
        return self.now

    def read(self) -> Header | Grant:
        if isinstance(self.known, Misconfigured):
            raise self.known
        return self.known

    def fetch(self, grant: Grant, refresh: str | None, deadline: float) -> Token:
        self.asked.append((grant, refresh))
        answer = self.answers.pop(0) if self.answers else self.token(f"t{len(self.asked)}")
        if isinstance(answer, Transient):
            raise answer
        return answer

    def token(self, value: str) -> Token:
        ends = self.now + self.life
        refresh = f"r-{value}" if self._refresh else None
        return Token(value=value, renew_at=ends - 60, expires_at=ends, refresh=refresh)

    def sent(self) -> str:
        """What the next request would carry."""
        return next(iter(self.access.headers(FAR).values()))

    def refused(self, value: str) -> dict[str, str] | None:
        return self.access.after_refusal({"Authorization": f"Bearer {value}"}, FAR)


def test_a_token_is_asked_for_once_and_kept() -> None:
    world = World()
    assert {world.sent() for _ in range(9)} == {"Bearer t1"}
    assert world.asked == [(APP, None)]


def test_it_is_renewed_before_it_expires() -> None:
    world = World()
    assert world.sent() == "Bearer t1"
    world.now = 1739
    assert world.sent() == "Bearer t1"
    world.now = 1740
    assert world.sent() == "Bearer t2"


def test_it_is_renewed_by_its_refresh_token() -> None:
    world = World(refresh=True)
    world.sent()
    world.now = 1750
    assert world.sent() == "Bearer t2"
    assert world.asked[1] == (APP, "r-t1")


def test_a_refresh_token_that_is_refused_is_followed_by_the_whole_grant() -> None:
    world = World(refresh=True)
    world.sent()
    world.now = 1750
    world.answers = [REFUSAL]
    assert world.sent() == "Bearer t3"
    assert world.asked[1:] == [(APP, "r-t1"), (APP, None)]


def test_a_refresh_that_gets_no_answer_is_no_reason_to_ask_otherwise() -> None:
    world = World(refresh=True)
    world.sent()
    world.now = 1800
    world.answers = [DOWN]
    with pytest.raises(Transient, match="not reached"):
        world.sent()
    assert world.asked[1:] == [(APP, "r-t1")]


def test_a_renewal_that_fails_leaves_the_token_in_use_until_it_expires() -> None:
    world = World()
    world.sent()
    world.now = 1750
    world.answers = [DOWN, DOWN]
    assert world.sent() == "Bearer t1"
    assert world.sent() == "Bearer t1"
    assert len(world.asked) == 2
    world.now += RENEW_AGAIN_SECONDS
    assert world.sent() == "Bearer t1"
    assert len(world.asked) == 3
    world.now = 1800
    assert world.sent() == "Bearer t4"


def test_a_refused_token_is_renewed_once() -> None:
    world = World()
    world.sent()
    assert world.refused("t1") == {"Authorization": "Bearer t2"}
    assert world.sent() == "Bearer t2"


def test_a_token_that_another_call_has_renewed_meanwhile_is_taken_as_it_is() -> None:
    world = World()
    world.sent()
    world.refused("t1")
    assert world.refused("t1") == {"Authorization": "Bearer t2"}
    assert len(world.asked) == 2


def test_the_same_token_again_is_nothing_to_try_with() -> None:
    world = World()
    world.sent()
    world.answers = [world.token("t1")]
    assert world.refused("t1") is None


def test_a_key_is_tried_again_only_when_it_has_changed() -> None:
    world = World()
    world.known = ApiKey(key="one")
    assert world.sent() == "one"
    assert world.access.after_refusal({"x-sn-apikey": "one"}, FAR) is None
    world.known = ApiKey(key="two")
    assert world.access.after_refusal({"x-sn-apikey": "one"}, FAR) == {"x-sn-apikey": "two"}
    assert world.asked == []


def test_a_changed_secret_is_used_at_once_and_for_a_new_token() -> None:
    world = World(refresh=True)
    world.sent()
    world.known = rotated = replace(APP, client_secret="new")
    assert world.sent() == "Bearer t2"
    assert world.asked == [(APP, None), (rotated, None)]


def test_a_secret_that_cannot_be_read_leaves_the_last_one_in_use() -> None:
    world = World()
    world.sent()
    world.known = Misconfigured([Problem("bridge.yaml", 0, 0, "the secret is empty")])
    assert world.sent() == "Bearer t1"


def test_credentials_that_cannot_be_read_at_the_start_refuse_it() -> None:
    def missing() -> Header:
        raise Misconfigured([Problem("bridge.yaml", 0, 0, "gone")])

    def never(_grant: Grant, _refresh: str | None, _deadline: float) -> Token:
        raise AssertionError("not asked")

    with pytest.raises(Misconfigured):
        Access(missing, never, monotonic=lambda: 0.0)


def test_refused_credentials_are_not_sent_again_for_a_while() -> None:
    world = World()
    world.answers = [REFUSAL]
    for waits in (REFUSED_SECONDS, REFUSED_SECONDS - 100):
        with pytest.raises(Transient) as caught:
            world.sent()
        assert (caught.value.code, caught.value.retry_after) == ("token_refused", waits)
        world.now += 100
    assert len(world.asked) == 1
    world.now = REFUSED_SECONDS
    assert world.sent() == "Bearer t2"


def test_refused_credentials_that_a_person_has_corrected_are_sent_at_once() -> None:
    world = World()
    world.answers = [REFUSAL]
    with pytest.raises(Transient):
        world.sent()
    world.known = replace(APP, client_secret="right")
    assert world.sent() == "Bearer t2"


class Slow(World):
    """An endpoint that holds the answer back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.seen: set[int] = set()  # threads that have looked at the clock, as each does just before it waits
        self.many, self.all_there = 99, threading.Event()

    def time(self) -> float:
        self.seen.add(threading.get_ident())
        if len(self.seen) >= self.many:
            self.all_there.set()
        return self.now

    def together(self, many: int, call: Callable[[], object]) -> list[object]:
        """What so many calls get that all wait for the endpoint at the same time."""
        self.go.clear()
        self.reached.clear()
        self.seen.clear()
        self.many = many
        got: list[object] = []
        threads = [threading.Thread(target=lambda: got.append(call())) for _ in range(many)]
        for thread in threads:
            thread.start()
        assert self.reached.wait(10)
        assert self.all_there.wait(10)
        self.go.set()
        for thread in threads:
            thread.join(10)
        return got

    def fetch(self, grant: Grant, refresh: str | None, deadline: float) -> Token:
        self.reached.set()
        assert self.go.wait(10)
        return super().fetch(grant, refresh, deadline)


def test_many_threads_that_need_a_token_ask_once() -> None:
    world = Slow()
    assert world.together(8, world.sent) == ["Bearer t1"] * 8
    assert len(world.asked) == 1


def test_many_threads_whose_token_is_refused_ask_once() -> None:
    world = Slow()
    world.sent()
    fresh = {"Authorization": "Bearer t2"}
    assert world.together(8, lambda: world.refused("t1")) == [fresh] * 8
    assert len(world.asked) == 2


def test_while_one_renews_the_others_go_on_with_the_token_that_still_serves() -> None:
    world = Slow()
    world.sent()
    world.now = 1750
    world.go.clear()
    world.reached.clear()
    renewing = threading.Thread(target=world.sent)
    renewing.start()
    assert world.reached.wait(10)
    assert world.sent() == "Bearer t1"
    world.go.set()
    renewing.join(10)
    assert world.sent() == "Bearer t2"


def test_a_call_waits_for_anothers_token_no_longer_than_its_deadline() -> None:
    world = Slow()
    world.go.clear()
    renewing = threading.Thread(target=world.sent)
    renewing.start()
    assert world.reached.wait(10)
    with pytest.raises(Transient) as caught:
        world.access.headers(world.now)
    assert caught.value.code == "busy"
    world.go.set()
    renewing.join(10)
