"""What one round holds: an incident under its lease, the correlations that share it, and what will be true after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.correlation.policy import Episode
from bridge.correlation.progress import Pending, Progress, fold

LEASE = timedelta(seconds=120)  # of an incident, and of what goes beside it
# By one that asked for the time just before. A longer one is of a clock that was set back since, and binds nobody: its
# holder may be at work, as after any lease that has run out, and is fenced off alike.
LEASE_SEEN_MAX = 2 * LEASE

WINDOW_OVER = "late_commit_window_over"  # outcome_code of a write that was given up: it may still be applied one day
UNSETTLED = "lease_lost"  # outcome_code of a write that was applied, but settled by nobody: the next holder looks it up


class Part(StrEnum):
    """How a correlation came to an incident, and whether it is still of it."""

    OPENED = "opened"  # the incident was made for it: the record bears its ID
    JOINING = "joining"  # taken in, and the incident does not say so yet
    JOINED = "joined"
    LEAVING = "leaving"  # taken out by a person, and the incident does not say so yet
    LEFT = "left"


GONE = (Part.LEAVING.value, Part.LEFT.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a settlement says of one of the other correlations that share the incident."""

    correlation: int
    read_seq: int
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What is true once a decision has been carried out. Kept with the intent, so that whoever learns the outcome,
    the writer, or the next holder after a crash, settles the same."""

    kind: str  # policy.Kind
    reason: str  # policy.Reason
    read_seq: int  # alerts up to here are in it
    progress: Progress
    episode: Episode | None
    wake_at: datetime | None = None
    others: tuple[Share, ...] = ()  # settled with it
    told: tuple[int, ...] = ()  # correlations that were taken in or out, as the note of this write says


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenField:
    """One field of a record, as we sent it in this episode and as it came back."""

    sent: tuple[str, ...] = ()
    read: str | None = ""  # None: erased, and the field was ours when we last saw it

    def is_own(self, value: str) -> bool:
        """Whether a value that the record shows is of our own writing."""
        return self.read is None or value == self.read or value in self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A record as we last read it, or as our own write read it back: what differs later is somebody else's doing."""

    version: str  # differs whenever anybody has changed the record
    values: dict[str, str]  # of the fields that people are likely to change, and of those that we wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The local row of one incident, under our lease."""

    id: int
    target: str
    correlation_id: str  # what the record carries: of the correlation that it was opened for
    opened_number: int  # and which episode of that one it is
    state: str  # planned | open | ended
    sys_id: str | None
    number: str | None
    episode: Episode | None  # None while planned
    written: dict[str, WrittenField]
    record_state: str | None  # as our last write of it read it back; another one now is a person's doing
    state_before_close: str | None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a write sent, and what is settled once it has been applied."""

    settlement: Settlement
    fields: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An intent to be looked up before anything is sent: its outcome is not known, or it was a create that failed."""

    id: int
    correlation: int  # that it speaks of
    operation: str
    ref: str
    began_at: datetime  # of the incident's first intent: of a create, what ended before it was not made by it
    deadline: datetime
    known: bool  # we were told that it was not applied: look all the same, but wait for nothing
    code: str  # of the outcome that is open; "": nothing was noted, as after a crash
    made: str | None  # sys_id of a record that the create has made, though it is not known as applied
    made_number: str | None
    said: Said
    earlier: tuple[Said, ...]  # creates before it that may have made the record, the newest first

    @property
    def made_nothing(self) -> bool:
        """Every create was refused, for certain, and no record of one is known."""
        return self.known and self.made is None and self.code != WINDOW_OVER and not self.earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSource:
    """Where the alert that speaks for the correlation is found again."""

    delivery_id: int
    position: int
    correlation_id: str  # as it was mapped when it was taken in
    revision_id: int | None
    body: bytes | None  # as it came out of its envelope; None: erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Whose turn it is: rows by their ids, and the epoch under which alone they may be changed."""

    correlation: int
    incident: int
    epoch: int
    turn: str  # the source whose turn it was; "": creates waited for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the correlations that share an incident, mostly the only one, as it is under the lease."""

    correlation: int
    tenant: str
    correlation_id: str
    source: str
    mapping: str
    target: str | None
    episode_number: int  # 1, 2, …: of the episode that the incident is
    part: Part
    failures: int
    last_decision: str | None
    sync_asked_at: datetime | None  # a person asked to try again: what was refused before is forgotten
    progress: Progress  # as applied
    pending: Pending
    applied_seq: int
    read_seq: int

    @property
    def folded(self) -> Progress:
        return fold(self.progress, self.pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Member):
    """An incident, held for one round, and the correlation that speaks in it: of several, the one with most to say."""

    incident: Incident
    last_episode: Episode | None  # the one before, when `incident` is only planned
    last_number: str | None  # its incident's number in ServiceNow
    left_number: str | None  # of the incident that a person took it out of, when `incident` is only planned
    epoch: int
    doubt: Doubt | None
    tried: bool  # something was intended, and nothing was applied since
    alert: AlertSource | None  # the newest accepted alert
    others: tuple[Member, ...] = ()  # that share the incident now
    look_at: datetime | None = None  # somebody else has changed the record since: the round reads it, whatever is due
    looked: bool = False  # it has been read in this round
    leaving: tuple[tuple[int, str], ...] = ()  # (row id, ID) of those taken out of it, which it does not tell yet
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # (instance, table) of each target, for the log

    @property
    def all(self) -> tuple[Member, ...]:
        return (self, *self.others)

    @property
    def asked_at(self) -> datetime | None:
        """When a person last asked for a try."""
        return max((one.sync_asked_at for one in self.all if one.sync_asked_at is not None), default=None)

    @property
    def deciding(self) -> tuple[Member, ...]:
        """Those that one decision is about: all that share an open incident; else each is on its own."""
        return self.all if self.incident.state == "open" else (self,)
