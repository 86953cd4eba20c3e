"""What must hold, whatever went wrong before: one function for every test of the sync half.

It looks at what is outside of the bridge (answers to senders, records of ServiceNow, what people did) and at its store.
Some of it holds at every moment between two rounds; the rest once the bridge has come to rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Table, select

from bridge.alert import OWN_SOURCE, key_of
from bridge.correlation.policy import End, Episode
from bridge.correlation.reconcile import CLOSES_PER_HOUR_MAX
from bridge.log.entries import Entry
from bridge.store import tables
from bridge.store.engine import Store
from bridge.store.held import GONE, Part
from bridge.store.reconciler_tables import strays
from bridge.store.strays import REPORTED
from bridge.sync.reading import ENDED_STATES
from bridge.typed import decode
from simulation.join_invariants import Alike, join_wrongs
from simulation.log_invariants import log_wrongs, record_wrongs, secret_wrongs
from simulation.people import Facts, People
from simulation.twin_invariants import twin_wrongs

Row = Mapping[str, str]
UNTOLD = (Part.JOINING.value, Part.LEAVING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What there is to judge by. `records`: all of the target's table, oldest first."""

    store: Store
    installation: str
    table: str
    records: Sequence[Row]
    journal: Callable[[str], Iterable[Row]]
    violations: Sequence[object]  # of ServiceNow's contract
    at_rest: bool = True  # nothing goes wrong any more, and there was time for all that was to be done
    accepted: Collection[str] = ()  # ids of alerts that were answered 2xx
    deliveries: int | None = None  # how many different ones were sent; None: not counted
    people: People | None = None  # None: nobody touched anything
    attachments: Sequence[Row] = ()
    links: Sequence[Row] = ()  # of observables
    events: Sequence[Row] = ()
    written: int | None = None  # writes of records that ServiceNow took or refused; None: not counted
    beside: int | None = None  # writes of anything else; None: not counted
    not_ours: Collection[str] = ()  # numbers of records that a test made in our name
    wrongs: Sequence[str] = ()  # what was seen to go wrong while it happened
    twins: bool = (
        False  # some were made beyond what is promised: at most one of a problem may stand, or people were told
    )
    closes_max: int = CLOSES_PER_HOUR_MAX  # of them
    alike: Alike = field(default_factory=dict)  # by what the problems join
    secrets: Collection[str] = ()  # of accounts, clients and senders: canaries
    said: Collection[Path] = ()  # the logs of processes
    given_up: Collection[str] = field(default_factory=frozenset)  # correlation IDs that rightly wait for a person
    must_come_back: Collection[str] = field(
        default_factory=frozenset
    )  # fired after a resolve after whatever a person did


def check_invariants(evidence: Evidence) -> None:
    """Raises AssertionError that lists all that is wrong."""
    wrong = [*evidence.wrongs, *(f"contract: {violation}" for violation in evidence.violations)]
    wrong += _senders(evidence)
    wrong += _standing(evidence)
    wrong += _books(evidence)
    if evidence.alike:
        wrong += join_wrongs(_entries(evidence.store), evidence.alike)
    wrong += _beside(evidence)
    wrong += log_wrongs(evidence.store, evidence.installation, at_rest=evidence.at_rest)
    wrong += secret_wrongs(evidence.store, evidence.secrets, evidence.said)
    if evidence.at_rest:
        wrong += record_wrongs(evidence.store)
        wrong += _sync(evidence)
    if evidence.at_rest and evidence.twins:
        wrong += _twins(evidence)
    assert not wrong, "\n".join(wrong)


# --- every alert answered 2xx is there, once


def _senders(evidence: Evidence) -> list[str]:
    stored = {f"{row.delivery_id}-{row.position}" for row in _rows(evidence.store, tables.alerts)}
    wrong = [f"alert {one} was answered 2xx and is lost" for one in sorted(set(evidence.accepted) - stored)]
    deliveries = [row for row in _rows(evidence.store, tables.deliveries) if row.source != OWN_SOURCE]
    if evidence.deliveries is not None and len(deliveries) != evidence.deliveries:
        wrong.append(f"{evidence.deliveries} different deliveries were sent, {len(deliveries)} are stored")
    return wrong


