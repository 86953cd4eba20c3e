"""How much one instance may be asked: calls at a time, calls in any hour, and what it says of its own limits.

ServiceNow's rules count by API, so what it says is kept by API, in each process; our budget counts all calls together,
and those of all processes where several serve.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol

from bridge.errors import Transient
from bridge.settings import Limits

HOUR_SECONDS = 3600.0
APIS_MAX = 64  # we call a handful
_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the instance said of one API. Times are readings of the monotonic clock."""

    calls: int  # an hour
    at: float
    resets_at: float | None  # when ServiceNow begins to count anew


class Share(Protocol):
    """What an instance's limits leave to this process. Raises Transient where that cannot be known: no call is made."""

    @property
    def waits(self) -> bool:
        """Whether a call waits for others to end: to begin more work for this instance would be to wait as well."""

    def take(self, seconds: float) -> int | None:
        """One of the concurrent calls, waited for so long; None when all were taken until then."""

    def give_back(self, slot: int) -> None:
        """The call that `take` allowed has ended. Never raises."""

    def spend(self) -> float:
        """Count one request of the hour. 0 when it was counted, else seconds until the next one may be."""


class Alone:
    """The share of a process that calls the instance alone: everything."""

    waits = False  # nobody else does, so to wait here is to go on soon

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float]) -> None:
        self._calls_per_hour = limits.calls_per_hour
        self._monotonic = monotonic
        self._free = threading.BoundedSemaphore(limits.concurrent_calls)
        self._lock = threading.Lock()
        self._started: deque[float] = deque()  # when the calls of the last hour began, oldest first

    def take(self, seconds: float) -> int | None:
        return 0 if self._free.acquire(timeout=seconds) else None

    def give_back(self, slot: int) -> None:  # noqa: ARG002
        self._free.release()

    def spend(self) -> float:
        now = self._monotonic()
        with self._lock:
            _forget_before(self._started, now - HOUR_SECONDS)
            if len(self._started) >= self._calls_per_hour:
                return self._started[0] + HOUR_SECONDS - now
            self._started.append(now)
            return 0.0


class Gate:
    """Every call passes here before it touches the network; what is turned away was not applied."""

    def __init__(self, limits: Limits, share: Share, *, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._share = share
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._started: dict[str, deque[float]] = {}  # when the calls of the last hour began, oldest first, by API
        self._learned: dict[str, Learned] = {}
        self._closed_until: dict[str, float] = {}

    @contextmanager
    def call(self, path: str, deadline: float) -> Iterator[None]:
        """Hold one of the concurrent calls and count it in the hour's budget. Waits no longer than the deadline."""
        slot = self._share.take(max(0.0, deadline - self._monotonic()))
        if slot is None:
            raise Transient("busy", f"{self._limits.concurrent_calls} calls were under way until the deadline.")
        try:
            self.spend(path)
            yield
        finally:
            self._share.give_back(slot)

    @property
    def waits(self) -> bool:
        return self._share.waits

    def spend(self, path: str) -> None:
        """Count one request. `call` has counted the first of a call."""
        now, api = self._monotonic(), api_of(path)
        with self._lock:
            for started in self._started.values():
                _forget_before(started, now - HOUR_SECONDS)
            self._refuse_while_closed(api, now)
            self._refuse_above_learned(api, now)
            counted = api in self._started or len(self._started) < APIS_MAX
            if counted:
                self._started.setdefault(api, deque()).append(now)
        try:
            self._refuse_above_budget()  # may ask the store: who learns of an answer does not wait for that
        except Transient:
            with self._lock, suppress(ValueError):  # an hour may have gone by
                if counted:
                    self._started[api].remove(now)
            raise

    def learn(self, path: str, headers: Mapping[str, str], *, limited: bool, retry_after: float | None) -> None:
        """From every answer: the headers of a rate-limit rule; `limited` by one now, for `retry_after` seconds."""
        now, api = self._monotonic(), api_of(path)
        resets_in = _resets_in(headers)
        limit = headers.get("X-RateLimit-Limit", "")
        with self._lock:
            if _NUMBER.fullmatch(limit) and int(limit) > 0:
                resets_at = now + resets_in if resets_in is not None else None
                self._learned[api] = Learned(calls=int(limit), at=now, resets_at=resets_at)
            wait = retry_after if retry_after is not None else resets_in
            if limited and wait is not None:
                self._closed_until[api] = now + wait

    def _refuse_while_closed(self, api: str, now: float) -> None:
        wait = self._closed_until.get(api, now) - now
        if wait > 0:
            raise Transient(
                "rate_limited", "ServiceNow has named the time until its limit allows more.", retry_after=wait
            )

    def _refuse_above_budget(self) -> None:
        wait = self._share.spend()
        if wait > 0:
            raise Transient(
                "call_budget",
                f"The {self._limits.calls_per_hour} calls of this hour are spent; raise limits.calls_per_hour "
                "of the instance if ServiceNow allows more.",
                retry_after=wait,
            )

    def _refuse_above_learned(self, api: str, now: float) -> None:
        known = self._learned.get(api)
        if known is None or known.at <= now - HOUR_SECONDS:  # a rule may have gone
            return
        since = now - HOUR_SECONDS
        if known.resets_at is not None:  # ServiceNow counts by the hour of its clock, or by that of its last reset
            since = known.resets_at - HOUR_SECONDS if now < known.resets_at else known.resets_at
        started = self._started.get(api, ())
        counted = [time for time in started if time >= since] if len(started) >= known.calls else []
        if len(counted) < known.calls:
            return
        again = known.resets_at if known.resets_at is not None and now < known.resets_at else counted[0] + HOUR_SECONDS
        raise Transient(
            "call_budget",
            f"ServiceNow allows {known.calls} calls an hour of {api}, and they are spent: "
            "a rate limit rule there says so.",
            retry_after=again - now,
        )


def _forget_before(started: deque[float], time: float) -> None:
    while started and started[0] <= time:
        started.popleft()


def api_of(path: str) -> str:
    """What rules are made for: the part of a path that names the API, without version, table or record."""
    parts = [part for part in path.split("/") if part and re.fullmatch(r"v[0-9]+", part) is None]
    return "/".join(parts[:3])


def _resets_in(headers: Mapping[str, str]) -> float | None:
    """Seconds, from the answer's own Date: no clock of ours comes into it."""
    reset = headers.get("X-RateLimit-Reset", "")
    try:
        sent = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError):
        return None
    if _NUMBER.fullmatch(reset) is None:
        return None
    return min(max(0.0, int(reset) - sent), HOUR_SECONDS)
