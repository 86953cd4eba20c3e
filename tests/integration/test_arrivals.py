"""The watchdog over requests that are slow to arrive: it ends the reading, and leaves the answer its way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bridge.web.arrivals import Arrivals, linger

LATE = float("inf")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_request_that_is_late_reads_as_ended_and_can_still_be_answered(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    arrivals = Arrivals(10)
    with arrivals.expect(ours):
        arrivals.cut(LATE)
        assert ours.recv(1) == b""
        ours.sendall(b"408")
    assert theirs.recv(3) == b"408"


def test_a_request_within_its_time_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    arrivals = Arrivals(10)
    with arrivals.expect(ours):
        arrivals.cut(0)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a_request_that_was_answered_is_watched_no_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    arrivals = Arrivals(10)
    with arrivals.expect(ours):
        pass
    arrivals.cut(LATE)
    theirs.sendall(b"x")
    assert ours.recv(1) == b"x"


def test_what_is_still_under_way_is_read_before_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"the rest of a body")
    theirs.shutdown(socket.SHUT_WR)
    linger(ours)
    assert theirs.recv(1) == b""
    assert ours.recv(1) == b""


def test_a_peer_that_is_gone_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    linger(ours)