# --- no problem has two incidents, whatever is still to be done


def _standing(evidence: Evidence) -> list[str]:
    wrong: list[str] = []
    store = evidence.store
    marked = [row for row in evidence.records if _is_ours(evidence, row)]
    ours = [row for row in marked if row["number"] not in evidence.not_ours]
    known = {row.sys_id: row for row in _rows(store, tables.incidents) if row.sys_id is not None}
    asked_of = {row.sys_id for row in _rows(store, strays)}
    newest = {(row.correlation, row.number): row.incident for row in _rows(store, tables.episodes)}
    correlations = _rows(store, tables.correlations)
    driven = {newest.get((one.id, one.episode)) for one in correlations}
    for one in correlations:
        mine = newest.get((one.id, one.episode))
        opened_for = [row for row in known.values() if row.correlation_id == one.correlation_id and row.state == "open"]
        its = [sys_id for sys_id, row in known.items() if row.state == "open" and row.id == mine]
        if len(its) != int(one.open):
            wrong.append(f"{one.correlation_id}: open is {one.open}, and {len(its)} incidents are")
        # One that a person opened again, beside a newer one of this problem, may be that of others who had joined it.
        if left := [row.number for row in opened_for if row.sys_id not in its and row.id not in driven]:
            wrong.append(f"{one.correlation_id} has left {left}, open and made for it")
        if lost := [sys_id for sys_id in its if sys_id not in {row["sys_id"] for row in marked}]:
            wrong.append(f"{one.correlation_id}: {lost} is open, and is no record of ours")
        strangers = [row["number"] for row in ours if _is_strange(row, one, known, asked_of)]
        if evidence.twins:  # whether somebody has looked at each is asked at rest
            strangers = []
        if strangers and one.failure is None:
            wrong.append(f"{one.correlation_id}: twins, or records that the store has lost: {strangers}")
    creates = [intent for intent in _rows(store, tables.intents) if intent.operation == "create"]
    gone = evidence.people.deleted if evidence.people is not None else ()
    made = [one for one in creates if one.sys_id and one.sys_id not in gone]
    made = [one for one in made if one.outcome != "permanent"]  # what that made was none of ours
    if len({one.incident for one in made}) != len({one.sys_id for one in made}) and not evidence.twins:
        wrong.append("an incident is two records, or a record two incidents")
    ids = {one.correlation_id for one in correlations}
    seen_over = {row["sys_id"] for row in ours if evidence.twins and row["state"] in ENDED_STATES[evidence.table]}
    many = sum(row["correlation_id"] in ids and row["sys_id"] not in seen_over - asked_of - {*known} for row in ours)
    if many > len({one.incident for one in creates}) + len(asked_of):
        wrong.append(f"{many} records, and fewer episodes")
    return wrong


def _is_ours(evidence: Evidence, row: Row) -> bool:
    return row["correlation_display"].endswith(f" · {evidence.installation}")


def _is_strange(row: Row, correlation: Any, known: Mapping[str, Any], asked_of: Collection[str]) -> bool:
    mine = row["correlation_id"] == correlation.correlation_id
    return mine and row["sys_id"] not in known and row["sys_id"] not in asked_of


# --- what goes with an incident is what was asked for


def _beside(evidence: Evidence) -> list[str]:
    wrong = []
    planned = _rows(evidence.store, tables.additions)
    if evidence.beside and not planned:
        wrong.append("something was written beside the records that nobody asked for")
    begun = {row.id for row in _rows(evidence.store, tables.incidents) if row.episode is not None}
    for one in planned:
        waits = one.incident in begun and one.outcome is None
        if (one.due_at is not None) != waits:
            wrong.append(f"the {one.kind} of incident {one.incident} is to be due from the create on, until it is over")
        if evidence.at_rest and one.outcome == "added":
            wrong += _there(evidence, one)
        if evidence.at_rest and waits:
            wrong.append(f"the {one.kind} of incident {one.incident} is not at rest: {one.outcome_code}")
    return wrong


