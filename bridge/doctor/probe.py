"""Step: one marked record of each table is created, changed and cancelled. Its number is told; it is never deleted."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.doctor.causes import causes_of
from bridge.doctor.finding import Cause, Finding, not_tested, ok, wrong
from bridge.doctor.visit import Visit
from bridge.errors import Ambiguous, BridgeError
from bridge.servicenow.ownership import NO_DISPLAY, display_of
from bridge.servicenow.record import Record
from bridge.servicenow.ways import Way, way_of
from bridge.settings import CORRELATION_ID, Target

MARK = "incident-bridge-doctor"
NOBODY = "doctor"  # where a record of ours has its installation: no store takes it for its own
TEXT = "Test of the incident bridge's connection. Nothing has happened; this record is cancelled at once."
LOWEST = {"incident": {"impact": "3", "urgency": "3"}, "sn_si_incident": {"priority": "5"}}
CANCELLED = {"incident": "8", "sn_si_incident": "7"}
CHECKED = ("short_description", "description", "correlation_id", "correlation_display", "state")
NEVER = frozenset({"assignment_group", "assigned_to", "watch_list", "work_notes_list", "priority", "impact", "urgency"})


def parts(visit: Visit) -> tuple[str, ...]:
    """One target for each table and way of writing."""
    by_way = {(target.table, target.write, target.staging): target.name for target in reversed(visit.targets)}
    return tuple(target.name for target in visit.targets if target.name in by_way.values()) or ("",)


def write(visit: Visit, name: str) -> Finding:
    """Raises the BridgeError of a create that did not happen."""
    if not visit.write_probe:
        return not_tested("Nothing was written: --write-probe creates, changes and cancels one marked record.")
    target = next((target for target in visit.targets if target.name == name), None)
    if target is None:
        return not_tested("No target names the instance.")
    way, fields = way_of(target, visit.table), _fields(visit, target)
    try:
        record = _create(visit, way, target, fields)
    except BridgeError as error:
        return visit.failed(error, _table(target, error, creates=True))
    key = {column: fields[column] for column in (CORRELATION_ID, target.key_field)}
    done, lost = "created", _lost(record, fields)
    for verb, change in (
        ("changed", {"description": TEXT, "work_notes": TEXT}),
        ("cancelled", {"state": CANCELLED[target.table], "close_notes": TEXT}),
    ):
        sent = change | {name: fields[name] for name in ("correlation_id", "correlation_display")}
        try:
            after = way.update(record.sys_id, sent, key=key, deadline=visit.deadline())
        except BridgeError as error:
            left = Cause(what=f"{record.number} is still open.", do=f"Cancel {record.number} by hand.")
            return wrong(
                f"{record.number} was {done}, but not {verb}: {error.message}",
                *causes_of(visit.seen(error.code, error.message, _table(target, error, creates=False))),
                left,
            )
        done += f", {verb}"
        lost += _lost(after, change)
    if lost:
        what = f"An access rule or a business rule on {', '.join(lost)} undoes it without a word."
        do = (
            f"Let the integration user write these fields of {target.table}, and see that {record.number} is cancelled."
        )
        said = f"{record.number} was {done}, but {', '.join(lost)} came back as something else."
        return wrong(said, Cause(what=what, do=do))
    return ok(f"{record.number} was {done.replace(', cancelled', ' and cancelled')}. It is left as it is.")


def _table(target: Target, error: BridgeError, *, creates: bool) -> str:
    """The table whose rules have refused: of a write by import that is the staging table."""
    staging = target.staging
    by_import = staging is not None and (creates or staging.coalesces)
    return staging.table if staging is not None and by_import and error.code == "acl" else target.table


def _lost(record: Record, sent: Mapping[str, str]) -> list[str]:
    """Fields that ServiceNow took and did not keep, which is how it treats what a rule forbids."""
    return [name for name in CHECKED if name in sent and record.text(name) != sent[name]]


def _create(visit: Visit, way: Way, target: Target, fields: Mapping[str, str]) -> Record:
    try:
        return way.create(fields, deadline=visit.deadline())
    except Ambiguous:
        # It may be there. Whatever the look-up says, nothing is created a second time.
        found = visit.table.find(target.table, fields[CORRELATION_ID], deadline=visit.deadline())
        if not found:
            raise
        return found[0]


def _fields(visit: Visit, target: Target) -> dict[str, str]:
    """With the target's defaults, for a policy may ask for them; without whoever would be told of it."""
    ident = f"{MARK}:{visit.clock():%Y%m%dT%H%M%S.%fZ}"
    return {
        **{name: value for name, value in target.defaults if name not in NEVER},
        **LOWEST[target.table],
        "short_description": TEXT,
        CORRELATION_ID: ident,
        target.key_field: ident,
        "correlation_display": display_of(NO_DISPLAY, NOBODY),
    }
