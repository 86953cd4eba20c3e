"""Step: one marked record of each table is created, changed and cancelled. Its number is told; it is never deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bridge.doctor.causes import causes_of
from bridge.doctor.finding import Cause, Finding, not_tested, ok, wrong
from bridge.doctor.visit import Visit
from bridge.errors import Ambiguous, BridgeError, Permanent
from bridge.servicenow.import_set import NOT_COALESCED, SEVERAL_RECORDS
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
    """What may be left open is told before it is made: whoever interrupts it knows what to look for."""
    if not visit.write_probe:
        return not_tested("Nothing was written: --write-probe creates, changes and cancels one marked record.")
    target = next((target for target in visit.targets if target.name == name), None)
    if target is None:
        return not_tested("No target names the instance.")
    probe = _Probe(visit, target)
    try:
        return probe.walk()
    except BaseException:  # a signal, or a bug: the record must not stay open unsaid
        probe.break_off()
        raise


class _Probe:
    """One record's way."""

    def __init__(self, visit: Visit, target: Target) -> None:
        self._visit = visit
        self._target = target
        self._way: Way = way_of(target, visit.table)
        self._fields = _fields(visit, target)
        self._record: Record | None = None
        self._begun = self._over = False  # a record may be there; none is open
        self._finds_no_record = False  # the transform map: what is sent through it makes one more

    def walk(self) -> Finding:
        ident, table = self._fields[CORRELATION_ID], self._target.table
        self._visit.say(f"One record of {table} is made now, with the correlation ID {ident}.")
        self._begun = True
        try:
            record = self._record = self._create()
        except BridgeError as error:
            found = self._visit.failed(error, _table(self._target, error, creates=True))
            made = self._take_back(error)
            self._over = True
            return replace(found, causes=(*found.causes, *self._may_appear(error), *made))
        self._visit.say(f"It is {record.number}.")
        changed = self._changed({"description": TEXT, "work_notes": TEXT})
        cancelled = self._changed(self._cancelling())  # also where the change was refused: nothing stays open unasked
        self._over = True
        lost = [*_lost(record, self._fields), *changed.lost, *cancelled.lost]
        others = _others([*map(str, record.beside), *changed.beside, *cancelled.beside])
        found = _finding(record, lost, changed, cancelled)
        if others and not found.causes:
            found = wrong(f"{found.said} It is not all that the rows have made.")
        return replace(found, causes=(*found.causes, *others))

    def _take_back(self, error: BridgeError) -> list[Cause]:
        """Cancel what a create has made that cannot be used as it is, by its sys_id: the way may not find it."""
        if not isinstance(error, Permanent) or error.made is None:
            return []
        sys_id, number = error.made
        table, cancelling = self._target.table, self._cancelling()
        try:
            after = self._visit.table.update(table, sys_id, cancelling, deadline=self._visit.deadline())
        except BridgeError as refusal:
            what = f"{number} was made all the same, and is still open: {refusal.message}"
            return [Cause(what=what, do=f"Cancel {number} by hand.")]
        if _lost(after, cancelling):
            return [Cause(what=f"{number} was made all the same, and is still open.", do=f"Cancel {number} by hand.")]
        self._visit.say(f"{number} was made all the same, and is cancelled.")
        if error.code != SEVERAL_RECORDS:
            return []
        return [Cause(what=f"Of what the row has made, {number} alone is cancelled.", do="Cancel the others by hand.")]

    def break_off(self) -> None:
        """Cancel what may be there, and say what is left. A second signal ends that too; by then it is told."""
        if self._over or not self._begun:
            return
        ident, table = self._fields[CORRELATION_ID], self._target.table
        if self._record is None:
            self._visit.say(
                f"Interrupted: a record of {table} with the correlation ID {ident} may be there, or appear within "
                "minutes. It is looked for."
            )
            with suppress(BridgeError):
                found = self._visit.table.find(table, ident, deadline=self._visit.deadline())
                self._record = found[0] if found else None
        if self._record is None:
            self._visit.say(f"It is not there yet. Look for {ident} again in some minutes, and cancel it by hand.")
            return
        self._visit.say(f"Interrupted: {self._record.number} is still open. It is cancelled now.")
        error = self._changed(self._cancelling()).error
        number = self._record.number
        if error is None:
            self._visit.say(f"{number} is cancelled.")
        else:
            self._visit.say(f"{number} could not be cancelled: {error.message} Cancel {number} by hand.")

    def _create(self) -> Record:
        try:
            return self._way.create(self._fields, deadline=self._visit.deadline()).record
        except Ambiguous:
            # It may be there. Whatever the look-up says, nothing is created a second time.
            ident = self._fields[CORRELATION_ID]
            with suppress(BridgeError):
                if found := self._visit.table.find(self._target.table, ident, deadline=self._visit.deadline()):
                    return found[0]
            raise

    def _changed(self, change: Mapping[str, str]) -> _Done:
        record, table = self._record, self._target.table
        if record is None:
            raise ValueError("nothing was created")
        key = {column: self._fields[column] for column in (CORRELATION_ID, self._target.key_field)}
        sent = {**change, **{name: self._fields[name] for name in ("correlation_id", "correlation_display")}}
        try:
            if self._finds_no_record:
                after = self._visit.table.update(table, record.sys_id, change, deadline=self._visit.deadline())
            else:
                after = self._way.update(record, sent, key=key, deadline=self._visit.deadline())
            return _Done(lost=_lost(after, change), beside=tuple(map(str, after.beside)))
        except BridgeError as error:
            self._finds_no_record |= error.code == NOT_COALESCED
            causes = causes_of(self._visit.seen(error.code, error.message, _table(self._target, error, creates=False)))
            if isinstance(error, Ambiguous):  # its answer was lost: whether it was done the record tells
                with suppress(BridgeError):
                    seen = self._visit.table.read(table, record.sys_id, fields=change, deadline=self._visit.deadline())
                    if seen is not None and not _lost(seen, change):
                        return _Done()
            return _Done(error=error, causes=causes)

    def _cancelling(self) -> dict[str, str]:
        return {"state": CANCELLED[self._target.table], "close_notes": TEXT}

    def _may_appear(self, error: BridgeError) -> list[Cause]:
        if not isinstance(error, Ambiguous):
            return []
        ident, table = self._fields[CORRELATION_ID], self._target.table
        return [
            Cause(
                what=f"A record of {table} with the correlation ID {ident} may still appear: a write whose answer was "
                "lost can be carried out minutes later.",
                do=f"Look for that correlation ID in {table} in some minutes, and cancel what you find.",
            )
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What became of a change."""

    lost: Sequence[str] = ()  # fields that ServiceNow did not keep
    error: BridgeError | None = None  # None: it was made
    causes: tuple[Cause, ...] = ()  # of the error
    beside: Sequence[str] = ()  # what other maps did


def _finding(record: Record, lost: Sequence[str], changed: _Done, cancelled: _Done) -> Finding:
    number = record.number
    if changed.error is not None or cancelled.error is not None:
        told = {
            done.error.code: f"It was not {verb}: {done.error.message}"
            for verb, done in (("cancelled", cancelled), ("changed", changed))
            if done.error is not None
        }
        causes = dict.fromkeys((*changed.causes, *cancelled.causes))
        return wrong(f"{number} was created. {' '.join(reversed(told.values()))}", *causes, *_left(record, cancelled))
    if lost:
        what = f"An access rule or a business rule on {', '.join(lost)} undoes it without a word."
        do = f"Let the integration user write these fields, and see that {number} is cancelled."
        said = f"{number} was created, changed, cancelled, but {', '.join(lost)} came back as something else."
        return wrong(said, Cause(what=what, do=do))
    return ok(f"{number} was created, changed and cancelled. It is left as it is.")


def _left(record: Record, cancelled: _Done) -> list[Cause]:
    if cancelled.error is None:
        return []
    if isinstance(cancelled.error, Ambiguous):
        do = f"Look at {record.number} in some minutes, and cancel it by hand if it is still open."
        return [Cause(what=f"{record.number} is still open, or cannot be read.", do=do)]
    return [Cause(what=f"{record.number} is still open.", do=f"Cancel {record.number} by hand.")]


def _others(beside: list[str]) -> list[Cause]:
    """What other maps of a staging table did: it happens with each write, and is no incident of the bridge's."""
    do = "Close by hand what it made, and look whether the map is meant to run for these rows."
    return [Cause(what=f"{said[:1].upper()}{said[1:]}.", do=do) for said in dict.fromkeys(beside)]


def _table(target: Target, error: BridgeError, *, creates: bool) -> str:
    """The table whose rules have refused: of a write by import that is the staging table."""
    staging = target.staging
    by_import = staging is not None and (creates or staging.coalesces)
    return staging.table if staging is not None and by_import and error.code == "acl" else target.table


def _lost(record: Record, sent: Mapping[str, str]) -> list[str]:
    """Fields that ServiceNow took and did not keep, which is how it treats what a rule forbids."""
    return [name for name in CHECKED if name in sent and record.text(name) != sent[name]]


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