def _there(evidence: Evidence, addition: Any) -> list[str]:
    """What counts as done was done, for a record that nobody has deleted. An output may have been sent again. It stays
    at the record that the incident had: where a twin was taken instead, at that twin's other.
    """
    incident = {row.id: row for row in _rows(evidence.store, tables.incidents)}[addition.incident]
    if incident.sys_id is None:
        return [f"the {addition.kind} of incident {addition.incident} counts as done, and there is no record"]
    if evidence.people is None or incident.sys_id in evidence.people.deleted:
        return []
    had = {incident.sys_id}
    if evidence.twins:
        had |= {row["sys_id"] for row in evidence.records if row["correlation_id"] == incident.correlation_id}
    found = {
        "attachment": [row for row in evidence.attachments if row["table_sys_id"] in had],
        "observables": [row for row in evidence.links if row["task"] in had],
    }.get(addition.kind, [row for row in evidence.events if any(one in row["additional_info"] for one in had)])
    return [] if found else [f"the {addition.kind} of {incident.number} is not there"]


# --- at rest each correlation has exactly the incident that it should


def _sync(evidence: Evidence) -> list[str]:
    wrong: list[str] = []
    ours: dict[str, list[Row]] = defaultdict(list)
    for row in evidence.records:
        if _is_ours(evidence, row):
            ours[key_of(row["correlation_id"])].append(row)
    incidents = _rows(evidence.store, tables.incidents)
    all_links = _rows(evidence.store, tables.episodes)
    links = [row for row in all_links if row.part not in GONE]
    # Tried, and given up for a join: what comes of it after its window is nobody's, and people are asked about it.
    of_some = {link.incident for link in all_links}
    abandoned = {row.correlation_id for row in incidents if row.id not in of_some}
    of = {row.id: row for row in incidents}
    known = {row.sys_id: row for row in incidents if row.sys_id is not None}
    newest = _newest(evidence.store)
    correlations = _rows(evidence.store, tables.correlations)
    episode_of = {row.id: row.episode for row in correlations}
    for correlation in correlations:
        if correlation.correlation_id in evidence.given_up:
            continue
        parts = sorted((link.number, link.incident) for link in links if link.correlation == correlation.id)
        mine = [of[incident] for _number, incident in parts]  # the newest last
        its = {row.sys_id for row in mine}
        records = [row for row in evidence.records if row["sys_id"] in its or row in ours.get(correlation.key, [])]
        if correlation.correlation_id in abandoned:
            records = _not_asked_about(evidence.store, records)
        now_there = [link for link in links if mine and link.incident == mine[-1].id]
        shared = [link.correlation for link in now_there if link.number == episode_of[link.correlation]]
        named = correlation.correlation_id
        wrong += [
            f"{named}: {problem}"
            for problem in _correlation(evidence, correlation, mine, records, known, newest, shared)
        ]
    open_ids = {row.id for row in incidents if row.state == "open"}
    untold = [link for link in all_links if link.part in UNTOLD]
    wrong += [f"incident {link.incident} never told of one {link.part}" for link in untold if link.incident in open_ids]
    return wrong


def _correlation(
    evidence: Evidence,
    correlation: Any,
    mine: list[Any],
    records: list[Row],
    known: dict[str, Any],
    newest: dict[int, Any],
    shared: list[int],
) -> list[str]:
    wrong = []
    if correlation.failure is not None:
        wrong.append(f"it is not at rest: {correlation.failure}: {correlation.failure_text}")
    if correlation.applied_seq != correlation.last_seq:
        wrong.append(f"alerts up to {correlation.last_seq} came, up to {correlation.applied_seq} are applied")
    latest = mine[-1] if mine else None
    if evidence.twins or _was_deleted(evidence, latest):
        records = _not_asked_about(evidence.store, records)
    strangers = [row["number"] for row in records if row["sys_id"] not in known]
    if strangers and not evidence.twins:
        wrong.append(f"twins, or records that the store does not know: {strangers}")
    standing = [row for row in records if _stands(evidence, row, latest)]
    if len(standing) > 1 and not _told_of(evidence.store, standing):
        wrong.append(f"{len(standing)} incidents stand open: {[row['number'] for row in standing]}")
    last = newest.get(correlation.id)
    if last is None:
        return [*wrong, "a record without an alert"] if records else wrong
    if last.status == "firing":
        wrong += _firing(evidence, correlation, latest, standing)
    elif not any(one in newest and newest[one].status == "firing" for one in shared):
        wrong += _resolved(evidence, standing)
    return wrong


