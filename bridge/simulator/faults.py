"""Faults: what goes wrong, for which calls, how often. Pure but for its counters.

The interesting pairs are (was it applied, did the caller learn it): the caller must tell them apart by looking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    LATENCY = "latency"  # answers correctly, `seconds` late
    RATE_LIMIT = "rate_limit"  # 429, Retry-After `seconds`; not applied
    REFUSED = "refused"  # `status`, and ServiceNow's error body with `message` and `detail`; not applied
    SERVER_ERROR = "server_error"  # `status` 500, 502 or 503 with an HTML page; not applied, unless `applied`
    CANCELLED = "cancelled"  # 500 "Transaction cancelled"; applied nevertheless, unless `applied` is false
    NO_ANSWER = "no_answer"  # nothing comes until the caller hangs up; applied, unless `applied` is false
    HIBERNATING = "hibernating"  # 200 with the developer instance's HTML page; not applied
    LOGIN = "login"  # 302 to a login page; not applied
    LOGIN_PAGE = "login_page"  # 200 with a login page in HTML; not applied
    PROXY_PAGE = "proxy_page"  # 200 with a gateway's page that does not say that it is HTML; not applied
    NO_RESULT = "no_result"  # 200 or 201 with JSON that says nothing: `result` null, of an import empty; not applied
    BUSINESS_RULE = "business_rule"  # 403: a business rule aborted the write; not applied
    UNAUTHENTICATED = "unauthenticated"  # 401; not applied
    ACL = "acl"  # the refusal of a user without the rights; not applied
    CLOSED = "closed"  # the connection is closed without an answer; not applied, unless `applied`
    RESET_BEFORE_COMMIT = "reset_before_commit"  # the connection is reset; not applied
    RESET_AFTER_COMMIT = "reset_after_commit"  # applied, then the connection is reset: the reply is lost
    LATE_COMMIT = "late_commit"  # the connection is reset; applied `seconds` later
    DROPPED = "dropped"  # 202 and an empty body; never applied
    IMPORT_RACE = "import_race"  # applied without coalescing, as when another import runs at the same moment
    TRUNCATED = "truncated"  # applied; the JSON of the answer breaks off


WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OF_WRITES = frozenset(
    {FaultKind.LATE_COMMIT, FaultKind.DROPPED, FaultKind.BUSINESS_RULE, FaultKind.IMPORT_RACE}
)  # reads are never struck
# Where a fault may say whether it is applied, and what holds if it does not.
APPLIED = {
    FaultKind.SERVER_ERROR: False,
    FaultKind.CLOSED: False,
    FaultKind.CANCELLED: True,
    FaultKind.NO_ANSWER: True,
}
STATUSES = frozenset({500, 502, 503})
REFUSED_STATUSES = range(400, 600)
SECONDS_MAX = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: FaultKind
    methods: frozenset[str] = frozenset()  # empty: every method
    table: str = ""  # "": every table
    path: str = ""  # a part of the path; "": every path
    after: int = 0  # so many matching calls pass first
    times: int | None = 1  # then so many are hit; None: all, until the fault is removed
    seconds: float = 1.0  # of latency, until Retry-After, or until the late commit
    status: int = 503  # of server_error and refused
    applied: bool | None = None  # of those in APPLIED; None: as it stands there
    message: str = ""  # of refused
    detail: str | None = None  # of refused

    @property
    def is_applied(self) -> bool:
        return APPLIED.get(self.kind, False) if self.applied is None else self.applied

    def matches(self, method: str, path: str, table: str) -> bool:
        return (
            (not self.methods or method in self.methods)
            and (not self.table or self.table == table)
            and self.path in path
            and (self.kind not in OF_WRITES or method in WRITES)
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    met: int = 0
    hit: int = 0

    def strikes(self) -> bool:
        self.met += 1
        if self.met <= self.fault.after or (self.fault.times is not None and self.hit >= self.fault.times):
            return False
        self.hit += 1
        return True


class Faults:
    """The faults that wait. The first that matches strikes; latency adds to whatever comes after it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._armed = [_Armed(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        self._armed += [_Armed(fault) for fault in faults]

    def clear(self) -> None:
        self._armed.clear()

    def counts(self) -> list[tuple[Fault, int]]:
        """Each fault with how often it struck."""
        return [(armed.fault, armed.hit) for armed in self._armed]

    def strike(self, method: str, path: str, table: str) -> tuple[float, Fault | None]:
        """Seconds to wait, and the fault that this call meets."""
        wait = 0.0
        for armed in self._armed:
            if not armed.fault.matches(method, path, table) or not armed.strikes():
                continue
            if armed.fault.kind is not FaultKind.LATENCY:
                return wait, armed.fault
            wait += armed.fault.seconds
        return wait, None
