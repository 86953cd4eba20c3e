"""Lints of how an incident lives and ends: no close, no time, suppressions that are over or soon will be. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from bridge.mapping.lint.subject import Finding, Subject
from bridge.mapping.model import Node

SOON = timedelta(days=14)


def no_way_to_close(subject: Subject) -> Iterator[Finding]:
    correlation = subject.root.get("correlation")
    if correlation is not None and correlation.get("close_when") is None:
        message = "there is no `close_when`: a person closes every incident that this opens"
        yield Finding(correlation, message, "close_when: {.status: resolved}", at_key=True)


def no_time(subject: Subject) -> Iterator[Finding]:
    if subject.root.get("time") is None:
        message = "there is no `time`: alerts that arrive out of order are taken as they come"
        yield Finding(subject.root.get("mapping") or subject.root, message, "time: .timestamp")


def suppression_is_over(subject: Subject) -> Iterator[Finding]:
    today = subject.against.today
    for until, last in _ends(subject):
        if last < today:
            yield Finding(until, f"this suppression ended with {last}", "delete it, or give it a new end")


def suppression_ends_soon(subject: Subject) -> Iterator[Finding]:
    today = subject.against.today
    for until, last in _ends(subject):
        if today <= last <= today + SOON:
            left = (last - today).days
            when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
            message = f"this suppression ends {when}: its alerts open incidents after that"
            yield Finding(until, message, "ask its owner; a new `until` keeps it")


def _ends(subject: Subject) -> Iterator[tuple[Node, date]]:
    """Each `until` and the day that it names, the last on which the suppression holds."""
    suppress = subject.root.get("suppress")
    for suppression in suppress.elements() if suppress is not None else []:
        if (until := suppression.get("until")) is not None:
            yield until, date.fromisoformat(str(until.value))