def _told_of(store: Store, standing: list[Row]) -> bool:
    """People were asked which of two stays."""
    return len(_not_asked_about(store, standing)) == 1


def _not_asked_about(store: Store, records: list[Row]) -> list[Row]:
    asked = {row.sys_id for row in _rows(store, strays) if row.outcome in REPORTED}
    return [row for row in records if row["sys_id"] not in asked]


def _was_deleted(evidence: Evidence, incident: Any) -> bool:
    """By a person: a unique index does not keep another from coming after it, and only people know what is to stay."""
    return incident is not None and evidence.people is not None and incident.sys_id in evidence.people.deleted


def _stands(evidence: Evidence, row: Row, latest: Any) -> bool:
    """It is open; and not one of an earlier episode that a person has opened again beside the present one."""
    if row["state"] in ENDED_STATES[evidence.table]:
        return False
    facts = _facts(evidence, row["sys_id"])
    return facts is None or not facts.reopened or latest is None or latest.sys_id == row["sys_id"]


def _firing(evidence: Evidence, correlation: Any, latest: Any, standing: list[Row]) -> list[str]:
    if standing:
        return []
    if latest is None or latest.episode is None:
        return ["it fires, and there never was an incident"]
    episode = decode(latest.episode, Episode)
    if correlation.correlation_id in evidence.must_come_back:
        return [f"it was resolved and fires again, and no incident is open (last: {latest.number}, {episode.end})"]
    if episode.end is End.BY_US:
        return [f"it fires, and its incident {latest.number} was closed by us"]
    facts = _facts(evidence, latest.sys_id)
    if _was_deleted(evidence, latest) or (facts is not None and facts.ended_at is not None):
        return []
    return [f"it fires, and no incident is open (last: {latest.number}, {episode.end}), though no person ended it"]


def _resolved(evidence: Evidence, standing: list[Row]) -> list[str]:
    for row in standing:
        facts = _facts(evidence, row["sys_id"])
        if facts is None or (facts.taken_at is None and not facts.reopened):
            return [f"it is resolved, and {row['number']} stands open though nobody is on it"]
    return []


def _facts(evidence: Evidence, sys_id: str) -> Facts | None:
    return evidence.people.of.get(sys_id) if evidence.people is not None else None


def _newest(store: Store) -> dict[int, Any]:
    """By correlation, its newest accepted alert by (event time, seq)."""
    found: dict[int, Any] = {}
    for row in _rows(store, tables.alerts):
        if row.correlation is None or row.outcome != "accepted":
            continue
        before = found.get(row.correlation)
        if before is None or (row.event_time, row.seq) > (before.event_time, before.seq):
            found[row.correlation] = row
    return found


def _twins(evidence: Evidence) -> list[str]:
    ids = {row.correlation_id for row in _rows(evidence.store, tables.correlations)}
    records = [row for row in evidence.records if _is_ours(evidence, row) and row["correlation_id"] in ids]
    deleted = evidence.people.deleted if evidence.people is not None else ()
    entries, most = _entries(evidence.store), evidence.closes_max
    return twin_wrongs(evidence.store, evidence.table, records, entries, closes_max=most, deleted=deleted)


# --- what the store itself says of it


