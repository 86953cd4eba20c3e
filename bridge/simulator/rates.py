"""Rate-limit rules: which one a call falls under, how much of its hour is left [OFFICIAL inbound rate limiting]."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import md5

from bridge.simulator.access import User

HOUR = 3600
# API names in the refusal: Table API is [OFFICIAL], the others follow it.
API_NAMES = {
    "table": "Table API",
    "import": "Import Set API",
    "stats": "Aggregate API",
    "attachment": "Attachment API",
    "batch": "Batch API",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """One API ("": all), for one user, or users with a role, or everybody."""

    limit: int  # calls in an hour
    api: str = ""
    user: str = ""
    role: str = ""
    lag: int = 30  # seconds between two counts: what came since the last one does not count yet [OFFICIAL: up to 30]

    @property
    def sys_id(self) -> str:
        return md5(f"{self.api}/{self.user}/{self.role}/{self.limit}".encode(), usedforsecurity=False).hexdigest()

    def covers(self, api: str, user: User) -> bool:
        return (
            self.api in ("", api)
            and self.user in ("", user.name)
            and (not self.role or self.role in (user.roles or ()))
        )

    @property
    def rank(self) -> tuple[int, int]:
        """The lowest rules: a user's own, then a role's, then everybody's; of several the lowest limit [OFFICIAL]."""
        return (0 if self.user else 1 if self.role else 2, self.limit)


@dataclass(slots=True)
class _Count:
    hour: int  # which hour since the epoch: a rule's hour is the clock's [UNVERIFIED]
    flush: int  # which lag since the epoch
    known: int = 0
    since: int = 0  # came after the last flush: not known yet

    def flushed(self, flush: int) -> int:
        if flush != self.flush:
            self.known, self.since, self.flush = self.known + self.since, 0, flush
        return self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    rule: RateRule
    reset: int  # Unix time at which the hour ends
    retry_after: int  # seconds; 0: the call may go on

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.rule.limit),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Rule": self.rule.sys_id,
        }


class Rates:
    """Not locked: its owner is."""

    def __init__(self, rules: tuple[RateRule, ...] = ()) -> None:
        self.rules = rules
        self._counts: dict[tuple[RateRule, str], _Count] = {}

    def judge(self, api: str, user: User, *, now: datetime) -> Verdict | None:
        """Count the call, each user's apart [UNVERIFIED]; None when no rule covers it."""
        covering = [rule for rule in self.rules if rule.covers(api, user)]
        if not covering:
            return None
        rule = min(covering, key=lambda rule: rule.rank)
        at = now.timestamp()
        hour = int(at) // HOUR
        flush = int(at // rule.lag) if rule.lag else -1
        count = self._counts.get((rule, user.name))
        if count is None or count.hour != hour:
            count = self._counts[rule, user.name] = _Count(hour=hour, flush=flush)
        known = count.flushed(flush) if rule.lag else count.since
        reset = (hour + 1) * HOUR
        if known >= rule.limit:
            return Verdict(rule=rule, reset=reset, retry_after=max(reset - int(at), 1))
        count.since += 1
        return Verdict(rule=rule, reset=reset, retry_after=0)
