"""What rendering takes and gives: the values that cross from the mapping language to the sync worker. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from bridge.alert import Observable, Severity, Status
from bridge.correlation.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The names beside the alert that a mapping's texts may use. Times are aware UTC."""

    severity: Severity  # the worst of the episode
    status: Status
    source: str
    mapping: str
    now: datetime
    first_seen: datetime
    last_seen: datetime
    repeat_count: int
    correlation_id: str
    incident_number: str = ""  # "" before the create
    incident_url: str = ""
    incident_sys_id: str = ""  # of outputs alone, which are sent when the record is there

    @classmethod
    def of(
        cls, progress: Progress, severity: Severity, *, source: str, mapping: str, correlation_id: str, now: datetime
    ) -> Facts:
        """As a correlation's progress says, with the severity that the incident is to show."""
        return cls(
            severity=severity,
            status=progress.status or Status.FIRING,
            source=source,
            mapping=mapping,
            now=now,
            first_seen=progress.first_seen or now,
            last_seen=progress.last_seen or now,
            repeat_count=progress.repeat_count,
            correlation_id=correlation_id,
        )


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """A record named by its columns, to be looked up at the target: written as its sys_id, or not at all."""

    table: str  # "sys_user_group", "cmdb_ci_computer", …
    by: tuple[tuple[str, str], ...]  # (column, value), all must match; an empty value finds nothing
    otherwise: Find | None = None  # tried when none, or more than one, matches


class RenderedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent once beside a new incident: bounded text, control characters stripped."""

    name: str  # the engineer's, in the mapping
    kind: str  # outputs.KINDS
    fields: dict[str, str]  # of the body; those that are empty for this alert are left out
    finds: dict[str, Find] = {}  # of an enrichment: reference columns
    flags: tuple[str, ...] = ()  # of an enrichment: the parameters that are true

    @property
    def is_empty(self) -> bool:
        """Whether this alert gives nothing to send: a data map without data is nothing, too."""
        return not (self.fields.keys() - {"enrichment_mapping_id"} or self.finds)


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """Fields for one write: bounded text, control characters stripped, `[code]` defused in journal fields."""

    fields: dict[str, str] = {}
    finds: dict[str, Find] = {}  # reference fields: assignment_group and the mapping's `find`s
    observables: tuple[Observable, ...] = ()
    outputs: tuple[RenderedOutput, ...] = ()  # of a create: what is sent beside it