def _books(evidence: Evidence) -> list[str]:
    wrong = []
    store = evidence.store
    intents = _rows(store, tables.intents)
    entries = [(row, msgspec.json.decode(row.entry)) for row in _rows(store, tables.log_entries)]
    # A twin that is closed is intended, too, and is no intent of an incident.
    intended = sum(row.action == "intended" and "intent" in entry.get("detail", {}) for row, entry in entries)
    pruned: Counter[str] = Counter()  # what `retention` let go, as the log tells it
    for row, entry in entries:
        pruned.update(entry["detail"]["removed"] if row.action == "pruned" else {})
    if intended > len(intents) or len(intents) > intended + pruned["entries"]:
        wrong.append(f"{len(intents)} intents and {intended} entries of them")
    told = sum(row.action == "intended" and "addition" not in entry.get("detail", {}) for row, entry in entries)
    told += pruned["entries"]
    if evidence.written is not None and evidence.written > told:
        wrong.append(f"{evidence.written} writes, and {told} intents in the log")
    if evidence.at_rest:
        wrong += engine_faults(store)
    wrong += _order(store, intents, gone=pruned["alerts"])
    made: dict[str, set[int]] = defaultdict(set)
    for intent in intents:
        if intent.operation == "create" and intent.sys_id is not None:
            made[intent.sys_id].add(intent.incident)
    if not evidence.twins:  # one that was left for another may be taken by a later episode
        wrong += [f"record {sys_id[:6]} is two incidents" for sys_id, of in made.items() if len(of) > 1]
    owned = Counter(row.sys_id for row in _rows(store, tables.incidents) if row.sys_id is not None)
    wrong += [f"record {sys_id[:6]} is {n} incidents' now" for sys_id, n in owned.items() if n > 1]
    for row in evidence.records:
        refs = Counter(ref for entry in evidence.journal(row["sys_id"]) for ref in _refs(entry["value"]))
        wrong += [f"{row['number']}: the note [{ref}] stands there {n} times" for ref, n in refs.items() if n > 1]
    files = Counter((row["table_sys_id"], row["file_name"]) for row in evidence.attachments)
    wrong += [f"{name} is attached {n} times to {sys_id[:6]}" for (sys_id, name), n in files.items() if n > 1]
    linked = Counter((row["task"], row["observable"]) for row in evidence.links)
    wrong += [f"an observable is linked {n} times to {sys_id[:6]}" for (sys_id, _one), n in linked.items() if n > 1]
    return wrong


def engine_faults(store: Store) -> list[str]:
    """The first, if any."""
    broken = [
        row
        for row in _rows(store, tables.log_entries)
        if msgspec.json.decode(row.entry).get("reason") == "internal_error"
    ]
    return [f"a fault of the engine's own: {row.said}" for row in broken[:1]]


def _order(store: Store, intents: list[Any], *, gone: int) -> list[str]:
    """Alerts are told in their order: what was applied later covers at least as much. `gone`: alerts pruned."""
    told: dict[int, int] = {}
    wrong = []
    for intent in intents:
        if intent.outcome != "applied":
            continue
        if intent.read_seq < told.get(intent.correlation, 0):
            wrong.append(f"intent {intent.id} tells less than one before it")
        told[intent.correlation] = intent.read_seq
    spans = defaultdict(list)
    for row in _rows(store, tables.alerts):
        if row.seq is not None:
            spans[row.correlation].append(row.seq)
    missing = 0
    for row in _rows(store, tables.correlations):
        seqs = spans[row.id]
        lost = {*range(1, row.last_seq + 1)} - {*seqs}
        missing += len(lost)
        if len(lost) + len(seqs) != row.last_seq or (lost and not gone):
            wrong.append(f"correlation {row.id}: seqs {seqs}, the last {row.last_seq}")
    if missing > gone:
        wrong.append(f"{missing} alerts are not there, {gone} were pruned")
    return wrong


def _entries(store: Store) -> list[Entry]:
    return [msgspec.json.decode(row.entry, type=Entry) for row in _rows(store, tables.log_entries)]


def _refs(note: str) -> list[str]:
    """Our mark is a note's last line."""
    last = note.rpartition("\n")[2]
    return [last[1:-1]] if len(last) == 10 and last[0] == "[" and last[-1] == "]" else []


def _rows(store: Store, table: Table) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))
