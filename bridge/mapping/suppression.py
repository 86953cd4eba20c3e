"""The `suppress:` section: what is not told, why, until when, and in which hours. Pure, but for time zone data."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from bridge.mapping.compiler import Compiler
from bridge.mapping.conditions import Condition, compile_condition
from bridge.mapping.evaluate import AFTER_STATUS
from bridge.mapping.language import nearest
from bridge.mapping.model import UNTIL_DAYS_MAX, Node, Report

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours of a week on the clock of a place, summer time and all. Over midnight, `days` has the day it began."""

    days: frozenset[int]  # 0 is Monday
    start: time
    end: time  # not in it; before `start`: of the next day; the same: 24 hours
    zone: zoneinfo.ZoneInfo

    def holds(self, moment: datetime | None) -> bool:
        """Whether an aware time is within the window. Without a time nothing is kept quiet."""
        if moment is None:
            return False
        try:
            there = moment.astimezone(self.zone)
        except (OverflowError, ValueError):  # a time at the end of the calendar
            return False
        clock, day = there.time(), there.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        return (clock >= self.start and day in self.days) or (clock < self.end and (day - 1) % 7 in self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    name: str
    reason: str
    ticket: str
    ends_at: datetime | None  # None: permanent
    window: Window | None  # None: at all hours
    when: Condition


def compile_suppressions(node: Node | None, compiler: Compiler, today: date | None) -> tuple[Suppression, ...]:
    report = compiler.report
    result: dict[str, Suppression] = {}
    for child in node.elements() if node is not None else []:
        if not report.keys(child, "suppress", ("name", "reason", "when")):
            continue
        name, reason, ticket = (_text(child, key, report) for key in ("name", "reason", "ticket"))
        when, window = child.get("when"), child.get("window")
        if name in result:
            report.error(child, f"a suppression `{name}` stands here twice", "each has a name of its own")
        result[name] = Suppression(
            name=name,
            reason=reason,
            ticket=ticket,
            ends_at=_end(child, report, today),
            window=compiler.watch.row(window, _window(window, report)) if window is not None else None,
            when=compile_condition(when, compiler.names, AFTER_STATUS, report) if when is not None else _never,
        )
    return tuple(result.values())


def _text(node: Node, key: str, report: Report) -> str:
    child = node.get(key)
    return report.text(child) if child is not None else ""


def _never(_: object) -> bool:
    return False


def _end(node: Node, report: Report, today: date | None) -> datetime | None:
    """`until` is the last day on which the suppression holds, in UTC; None: `permanent: true`."""
    until, permanent = node.get("until"), node.get("permanent")
    if (until is None) == (permanent is None):
        report.error(node, "a suppression has an end", "until: 2027-03-31, or permanent: true")
    if permanent is not None and permanent.value is not True:
        report.error(permanent, "`permanent` is true, or is left out for `until`")
    if until is None:
        return None
    try:
        day = date.fromisoformat(str(until.value))
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        report.error(until, f"`{until.value}` is not a date", "2027-03-31")
        return None
    if today is not None and day - today > timedelta(days=UNTIL_DAYS_MAX):
        report.error(
            until, f"`{until.value}` is more than twelve months away", "permanent: true, if it is meant to stay"
        )
    return end


def _window(node: Node, report: Report) -> Window | None:
    """`{days: [sat], from: "22:00", to: "04:00", tz: Europe/Berlin}`; without days every day, without hours all day."""
    if not report.keys(node, "window", ("tz",)):
        return None
    days, zone, start, end = node.get("days"), node.get("tz"), node.get("from"), node.get("to")
    if (start is None) != (end is None):
        report.error(node, "`from` and `to` go together", 'from: "22:00", to: "04:00"')
    if days is None and start is None:
        report.error(node, "a window has days, hours or both", '{days: [sat], from: "22:00", to: "04:00", tz: …}')
    first, last = (_clock(one, report) if one is not None else None for one in (start, end))
    if end is not None and first is not None and first == last:
        report.error(end, "the window ends when it begins", "leave `from` and `to` out for whole days")
    if days is not None and not days.elements():
        report.error(days, "names no day", "days: [sat, sun], or leave it out for every day")
    found = _zone(zone, report) if zone is not None else None
    numbers = frozenset(_day(day, report) for day in days.elements()) if days is not None else frozenset(range(7))
    if found is None:
        return None
    return Window(days=numbers, start=first or time(0), end=last or time(0), zone=found)


def _day(node: Node, report: Report) -> int:
    if node.value in DAYS:
        return DAYS.index(node.value)
    report.error(node, f"`{node.value}` is not a day", nearest(str(node.value).lower(), list(DAYS)))
    return 0


def _clock(node: Node, report: Report) -> time | None:
    if isinstance(node.value, str) and _CLOCK.fullmatch(node.value):
        return time.fromisoformat(node.value)
    report.error(node, f"`{node.value}` is not a time of day", '"22:00", of 24 hours')
    return None


def _zone(node: Node, report: Report) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(str(node.value))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(zoneinfo.available_timezones())
        if not known:
            report.error(node, "this machine knows no time zones", "install the package tzdata")
            return None
        hint = nearest(str(node.value), known)
        report.error(
            node, f"`{node.value}` is not a time zone", hint if "did you mean" in hint else "Europe/Berlin, UTC"
        )
        return None
