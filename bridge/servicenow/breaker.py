"""An instance that does not answer, or takes no credentials, is left alone; one call at a time tries it again.

    closed ── failures in a row ──► open ── its time is over ──► half_open ── the probe worked ──► closed
                                      ▲                              │
                                      └──────── it failed ───────────┘

What is turned away was not applied. Each process has its own. An API other than the Table API, and a table that is
only written beside incidents, have breakers of their own: one that takes no calls of ours holds up nothing but itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from bridge.errors import BridgeError, Transient

FAILURES_MAX = 5  # in a row
PROBE_SECONDS = 1.0  # what is turned away during a probe comes back after so long

# Codes of outcomes that say something of the instance, not of the one call.
DOWN = frozenset(
    [
        *("dns_failed", "connect_failed", "connect_timed_out", "tls_failed", "proxy_failed"),
        *("timed_out", "connection_lost", "server_error", "hibernating", "redirected", "html_answer"),
        *("unreadable_answer", "no_token"),
    ]
)
# Of a call to whatever API: what it means, it means for all of the instance.
REACH = frozenset(
    [
        *("dns_failed", "connect_failed", "connect_timed_out", "tls_failed", "proxy_failed", "proxy_unauthenticated"),
        *("token_refused", "invalid_client", "invalid_grant", "unauthorized_client", "key_unusable"),
    ]
)
# A person must correct something, and users who keep trying get locked out: the second one in a row is enough.
CREDENTIALS = frozenset(
    [
        *("unauthenticated", "token_refused", "invalid_client", "invalid_grant", "unauthorized_client"),
        *("key_unusable", "proxy_unauthenticated"),
    ]
)
CREDENTIALS_WEIGHT = 3
# A secret that changes may be the end of these: the address of a proxy stands in one, too.
MENDABLE = CREDENTIALS | {"proxy_failed"}
# Nothing was asked of the instance, or it answered that it is well but busy.
NEUTRAL = frozenset(
    [
        *("busy", "call_budget", "rate_limited", "deadline_passed"),
        *("store_unavailable", "store_busy", "store_conflict"),  # calls could not be counted, so none was made
    ]
)
INSTANCE_HELD, API_HELD = "instance_held", "api_held"  # codes of what is turned away
HELD_CODES = frozenset([INSTANCE_HELD, API_HELD])
DOWN_SECONDS = (1.0, 60.0)  # the first time that it is open, and the longest; doubled in between
CREDENTIALS_SECONDS = (60.0, 300.0)


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


HELD = {State.CLOSED: 0.0, State.HALF_OPEN: 0.5, State.OPEN: 1.0}  # as a metric


class Breaker:
    """Thread-safe. `api`: the one that this is of, where it is not of the whole instance; `spares_incidents`: whether
    none is written by it.
    """

    def __init__(
        self, host: str, *, monotonic: Callable[[], float], api: str = "", spares_incidents: bool = False
    ) -> None:
        self._api = api
        self._spares_incidents = spares_incidents
        self._named = f"{api} at {host}" if api else host
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._opened = 0  # times in a row
        self._until: float | None = None  # None: closed
        self._probing = False
        self._last = ""  # the sentence of the last failure
        self._refused = False  # with one of MENDABLE, since a call last worked
        self._mended = 0

    @contextmanager
    def call(self) -> Iterator[bool]:
        """Around one call; yields whether it is the probe. Raises Transient, of HELD_CODES, while none is made."""
        probe = self._enter()
        try:
            yield probe
        except BridgeError as error:
            self._note(error, probe=probe)
            raise
        except BaseException:
            self._release(probe=probe)
            raise
        self._worked()

    @property
    def state(self) -> State:
        with self._lock:
            if self._until is None:
                return State.CLOSED
            return State.OPEN if self._monotonic() < self._until else State.HALF_OPEN

    @property
    def held(self) -> bool:
        """Whether a call would be turned away now."""
        with self._lock:
            return self._until is not None and (self._probing or self._monotonic() < self._until)

    @property
    def problem(self) -> str:
        """A sentence on what is wrong; empty when all is well."""
        with self._lock:
            if self._until is None:
                return ""
            spared = "; incidents are written all the same" if self._spares_incidents else ""
            return f"{self._named} is left alone for now{spared}. {self._last.rstrip('.')}."

    @property
    def refused(self) -> bool:
        """Whether something failed that a changed secret may mend, and nothing worked since."""
        with self._lock:
            return self._refused

    @property
    def mended(self) -> int:
        """How often what was refused or turned away came to be worth a try again: a secret changed, a call worked."""
        with self._lock:
            return self._mended

    def noticed(self, error: BridgeError) -> None:
        """A call past this breaker has failed, for a reason that this one is to know of."""
        self._failed(error, probe=False)

    def forget(self) -> None:
        """Something has changed that may have been the reason, whatever it was: what was turned away is tried again."""
        with self._lock:
            self._refused = True
        self._worked()

    def _enter(self) -> bool:
        with self._lock:
            if self._until is None:
                return False
            wait = self._until - self._monotonic()
            if self._probing or wait > 0:
                what = self._named if self._api else f"ServiceNow at {self._named}"
                told = f"{what} is left alone until a probe of it works. {self._last}"
                raise Transient(API_HELD if self._api else INSTANCE_HELD, told, retry_after=max(wait, PROBE_SECONDS))
            self._probing = True
            return True

    def _note(self, error: BridgeError, *, probe: bool) -> None:
        if error.code in NEUTRAL:
            self._release(probe=probe)
        elif error.code in DOWN or error.code in CREDENTIALS:
            self._failed(error, probe=probe)
        else:
            self._worked()

    def _worked(self) -> None:
        with self._lock:
            self._failures, self._opened, self._until, self._probing = 0, 0, None, False
            self._mended += self._refused
            self._refused = False

    def _failed(self, error: BridgeError, *, probe: bool) -> None:
        with self._lock:
            if self._until is not None and not probe:
                return  # it began before the others failed
            self._failures += CREDENTIALS_WEIGHT if error.code in CREDENTIALS else 1
            self._refused = self._refused or error.code in MENDABLE
            self._last = error.message
            if not probe and self._failures < FAILURES_MAX:
                return
            first, most = CREDENTIALS_SECONDS if error.code in CREDENTIALS else DOWN_SECONDS
            self._until = self._monotonic() + min(most, first * 2.0**self._opened)
            self._opened += 1
            self._probing = False

    def _release(self, *, probe: bool) -> None:
        if probe:
            with self._lock:
                self._probing = False
