"""The look outside: what is kept and for how long, who waits, and what one GET takes."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from bridge.errors import Rejected
from bridge.web.network import (
    AGAIN_SECONDS,
    DOCUMENT_BYTES_MAX,
    FAILED_SECONDS,
    FETCHES_MAX,
    FRESH_SECONDS,
    KEPT_MAX,
    STALE_SECONDS_MAX,
    TOLD_SECONDS,
    WAITING_MAX,
    Network,
    Unreachable,
    fetched,
)

URL = "https://keys.example/jwks"


class World:
    """A clock, and an outside whose answer the test sets: bytes, None, or Unreachable."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.answer: bytes | Unreachable | None = b"one"
        self.asked: list[str] = []
        self.network = Network(lambda: self.now, get=self.get)

    def get(self, url: str) -> bytes | None:
        self.asked.append(url)
        if isinstance(self.answer, Unreachable):
            raise self.answer
        return self.answer

    def settled(self) -> None:
        """Until nothing is under way any more."""
        for thread in threading.enumerate():
            if thread.name == "outside":
                thread.join(10)


@pytest.fixture
def world() -> World:
    return World()


def not_now(network: Network, *, again: bool = False) -> bool:
    with pytest.raises(Rejected) as caught:
        network.document(URL, again=again)
    return (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "keys_unavailable", 5)


def test_a_document_is_fetched_once(world: World) -> None:
    assert [world.network.document(URL) for _ in range(3)] == [b"one"] * 3
    assert world.asked == [URL]


def test_an_old_one_serves_while_it_is_renewed(world: World) -> None:
    world.network.document(URL)
    world.now += FRESH_SECONDS + 1
    world.answer = b"two"
    assert world.network.document(URL) == b"one"
    world.settled()
    assert world.network.document(URL) == b"two"
    assert len(world.asked) == 2


def test_one_that_does_not_serve_is_asked_for_again_but_not_at_once(world: World) -> None:
    world.network.document(URL)
    world.answer = b"two"
    assert world.network.document(URL, again=True) == b"one"
    world.now += AGAIN_SECONDS
    assert world.network.document(URL, again=True) == b"two"
    assert len(world.asked) == 2


def test_what_is_not_there_is_not_asked_for_at_once_again(world: World) -> None:
    world.answer = None
    assert [world.network.document(URL) for _ in range(3)] == [None] * 3
    assert len(world.asked) == 1
    world.now += AGAIN_SECONDS
    world.answer = b"two"
    assert world.network.document(URL) == b"two"


def test_a_failure_is_a_503_and_not_asked_for_at_once_again(world: World) -> None:
    world.answer = Unreachable("HTTP 500")
    assert not_now(world.network)
    assert not_now(world.network)
    assert len(world.asked) == 1
    world.now += FAILED_SECONDS
    world.answer = b"one"
    assert world.network.document(URL) == b"one"


@pytest.mark.parametrize("answer", [Unreachable("HTTP 500"), None])
def test_what_was_there_serves_for_a_day_though_it_cannot_be_renewed(world: World, answer: Unreachable | None) -> None:
    world.network.document(URL)
    world.answer = answer
    world.now += STALE_SECONDS_MAX - 1
    assert world.network.document(URL) == b"one"
    world.settled()
    world.now += AGAIN_SECONDS
    with contextlib.suppress(Rejected):
        assert world.network.document(URL) is None


def test_asked_again_in_vain_it_is_a_503_not_a_guess(world: World) -> None:
    world.network.document(URL)
    world.answer = Unreachable("HTTP 500")
    world.now += AGAIN_SECONDS
    assert not_now(world.network, again=True)


def test_few_fetches_at_once_and_nobody_waits_behind_them() -> None:
    go = threading.Event()

    def hangs(_url: str) -> bytes | None:
        go.wait(10)
        return b"late"

    network = Network(lambda: 1_000.0, get=hangs, wait_seconds=0.01)
    urls = [f"https://keys.example/{number}" for number in range(FETCHES_MAX + 1)]
    for url in urls:
        with pytest.raises(Rejected):
            network.document(url)
    go.set()
    for thread in threading.enumerate():
        if thread.name == "outside":
            thread.join(10)
    assert [network.document(url) for url in urls[:FETCHES_MAX]] == [b"late"] * FETCHES_MAX  # it went on, and was kept


