"""The thread that looks around takes each look as often as it is told, whatever comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bridge.errors import Transient
from bridge.watch import Watch

WAIT_SECONDS_MAX = 20.0
SOON = 0.001
NEVER = 1e6


def taken(look: Callable[[int], object], every: float, *, rounds: int = 20) -> int:
    """How often a look is taken until another one, whose time is always soon, was taken so many times."""
    over, stopping = threading.Event(), threading.Event()
    looked, went = 0, 0

    def one() -> object:
        nonlocal looked
        looked += 1
        return look(looked)

    def other() -> None:
        nonlocal went
        went += 1
        if went == rounds:
            over.set()
            stopping.set()

    watch = Watch([(one, every), (other, SOON)], stopping)
    watch.start()
    assert over.wait(WAIT_SECONDS_MAX)
    watch.stop()
    return looked


def test_a_look_is_taken_once_until_its_time_comes_again() -> None:
    assert taken(lambda _time: None, NEVER) == 1


def test_a_look_whose_time_comes_is_taken_again() -> None:
    assert taken(lambda _time: None, SOON) > 1


def test_a_look_that_has_more_to_do_is_taken_again_at_once() -> None:
    assert taken(lambda time: time < 3, NEVER) == 3


def test_a_look_that_raises_is_taken_again_in_its_time() -> None:
    def away(_time: int) -> None:
        raise Transient("store_away", "The store is away.")

    def broken(_time: int) -> None:
        raise ValueError

    assert taken(away, SOON) > 1
    assert taken(broken, SOON) > 1
    assert taken(away, NEVER) == 1
