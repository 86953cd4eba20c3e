"""What a request carries to prove who we are: secrets as they are now, and a token, kept until it is to be renewed.

One for each instance of a process. A secret that changes is seen by the next call; one that cannot be read, as while
its file is written, leaves the last one in place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bridge.errors import Misconfigured, Transient
from bridge.servicenow.auth import Grant, Header
from bridge.servicenow.token import REFUSED, REFUSED_SECONDS, Token

RENEW_AGAIN_SECONDS = 10.0  # after a renewal that failed while the token still serves

Fetch = Callable[[Grant, str | None, float], Token]  # a token by this grant, or by a refresh token, before a deadline

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The token, and what it was had with."""

    grant: Grant
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """The endpoint is not asked again with these for a while: only a person can help, and users get locked out."""

    grant: Grant
    until: float
    error: Transient


class Access:
    """Thread-safe: however many calls need a new token at once, one request is made for it."""

    def __init__(self, read: Callable[[], Header | Grant], fetch: Fetch, *, monotonic: Callable[[], float]) -> None:
        """Raises Misconfigured when the secrets cannot be read now."""
        self._read = read
        self._fetch = fetch
        self._monotonic = monotonic
        self._known = read()
        self._renewing = threading.Lock()
        self._held: _Held | None = None
        self._refusal: _Refusal | None = None

    def headers(self, deadline: float) -> dict[str, str]:
        """For the next request. Raises Transient when a token is needed and is not to be had by the deadline."""
        known = self._secrets()
        return self._token(known, deadline).headers() if isinstance(known, Grant) else known.headers()

    def after_refusal(self, refused: dict[str, str], deadline: float) -> dict[str, str] | None:
        """ServiceNow answered 401 to these headers: other ones, or None when there are none that could do better."""
        held = self._held
        if held is not None and held.token.headers() == refused:
            with self._turn(deadline):
                if self._held is held:  # nobody has renewed it meanwhile
                    self._held = replace(held, token=_over(held.token))
        fresh = self.headers(deadline)
        return fresh if fresh != refused else None

    def changed(self) -> bool:
        """Whether the secrets are others than those of the last request."""
        try:
            return self._read() != self._known
        except Misconfigured:
            return False

    def _secrets(self) -> Header | Grant:
        try:
            self._known = self._read()
        except Misconfigured as error:
            _log.warning("the secrets in use stay so: %s", error.message)
        return self._known

    def _token(self, grant: Grant, deadline: float) -> Token:
        held = self._of(grant)
        now = self._monotonic()
        if held is not None and now < held.renew_at:
            return held
        if held is not None and now < held.expires_at and self._renewing.locked():
            return held  # somebody renews it already, and it serves until then
        with self._turn(deadline):
            return self._renewed(grant, deadline)

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        if not self._renewing.acquire(timeout=max(0.0, deadline - self._monotonic())):
            raise Transient("busy", "Another call waited for a token until the deadline.")
        try:
            yield
        finally:
            self._renewing.release()

    def _of(self, grant: Grant) -> Token | None:
        held = self._held
        return held.token if held is not None and held.grant == grant else None

    def _renewed(self, grant: Grant, deadline: float) -> Token:
        """Under the lock: by now another thread may have done it."""
        token = self._of(grant)
        now = self._monotonic()
        if token is not None and now < token.renew_at:
            return token
        try:
            fresh = self._fetched(grant, token.refresh if token is not None else None, deadline)
        except Transient as error:
            if token is None or now >= token.expires_at:
                raise
            _log.warning("the token in use serves on, its renewal failed: %s: %s", error.code, error.message)
            fresh = replace(token, renew_at=now + RENEW_AGAIN_SECONDS)
        self._held = _Held(grant=grant, token=fresh)
        return fresh

    def _fetched(self, grant: Grant, refresh: str | None, deadline: float) -> Token:
        refusal = self._refusal
        if refusal is not None and refusal.grant == grant and self._monotonic() < refusal.until:
            raise Transient(
                refusal.error.code, refusal.error.message, retry_after=refusal.until - self._monotonic()
            ) from refusal.error
        try:
            return self._by_refresh_or_anew(grant, refresh, deadline)
        except Transient as error:
            if error.code in REFUSED:
                self._refusal = _Refusal(grant=grant, until=self._monotonic() + REFUSED_SECONDS, error=error)
            raise

    def _by_refresh_or_anew(self, grant: Grant, refresh: str | None, deadline: float) -> Token:
        if refresh is not None:
            try:
                return self._fetch(grant, refresh, deadline)
            except Transient as error:
                if error.code not in REFUSED:  # a refresh token ends too: after 100 days, or when it is revoked
                    raise
        return self._fetch(grant, None, deadline)


def _over(token: Token) -> Token:
    return replace(token, renew_at=float("-inf"), expires_at=float("-inf"))
