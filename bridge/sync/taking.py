"""The first look at a record that was there already, and was taken as the incident: what it shows, what of it is ours.

No write of ours is known to have made it: a store that was restored has forgotten that, or another tool did it. What a
create would write now, at each severity, tells which of them it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bridge.alert import Severity
from bridge.correlation.policy import Kind
from bridge.mapping.rendered import Facts
from bridge.servicenow.ownership import has_mark
from bridge.servicenow.record import Record
from bridge.store.held import WrittenField
from bridge.sync.reading import JOURNAL_FIELDS
from bridge.sync.sight import Sight


def columns(sight: Sight, now: datetime) -> frozenset[str]:
    """What the first look reads; nothing where there was one already."""
    due = sight.episode is not None and sight.episode.taken
    return frozenset(_at_each_severity(sight, now)[Severity.INFO]) if due else frozenset()


def first_look(sight: Sight, record: Record, now: datetime, *, installation: str) -> Sight:
    """The sight once it is known what the record shows. A field of a record with our mark that nobody has changed since
    it was made is ours; of any other it may be a person's, and is left where there is anything in it.
    """
    if sight.episode is None or not sight.episode.taken:
        return sight
    at_each = _at_each_severity(sight, now)
    # Of a twin that became the incident: its create said the same. What it lacks of later updates nobody has cleared.
    known, created = sight.held.incident.written, _created(sight, sight.progress.severity or Severity.INFO, now)
    written = {name: one for name, one in known.items() if name in created or record.text(name)}
    if not known and record.text("sys_mod_count") == "0" and has_mark(record, installation):
        ours = {*at_each[Severity.INFO], *sight.watched} & record.fields.keys()
        written = {name: WrittenField(read=record.text(name)) for name in sorted(ours)}
    severity = shown_by(record, at_each, sight.progress.severity or Severity.INFO)
    held = replace(sight.held, incident=replace(sight.held.incident, written=written))
    return replace(sight, held=held, episode=replace(sight.episode, taken=False, severity=severity))


def shown_by(record: Record, at_each: Mapping[Severity, Mapping[str, str]], present: Severity) -> Severity:
    """The severity of which the record shows most, of several the present one, or else the worst. One that shows
    nothing of any shows the lowest; where no column depends on the severity, there is nothing to raise.
    """
    if not any(at_each.values()):
        return present
    alike = {one: sum(record.text(name) == value for name, value in each.items()) for one, each in at_each.items()}
    most = max(alike.values())
    if most == 0:
        return Severity.INFO
    best = [one for one, many in alike.items() if many == most]
    return present if present in best else max(best)


def _created(sight: Sight, severity: Severity, now: datetime) -> Mapping[str, str]:
    """What a create would write now."""
    held, speaker = sight.held, sight.speaker
    about = {"source": held.source, "mapping": held.mapping, "correlation_id": held.correlation_id}
    facts = Facts.of(sight.progress, severity, now=now, **about)
    return speaker.published.mapping.render(speaker.element, Kind.CREATE, facts, sight.target.table).fields


def _at_each_severity(sight: Sight, now: datetime) -> dict[Severity, dict[str, str]]:
    """What a create would write at each severity, in the columns that depend on it."""
    fields = {one: _created(sight, one, now) for one in Severity}
    names = {name for each in fields.values() for name in each} - JOURNAL_FIELDS
    depend = sorted(name for name in names if len({each.get(name, "") for each in fields.values()}) > 1)
    return {one: {name: each.get(name, "") for name in depend} for one, each in fields.items()}
