"""What a record that was read says about people: who ended it, who reopened it, who is on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from bridge.alert import Json
from bridge.correlation.policy import End, Episode, Kind
from bridge.correlation.progress import Progress
from bridge.servicenow.record import Record, changed_after_ours, changed_by_another, is_another
from bridge.settings import Target
from bridge.store.held import Seen, WrittenField

# States in which a record is over, by table; a cancelled one is a person's doing, for we never cancel.
ENDED_STATES = {"incident": frozenset({"6", "7", "8"}), "sn_si_incident": frozenset({"3", "7"})}
CANCELLED_STATE = {"incident": "8", "sn_si_incident": "7"}
FIRST_STATE = {"incident": "1", "sn_si_incident": "10"}
JOURNAL_FIELDS = frozenset({"work_notes", "comments"})
# What people change in an incident, whoever wrote it first; what we wrote is watched as well.
WATCHED_FIELDS = (
    *("state", "assigned_to", "assignment_group", "priority", "impact", "urgency", "severity"),
    *("short_description", "close_code", "close_notes", "correlation_id", "correlation_display"),
)
RANKS = {"impact", "urgency", "severity"}  # what a priority is worked out from


def seen(
    episode: Episode,
    record: Record | None,
    progress: Progress,
    *,
    target: Target,
    our_state: str | None,
    our_code: WrittenField | None,
    now: datetime,
) -> Episode:
    """The episode as the record shows it; None: the record is gone. `our_state`: as our last write read it back, and
    `our_code` the close code; None: we wrote none.
    """
    if record is None and not episode.open and episode.end is End.BY_US:
        return replace(episode, reopen_refused=True)  # nobody ended the problem: what we closed was tidied away
    if record is None:
        return replace(episode, open=False, end=End.DELETED, ended_at=episode.ended_at or now)
    over = record.state in ENDED_STATES[target.table]
    if episode.open and over:
        false_positive = record.text("close_code") in target.false_positive_codes
        return replace(episode, open=False, ended_at=now, end=End.FALSE_POSITIVE if false_positive else End.BY_PERSON)
    if not episode.open and over:
        if episode.end is not End.BY_US:
            return episode
        end = _end_of_ours(record, target, our_state, our_code)
        return episode if end is End.BY_US else replace(episode, end=end, ended_at=now)
    touched = bool(record.text("assigned_to")) or (our_state is not None and record.state != our_state)
    if not episode.open:  # a person opened it again; what fired before was told in its first life
        return replace(episode, open=True, end=None, ended_at=None, touched=True, told_count=progress.repeat_count)
    return replace(episode, touched=touched)


def _end_of_ours(record: Record, target: Target, our_state: str | None, our_code: WrittenField | None) -> End:
    """Whose end it is by now, of what we had closed: ServiceNow closes by itself what was resolved long ago."""
    code = record.text("close_code")
    recoded = our_code is not None and "close_code" in record.fields and not our_code.is_own(code)
    if recoded and code in target.false_positive_codes:
        return End.FALSE_POSITIVE
    if record.state == CANCELLED_STATE[target.table]:
        return End.BY_PERSON
    closer = record.text("closed_by.user_name")
    moved = our_state is not None and record.state != our_state and (not closer or is_another(record, closer))
    return End.BY_PERSON if changed_by_another(record) and (moved or recoded) else End.BY_US


def left_state_of(
    before: Record | None, record: Record, kind: Kind, sent: Mapping[str, str], target: Target
) -> str | None:
    """The state in which our write left the record, where what came back is somebody else's; else None. `before`: None
    is a create.

    What an import has done is read by a call of its own: before that anybody may have changed more.
    """
    if not changed_by_another(record):
        return None
    if before is None:
        return FIRST_STATE[target.table]
    as_sent = all(record.text(name) == sent.get(name) for name in ("state", "close_code"))
    if kind is Kind.CLOSE and not as_sent:
        return sent["state"]
    imported = target.staging is not None and target.staging.coalesces
    others = imported and changed_after_ours(before, record)
    return sent.get("state", before.state) if others else None


def version_of(record: Record) -> str:
    """Differs whenever anybody has changed the record; two changes within a second, too."""
    return f"{record.text('sys_updated_on')}/{record.text('sys_mod_count')}"


def seen_of(record: Record, written: Iterable[str]) -> Seen:
    watched = dict.fromkeys((*WATCHED_FIELDS, *written))
    values = {name: record.text(name) for name in watched if name in record.fields and name not in JOURNAL_FIELDS}
    return Seen(version=version_of(record), values=values)


def changed_since(before: Seen | None, after: Seen) -> list[str]:
    """The fields that somebody else has changed; none when the record was not read before."""
    if before is None:
        return []
    return sorted(name for name, value in after.values.items() if before.values.get(name, value) != value)


def seen_after(before: Seen | None, record: Record, sent: Mapping[str, str], written: Iterable[str]) -> Seen:
    """The record as our own update read it back. What somebody else has changed between our read and it is yet to be
    told: there the record counts as it was, so that it is news.

    The priority is left to ServiceNow, which works it out from what we sent.
    """
    now = seen_of(record, written)
    news = [name for name in changed_since(before, now) if name not in sent and name != "priority"]
    if before is None or not news:
        return now
    return Seen(version=before.version, values=now.values | {name: before.values[name] for name in news})


def seen_as_sent(before: Seen | None, sent: Mapping[str, str]) -> Seen | None:
    """The record as a write left it that nobody has read back: whatever else the next read shows is somebody else's.

    The priority is not known until then where ServiceNow works it out from what we sent.
    """
    if before is None:
        return None
    values = before.values | {name: value for name, value in sent.items() if name in before.values}
    if RANKS & sent.keys() and "priority" not in sent:
        values.pop("priority", None)
    return replace(before, values=values)


def told_of(record: Record | None, *, over: bool) -> dict[str, Json]:
    """What the log says of a record that a person ended (`over`) or opened again, and who it was; of one gone, nothing.

    `by` is the likeliest of those that ServiceNow names, and what it names stands beside it. A record opened again may
    still show how, and by whom, it was closed before; one that we had closed names us.
    """
    if record is None:
        return {}
    last = changed_by(record)
    if not over:
        return {"state": record.state} | last
    ends: dict[str, Json] = {}
    for word in ("closed", "resolved"):
        ends[f"{word}_by"] = _person(record, f"{word}_by")
        ends[f"{word}_at"] = record.text(f"{word}_at")
    enders = (ends["closed_by"], ends["resolved_by"])
    by = next((who for who in enders if who and who != record.text("sys_created_by")), last.get("by", ""))
    told = {"state": record.state} | last | ends | {"by": by, "close_code": record.text("close_code")}
    return {word: text for word, text in told.items() if text}


def changed_by(record: Record) -> dict[str, Json]:
    """Who changed it last, as ServiceNow has it, and when: by ServiceNow's clock, which is UTC in the API."""
    last = record.text("sys_updated_by")
    told = {"by": last, "updated_by": last, "updated_on": record.text("sys_updated_on")}
    return {word: text for word, text in told.items() if text}


def _person(record: Record, reference: str) -> str:
    """The user's name; where it may not be read, the sys_id."""
    sys_id = record.text(reference)
    return record.text(f"{reference}.user_name") or (f"a person (sys_id {sys_id})" if sys_id else "")


def still_ours(
    fields: dict[str, str], record: Record, written: dict[str, WrittenField]
) -> tuple[dict[str, str], list[str]]:
    """The fields worth sending, and the names of those that a person has changed and that are therefore left.

    A field is someone else's when its value differs from what our last write read back and from all we sent; one that
    we never wrote, nor saw when the record was made, when there is anything in it. One whose values were erased, with
    those of the alerts, is ours still.
    """
    send, left = {}, []
    for name, value in fields.items():
        if name in JOURNAL_FIELDS or name not in record.fields:
            send[name] = value
            continue
        now = record.text(name)
        ours = written.get(name)
        theirs = now not in ("", value) if ours is None else not ours.is_own(now)
        if theirs:
            left.append(name)
        elif now != value:
            send[name] = value
    return send, left
