"""The words every part shares: severity, status, observable, and what a mapping makes of one alert. Pure.

What is made anew for every alert is a `msgspec.Struct`: frozen, keyword-only and slotted as our dataclasses are, and
made in an eighth of their time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

Json = Any  # a decoded JSON value: None, bool, int, float, str, list or dict of such


# What the bridge tells of itself comes from a source and a mapping of its own; no source of anyone's can be called so.
OWN_SOURCE = "(bridge)"
OWN_MAPPING = "bridge-attention"


class Severity(IntEnum):
    """How bad a problem is. Ordered; stored as the number, shown as the word."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        return self.name.lower()


SEVERITY_OF = {severity.word: severity for severity in Severity}


class Status(StrEnum):
    """What the source says of the problem in this alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What became of an alert at intake. A promise of the HTTP answer (CONTRACT)."""

    ACCEPTED = "accepted"
    SUPPRESSED = "suppressed"
    DROPPED = "dropped"
    QUARANTINED = "quarantined"


class Observable(msgspec.Struct, frozen=True, kw_only=True):
    kind: str  # our word: ip, sha256, user, …
    value: str


class JoinKey(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert has in common with those it may share an incident with, by one rule of its mapping's `join`."""

    digest: str  # hex: over the mapping's name, the rule and the values. Equal means alike; the target is not in it
    within: timedelta  # how old the open incident may be


class MappedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What intake needs to know of one alert. Built by `Mapping.map`; pure; no ServiceNow field is rendered yet."""

    correlation_id: str  # as ServiceNow stores it: 1 to 100 printable ASCII characters
    correlation_text: str  # the full text before the 100-character rule
    status: Status
    severity: Severity
    event_time: datetime | None  # UTC, by the source's clock; None when the mapping or the alert has none
    target: str | None  # the route's target; None: the route says drop
    route: str  # the route's place for the log: "route[0]"
    suppressed_by: str | None  # name of the first suppression that matched
    former_ids: tuple[str, ...] = ()  # as `correlation_id`: by the mapping's `formerly`, in its order; no ID of its own
    join_keys: tuple[JoinKey, ...] = ()  # in the order of the mapping's rules; a rule without all its values has none


AHEAD_MAX = timedelta(minutes=5)  # a source's clock may be this far ahead of ours


def believed(own: datetime | None, received: datetime) -> datetime:
    """The event time of an alert: its own, unless it has none or one too far ahead; then the time of receipt.

    Kept near its own, a time of next year would make what is said in the minutes after it seem older, a resolve too.
    """
    return own if own is not None and own <= received + AHEAD_MAX else received


def key_of(correlation_id: str) -> str:
    """The form in which correlation IDs are compared: as ServiceNow compares strings, without regard to case."""
    return correlation_id.lower()
