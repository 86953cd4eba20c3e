"""The fields of one write: the mapping's, the target's and our own. Look-ups happen here, before the intent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.alert import Json
from bridge.correlation.policy import Decision, Kind, rises, shown
from bridge.errors import Permanent
from bridge.mapping.rendered import Facts, Find, Rendered
from bridge.servicenow.identity import refuse_what_does_not_fit
from bridge.servicenow.lookup import SEVERAL
from bridge.servicenow.ownership import display_of
from bridge.servicenow.record import Record
from bridge.servicenow.table import TableApi
from bridge.settings import CORRELATION_ID, Target
from bridge.store.additions import ATTACHMENT, OBSERVABLES, OUTPUT, Planned
from bridge.store.held import Held, Incident
from bridge.store.work import encode
from bridge.sync.alert import Speaker
from bridge.sync.fit import fit
from bridge.sync.reading import FIRST_STATE, JOURNAL_FIELDS, still_ours
from bridge.sync.sight import Sight, joining
from bridge.sync.speech import linked, taken_out, work_note


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    fields: dict[str, str]
    before: dict[str, str] = field(default_factory=dict)  # what was read of those of them that were read
    told: dict[str, Json] = field(default_factory=dict)  # for the log: what was cut, left or left out, or not found
    said: str = ""  # the same of values, which the log does not hold
    key: dict[str, str] = field(default_factory=dict)  # by which ServiceNow can find the record itself
    watched: frozenset[str] = frozenset()  # columns to be read back besides, with a create
    additions: tuple[Planned, ...] = ()  # what goes with the record, once a create is settled


def fields_for(
    sight: Sight,
    decision: Decision,
    record: Record | None,
    *,
    installation: str,
    ref: str,
    now: datetime,
    deadline: float,
) -> Writing:
    """What is sent. `record` as it was just read, None before a create; `deadline` bounds the look-ups.

    Raises Permanent where the instance's columns cannot hold what the record is known by.
    """
    held, target, speaker = sight.held, sight.target, sight.speaker
    facts = _facts(sight, decision, now)
    rose = rises(sight.episode, decision, sight.progress)
    rendered = speaker.published.mapping.render(speaker.element, decision.kind, facts, target.table, severity_rose=rose)
    found, told = find_records(rendered.finds, sight.table, deadline)
    key = _key(held, target, decision)
    if decision.kind is Kind.CREATE:
        fields = _create(held, speaker, target, rendered, installation=installation, ref=ref) | found | key
    else:
        own_way = {"work_notes", target.key_field}  # the one is worded below, the other never changes
        changed = {name: value for name, value in (rendered.fields | found).items() if name not in own_way}
        fields, left = still_ours(changed, record, held.incident.written) if record is not None else (changed, [])
        fields |= _transition(held, target, decision, rendered)
        own = rendered.fields.get("work_notes", "")
        fields["work_notes"] = work_note(
            decision.kind,
            decision.reason,
            facts.severity,
            own=own,
            count=facts.repeat_count,
            ref=ref,
            about=held.correlation_id if held.others else "",
            joined=[(one.correlation_id, one.folded.repeat_count) for one in joining(held)],
            left=[correlation_id for _, correlation_id in held.leaving],
        )
        told |= {"left_to_person": left} if left else {}
    if "risk_score" in fields and not _overrides_risk_score(target, rendered):
        del fields["risk_score"]
        told["left_out"] = ["risk_score"]
    refuse_what_does_not_fit(fields | (key if target.staging is not None else {}), target, sight.reading)
    fields, unfit = fit(fields, sight.reading, target)
    watched = sight.watched - fields.keys() if decision.kind is Kind.CREATE else frozenset()
    additions = tuple(_additions(sight, decision, rendered, facts))
    before = {name: record.text(name) for name in fields.keys() & record.fields.keys()} if record is not None else {}
    return Writing(
        fields=fields,
        before={name: value for name, value in before.items() if name not in JOURNAL_FIELDS},
        told=told | _names(unfit),
        said=_values(unfit),
        key=key,
        watched=watched,
        additions=additions,
    )


def _names(unfit: Mapping[str, Json]) -> dict[str, Json]:
    """Without the values that are no choice: those are said beside the entry."""
    return {word: sorted(what) if isinstance(what, dict) else what for word, what in unfit.items()}


def _values(unfit: Mapping[str, Json]) -> str:
    values = {name: value for what in unfit.values() if isinstance(what, dict) for name, value in what.items()}
    return "no choice: " + ", ".join(f"{name} {value}" for name, value in sorted(values.items())) if values else ""


def _additions(sight: Sight, decision: Decision, rendered: Rendered, facts: Facts) -> Iterator[Planned]:
    """Observables belong to security incidents alone. An output is worded when the record is there: see outputs.py."""
    if decision.kind is not Kind.CREATE:
        return
    if sight.speaker.published.mapping.attach:
        yield Planned(kind=ATTACHMENT)
    if rendered.observables and sight.target.table == "sn_si_incident":
        yield Planned(kind=OBSERVABLES, content=encode(rendered.observables))
    for output in rendered.outputs:
        yield Planned(kind=f"{OUTPUT}{output.name}", content=encode(facts))


def _facts(sight: Sight, decision: Decision, now: datetime) -> Facts:
    held = sight.held
    facts = Facts.of(
        sight.progress,
        shown(sight.episode, decision, sight.progress),
        source=held.source,
        mapping=held.mapping,
        correlation_id=held.correlation_id,
        now=now,
    )
    return replace(facts, incident_number=held.incident.number or "", incident_url=sight.record_url)


def _create(
    held: Held, speaker: Speaker, target: Target, rendered: Rendered, *, installation: str, ref: str
) -> dict[str, str]:
    previous = held.incident.number or held.last_number
    said = taken_out(held.left_number, ref) if held.left_number else linked(previous, ref) if previous else ""
    own = rendered.fields.get("work_notes", "")
    note = {"work_notes": "\n".join(part for part in (own, said) if part)} if said else {}
    identity = {
        "correlation_id": held.correlation_id,
        "correlation_display": display_of(speaker.published.mapping.display, installation),
    }
    return dict(target.defaults) | rendered.fields | note | identity


def episode_key(incident: Incident) -> str:
    """What the key column of its record holds."""
    return f"{incident.correlation_id}#{incident.opened_number}"


def _key(held: Held, target: Target, decision: Decision) -> dict[str, str]:
    """The correlation ID, and where the target has a column for it, the ID with the number of the episode."""
    incident = held.incident
    of_episode, correlation_id = episode_key(incident), incident.correlation_id
    if decision.kind is Kind.CREATE and incident.episode is not None:  # the next one, which is not planned yet
        of_episode, correlation_id = f"{held.correlation_id}#{held.episode_number + 1}", held.correlation_id
    return {target.key_field: of_episode, CORRELATION_ID: correlation_id}


def _transition(held: Held, target: Target, decision: Decision, rendered: Rendered) -> dict[str, str]:
    """State, code and notes of a close or a reopen, sent whatever the record shows; an update never writes them."""
    if decision.kind is Kind.CLOSE and target.close is not None and target.close.code is not None:
        notes = rendered.fields.get("close_notes") or target.close.notes
        return {"state": target.close.state, "close_code": target.close.code, "close_notes": notes}
    if decision.kind is Kind.REOPEN:
        return {"state": target.reopen_state or held.incident.state_before_close or FIRST_STATE[target.table]}
    return {}


def _overrides_risk_score(target: Target, rendered: Rendered) -> bool:
    """ServiceNow works the score out anew, over whatever was written, unless this stands beside it."""
    return (dict(target.defaults) | rendered.fields).get("risk_score_override") == "true"


def find_records(finds: Mapping[str, Find], table: TableApi, deadline: float) -> tuple[dict[str, str], dict[str, Json]]:
    """References by their sys_id, and for the log those that are left out: an incident without its CI is one, too."""
    found: dict[str, str] = {}
    missing: list[str] = []
    several: list[str] = []
    refused: dict[str, str] = {}
    for name, find in finds.items():
        try:
            sys_id = table.look_up(find, deadline=deadline)
        except Permanent as error:  # no such table, or no right to read it
            refused[name] = error.code
            continue
        if sys_id:
            found[name] = sys_id
        else:
            (several if sys_id == SEVERAL else missing).append(name)
    told: dict[str, Json] = {"not_found": missing, "found_several": several, "not_looked_up": refused}
    return found, {word: names for word, names in told.items() if names}
