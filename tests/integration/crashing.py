"""What happens at a named point of a commit or a call: the process dies there, or somebody else acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge import crashpoint


class Crash(BaseException):
    """The process dies here."""


def die() -> None:
    raise Crash


@contextmanager
def at(point: str, act: Callable[[], object]) -> Iterator[None]:
    """`act` when `point` is passed for the first time. It must be passed."""
    passed = []

    def listen(name: str) -> None:
        if name == point and not passed:
            passed.append(name)
            act()

    crashpoint.listen(listen)
    try:
        yield
    finally:
        crashpoint.listen(None)
    assert passed, f"{point} was not passed"