def test_few_requests_wait_for_the_same_fetch() -> None:
    go = threading.Event()

    def slow(_url: str) -> bytes | None:
        go.wait(10)
        return b"one"

    network = Network(lambda: 1_000.0, get=slow)
    got: list[bytes | None] = []

    def ask() -> None:
        with contextlib.suppress(Rejected):
            got.append(network.document(URL))

    askers = [threading.Thread(target=ask) for _ in range(WAITING_MAX + 3)]
    for asker in askers:
        asker.start()
    turned_away = 0
    while turned_away < 3:  # those above the bound do not wait for the fetch, which goes on
        turned_away = sum(not asker.is_alive() for asker in askers)
    assert got == []
    go.set()
    for asker in askers:
        asker.join(10)
    assert got == [b"one"] * WAITING_MAX


def test_of_many_documents_those_that_brought_nothing_go_first(world: World) -> None:
    world.network.document(URL)
    world.answer = None
    for number in range(KEPT_MAX + 5):
        world.now += 1
        world.network.document(f"https://keys.example/{number}")
    world.asked.clear()
    assert world.network.document(URL) == b"one"
    assert world.asked == []


def test_a_visit_is_made_each_time(world: World) -> None:
    assert world.network.visit(URL)
    assert world.network.visit(URL)
    world.answer = None
    assert not world.network.visit(URL)
    assert len(world.asked) == 3


def test_failures_are_told_once_a_minute(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.answer = Unreachable("HTTP 500")
    for number in range(3):
        with pytest.raises(Rejected):
            world.network.document(f"https://keys.example/{number}?token=t")
    assert caplog.messages == ["https://keys.example/0 could not be fetched, so deliveries wait: HTTP 500"]
    world.now += TOLD_SECONDS
    with pytest.raises(Rejected):
        world.network.document("https://keys.example/9")
    assert len(caplog.messages) == 2


def test_a_visit_that_fails_is_a_503(world: World) -> None:
    world.answer = Unreachable("HTTP 500")
    with pytest.raises(Rejected) as caught:
        world.network.visit(URL)
    assert caught.value.status == 503


class Site(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str | None]]] = []  # as a proxy is

    def do_GET(self) -> None:
        if self.path.startswith("http://"):
            self.asked.append((self.path, self.headers["Proxy-Authorization"]))
        status = int(self.path.partition("?")[0].rpartition("/")[2] or 200)
        body = b"x" * (DOCUMENT_BYTES_MAX + 1 if self.path.endswith("large") else 5)
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("path", "got"), [("/200", b"xxxxx"), ("/404", None), ("/403", None), ("/410", None)])
def test_what_one_get_takes(site: str, path: str, got: bytes | None) -> None:
    assert fetched(site + path) == got


@pytest.mark.parametrize("path", ["/302", "/301", "/500", "/503", "/429", "/204", "/200?large"])
def test_what_it_does_not_take(site: str, path: str) -> None:
    with pytest.raises(Unreachable):
        fetched(site + path)


def test_no_proxy_of_the_environment_is_asked(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetched(f"{site}/200") == b"xxxxx"


def test_the_proxy_that_is_configured_is_asked_with_its_credentials(site: str) -> None:
    """The site is the proxy: of what stands outside it is given the whole URL."""
    url = site.replace("http://", "http://ada:pa%20ss@")
    assert fetched("http://keys.example/200", proxy=lambda: url) == b"xxxxx"
    assert Site.asked == [("http://keys.example/200", "Basic " + base64.b64encode(b"ada:pa ss").decode())]


def test_a_proxy_whose_secret_cannot_be_used_is_not_gone_around(site: str) -> None:
    def gone() -> str:
        raise KeyError("PROXY")

    with pytest.raises(Unreachable, match=r"secret of server\.proxy"):
        fetched(f"{site}/200", proxy=gone)


def test_who_does_not_listen_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="ConnectionError"):
        fetched("http://127.0.0.1:9/")
