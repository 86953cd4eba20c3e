"""What a detector has at hand, and the verdict that it comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from bridge.doctor.cause_rows import Seen
from bridge.doctor.finding import Cause
from bridge.doctor.records import Records, Row
from bridge.settings import InstanceAuth

USER = "user_name active locked_out password_needs_reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """On one cause. It is so; or not; or nothing tells (`why`); or it is what is left, when nothing else is so."""

    evidence: tuple[Cause, ...] = ()  # it is so
    why: str = ""  # the records do not tell
    left: Cause | None = None  # what cannot be compared, and so is found by what the others are not; else `why` is told


NOT_SO = Verdict()


def so(what: str, do: str) -> Verdict:
    return Verdict(evidence=(Cause(what=what, do=do),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    records: Records
    seen: Seen
    auth: InstanceAuth
    named: Callable[[str], str]  # a key of `auth` -> its value as text, of those that are no secrets; "" for none
    user: str  # whom the instance takes us for, where that is known; "" else
    now: datetime  # aware UTC
    ahead: float | None  # seconds that our clock is ahead of the instance's; None: no answer told

    def user_row(self, name: str) -> Row | None:
        """Raises Unreadable, as every detector may."""
        rows = self.records.rows("sys_user", USER, where=("user_name", name))
        return rows[0] if rows else None

    def roles_of(self, name: str) -> frozenset[str]:
        """By sys_user_has_role, which has those that come with groups and other roles, too."""
        rows = self.records.rows("sys_user_has_role", "user.user_name role.name", where=("user.user_name", name))
        return frozenset(row["role.name"] for row in rows)

    def setting(self, name: str) -> str | None:
        """Of sys_properties; None where it is not set."""
        rows = self.records.rows("sys_properties", "name value", where=("name", name))
        return rows[0]["value"] if rows else None


def wrong_with(row: Row) -> str:
    """What a row of sys_user has that keeps its user out; "" where nothing does."""
    told = []
    if row["active"] != "true":
        told.append("is inactive")
    if row["locked_out"] == "true":
        told.append("is locked out")
    if row["password_needs_reset"] == "true":  # noqa: S105 (a column)
        told.append("has to change its password")
    return " and ".join(told)


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
