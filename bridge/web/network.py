"""The only look outside that intake takes: certificates of Amazon SNS, keys of identity providers, a confirmation.

Which URLs are asked for is settled before: by the settings, or by a host that is pinned. A fetch runs in a thread of
its own, a few at once; a request waits for it for a moment and is answered 503 where that is not enough, so that those
who make us look outside cannot hold the threads that all senders share. What was fetched is kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import requests

from bridge.errors import Rejected

FETCHES_MAX = 4  # at once; a request that would need one more is answered 503
WAITING_MAX = 4  # requests that wait for a fetch; one more is answered 503 at once
WAIT_SECONDS = 3.0  # of a request for a fetch; the fetch goes on, and the sender's next try finds what it brought
PHASE_SECONDS = 2.0  # of a fetch: to connect, and for each piece of the answer
FRESH_SECONDS = 3_600.0  # older ones are renewed, in the background
AGAIN_SECONDS = 60.0  # so often a document is asked for again that does not serve, or was not there
FAILED_SECONDS = 5.0  # after a failure
STALE_SECONDS_MAX = 24 * 3_600.0  # so long a document serves that cannot be renewed
KEPT_MAX = 100
TOLD_SECONDS = 60.0  # so often a failure is logged
DOCUMENT_BYTES_MAX = 256 * 1024
GONE = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

_log = logging.getLogger(__name__)


class Unreachable(Exception):
    """The other side could not be asked; the text says why."""


@dataclass(slots=True)
class _Kept:
    body: bytes | None  # None: there is nothing at this URL, or it was never had
    had_at: float  # when `body` was true
    retry_at: float  # before, it is not asked for again
    absent: bool = False


class _Fetch:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.body: bytes | None = None
        self.problem: str | None = None


class Network:
    """The Outside of a serving process, shared by all its threads."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        get: Callable[[str], bytes | None] | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """`get` returns what stands at a URL, None where nothing does, and raises Unreachable."""
        self._monotonic = monotonic
        self._get = get or fetched
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._under_way: dict[str, _Fetch] = {}
        self._waiting = threading.Semaphore(WAITING_MAX)
        self._told_at: float | None = None

    def document(self, url: str, *, again: bool = False) -> bytes | None:
        with self._lock:
            now = self._monotonic()
            kept = self._kept.get(url)
            has_it = kept is not None and kept.body is not None and now - kept.had_at <= STALE_SECONDS_MAX
            if kept is not None and now < kept.retry_at:
                if has_it or kept.absent:
                    return kept.body
                raise _not_now()
            renew = not has_it or again or (kept is not None and now - kept.had_at > FRESH_SECONDS)
            if kept is not None and not renew:
                return kept.body
            fetch = self._start(url, keep=True)
            if has_it and kept is not None and not again:
                return kept.body  # whoever comes later has the new one
        return self._awaited(fetch)

    def visit(self, url: str) -> bool:
        with self._lock:
            fetch = self._start(url, keep=False)
        return self._awaited(fetch) is not None

    def _awaited(self, fetch: _Fetch | None) -> bytes | None:
        if fetch is None or not self._waiting.acquire(blocking=False):
            raise _not_now()
        try:
            if not fetch.done.wait(self._wait_seconds) or fetch.problem is not None:
                raise _not_now()
        finally:
            self._waiting.release()
        return fetch.body

    def _start(self, url: str, *, keep: bool) -> _Fetch | None:
        """Joins one that is under way. None: too many are. Under the lock."""
        if (fetch := self._under_way.get(url)) is not None:
            return fetch
        if len(self._under_way) >= FETCHES_MAX:
            return None
        fetch = self._under_way[url] = _Fetch()
        threading.Thread(target=self._run, args=(url, fetch, keep), name="outside", daemon=True).start()
        return fetch

    def _run(self, url: str, fetch: _Fetch, keep: bool) -> None:
        fetch.problem = "it ended in an error of ours"
        try:
            fetch.body = self._get(url)
            fetch.problem = None
        except Unreachable as error:
            fetch.problem = str(error)
            self._tell(url, error)
        finally:
            with self._lock:
                del self._under_way[url]
                if keep:
                    self._keep(url, fetch)
            fetch.done.set()

    def _tell(self, url: str, error: Unreachable) -> None:
        """Once a minute: what makes us look outside may come from anybody."""
        with self._lock:
            now = self._monotonic()
            due = self._told_at is None or now - self._told_at >= TOLD_SECONDS
            self._told_at = now if due else self._told_at
        if due:
            _log.warning("%s could not be fetched, so deliveries wait: %s", url.partition("?")[0], error)

    def _keep(self, url: str, fetch: _Fetch) -> None:
        now = self._monotonic()
        kept = self._kept.get(url)
        absent = fetch.problem is None and fetch.body is None
        if fetch.body is not None or (absent and (kept is None or kept.body is None)):
            self._kept[url] = _Kept(body=fetch.body, had_at=now, retry_at=now + AGAIN_SECONDS, absent=absent)
        elif kept is not None:  # what was there a while ago serves on, even where it is said to be gone
            kept.retry_at = now + (AGAIN_SECONDS if absent else FAILED_SECONDS)
        else:
            self._kept[url] = _Kept(body=None, had_at=now, retry_at=now + FAILED_SECONDS)
        if len(self._kept) > KEPT_MAX:  # first what brought nothing, then what was had longest ago
            del self._kept[min(self._kept, key=lambda one: (self._kept[one].body is not None, self._kept[one].had_at))]


def fetched(url: str, *, proxy: Callable[[], str] | None = None) -> bytes | None:
    """One GET: no redirects, no proxy or credentials from the environment, no cookies, of bounded size and time.

    `proxy` gives the URL of the one that is configured, as its secret is now.
    """
    try:
        proxies = {} if proxy is None else dict.fromkeys(("http", "https"), proxy())
    except (KeyError, OSError, ValueError) as error:
        raise Unreachable("the secret of server.proxy cannot be used as it is now") from error
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.proxies.update(proxies)
            with session.get(url, allow_redirects=False, stream=True, timeout=PHASE_SECONDS) as answer:
                if answer.status_code in GONE:
                    return None
                if answer.status_code != HTTPStatus.OK:
                    raise Unreachable(f"HTTP {answer.status_code}")
                body = b""
                for chunk in answer.iter_content(1 << 14):
                    body += chunk
                    if len(body) > DOCUMENT_BYTES_MAX:
                        raise Unreachable(f"it is larger than {DOCUMENT_BYTES_MAX} bytes")
                return body
    except requests.RequestException as error:
        raise Unreachable(type(error).__name__) from error


def _not_now() -> Rejected:
    message = "The keys that this delivery is verified with could not be fetched. Send it again a little later."
    return Rejected(503, "keys_unavailable", message, retry_after=5)
