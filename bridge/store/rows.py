"""What the queries give: frozen values, one for each thing that people look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.alert import Json, Severity
from bridge.log.entries import Entry

AlertId = tuple[int, int]  # (delivery, position): publicly "<delivery>-<position>"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    id: str  # as its delivery's answer named it
    source: str
    received_at: datetime
    outcome: str  # alert.Outcome
    reason: str  # "new", "repeat", a suppression's name, a quarantine code, …
    detail: str | None  # quarantine: the sentence for a person
    correlation_id: str | None  # None: quarantined or discarded
    status: str | None
    severity: Severity | None
    event_time: datetime | None
    target: str | None  # the route at intake
    covers_rest: bool  # stands for the whole delivery from its position on


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    id: int
    source: str
    tenant: str
    sender_id: str | None  # the sender's delivery id
    received_at: datetime
    content_type: str
    fingerprint: bytes
    body_bytes: int | None  # None: the body was erased
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRow:
    mapping: str
    digest: str
    first_used_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStory:
    """All that is known of one alert, but for its body."""

    alert: AlertRow
    seq: int | None  # within its correlation
    delivery: DeliveryRow
    revision: RevisionRow | None  # the mapping revision that mapped it
    number: str | None  # of its correlation's newest incident


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationRow:
    """A correlation with its newest incident; the incident's fields are None before the first."""

    row_id: int
    tenant: str
    correlation_id: str
    source: str  # of its newest alert
    mapping: str
    status: str
    severity: Severity | None
    count: int  # all alerts ever
    first_seen: datetime
    last_seen: datetime
    target: str | None
    episode: int
    incident: int | None  # row id
    number: str | None
    sys_id: str | None
    state: str | None  # planned | open | ended
    record_state: str | None  # ServiceNow's own, as our last write of it read it back
    last_decision: str | None
    due_at: datetime | None
    failures: int
    failure: str | None
    failure_text: str | None
    waits_for_person: bool
    given_up: int  # of what goes beside the incident
    paused_at: datetime | None  # of the target
    opened_for: str | None  # correlation ID that the incident's record carries
    shared_with: tuple[str, ...]  # correlation IDs of the others that share the incident


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRow:
    """One write to ServiceNow: what we meant to send, and what came of it as far as we know."""

    id: int
    incident: int
    operation: str
    reason: str
    target: str
    ref: str
    fields: Json  # as sent; empty: erased
    before: Json  # what was read of them before, where it was; empty: nothing, or erased
    started_at: datetime
    deadline: datetime
    outcome: str | None  # None: not known
    outcome_code: str | None
    number: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    id: int
    entry: Entry
    said: str | None = None  # the sentence for people that goes with it; None: none, or erased


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    name: str
    paused_at: datetime | None
    paused_by: str | None
    open_incidents: int
    due: int  # correlations that are due now, as the metric counts them
    held: int  # by its brakes: problems that wait for their create, and twins for their close
    waiting_for_person: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionRow:
    """What goes with an incident, once: an attachment, observables, an output."""

    kind: str  # attachment | observables | output:<name>
    number: str | None  # of the incident
    outcome: str  # planned (the incident is not there yet) | waits | added | given_up
    code: str | None  # why it was given up, or why it waits
    text: str | None  # the same for a person
    target: str
    tries: int  # that were sent and are not known to have worked
    due_at: datetime | None
    finished_at: datetime | None
