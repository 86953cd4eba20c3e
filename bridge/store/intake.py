"""One batch of deliveries, stored in one transaction of few statements: deliveries, correlations, alerts, log.

The deliveries of a batch are concurrent: none was answered before another was sent. So equal ones are one, and between
different ones there is no order but event time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from bridge.alert import Json, Outcome, key_of
from bridge.log.entries import Action, Entry, encode
from bridge.mapping.quiet import rule_of
from bridge.store import intake_sql as sql
from bridge.store.columns import to_us
from bridge.store.correlation_state import RECEIVED_TAKEN, CorrelationState, event_time_of
from bridge.store.naming import Naming
from bridge.store.prepare import PreparedAlert, PreparedDelivery

# Content without a sender's delivery id is the same delivery for this long; with one it is for ever.
SAME_CONTENT = timedelta(minutes=10)
QUIET = (Outcome.SUPPRESSED.value, Outcome.DROPPED.value)  # alerts that a rule kept from their incident
SAME_CONTENT_US = SAME_CONTENT // timedelta(microseconds=1)


class AlertAnswer(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    correlation_id: str | None
    outcome: str  # alert.Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAnswer:
    delivery: int
    duplicate: bool
    alerts: tuple[AlertAnswer, ...]


def commit(tx: Connection, batch: Sequence[PreparedDelivery], now: datetime) -> list[DeliveryAnswer]:
    """Store what is new of the batch, in the caller's transaction; an answer for each delivery, in its order."""
    received = to_us(now)
    first: dict[bytes, PreparedDelivery] = {}
    for delivery in batch:  # in the order of arrival: a sender that gave up may have sent the next one already
        first.setdefault(delivery.fingerprint, delivery)
    ids, stored = _insert_new(tx, list(first.values()), received)
    new = [(ids[fingerprint], delivery) for fingerprint, delivery in first.items() if fingerprint in ids]
    answers = dict(zip((row_id for row_id, _ in new), store_alerts(tx, new, now), strict=True))
    answers |= _first_answers(tx, stored.values())
    row_ids, told = stored | ids, set(stored)
    result = []
    for fingerprint in (delivery.fingerprint for delivery in batch):
        row_id = row_ids[fingerprint]
        result.append(DeliveryAnswer(delivery=row_id, duplicate=fingerprint in told, alerts=answers[row_id]))
        told.add(fingerprint)  # an equal one of the same batch is its duplicate
    return result


def store_alerts(
    tx: Connection, deliveries: Sequence[tuple[int, PreparedDelivery]], now: datetime
) -> list[tuple[AlertAnswer, ...]]:
    """The alerts of new deliveries, given with their row ids: settled, counted, logged."""
    received = to_us(now)
    prepared = [delivery for _, delivery in deliveries]
    states, settled = settle_alerts(tx, prepared, received_us=[received] * len(prepared), now=now)
    write_states(tx, states)
    sql.insert_alerts(
        tx,
        [
            one.row(row_id, received, delivery.revision_id)
            for (row_id, delivery), many in zip(deliveries, settled, strict=True)
            for one in many
        ],
    )
    entries = [
        entry
        for (row_id, delivery), many in zip(deliveries, settled, strict=True)
        for entry in _entries(row_id, delivery, many, now)
    ]
    sql.insert_entries(tx, [_entry_row(entry, received) for entry in entries])
    return [tuple([one.answer() for one in many]) for many in settled]


def settle_alerts(
    tx: Connection, deliveries: Sequence[PreparedDelivery], *, received_us: Sequence[int], now: datetime
) -> tuple[list[CorrelationState], list[list[SettledAlert]]]:
    """Lock the correlations and settle every alert, in memory: (their new states, the alerts of each delivery)."""
    named = _lock(tx, deliveries)
    now_us = to_us(now)
    settled = [
        [_settle(alert, state, delivery, received, now_us) for alert, state in zip(delivery.alerts, many, strict=True)]
        for delivery, many, received in zip(deliveries, named, received_us, strict=True)
    ]
    states = {id(state): state for many in named for state in many if state is not None}
    return list(states.values()), settled


class SettledAlert(msgspec.Struct, frozen=True):
    """One alert with all that its row, its answer and its log line need."""

    alert: PreparedAlert
    outcome: Outcome
    reason: str
    state: CorrelationState | None  # None: quarantined or dropped
    seq: int | None
    event_time: int | None  # microseconds; None: quarantined

    def row(self, delivery_id: int, received: int, revision_id: int) -> sql.Row:
        mapped = self.alert.mapped
        return (
            delivery_id,
            self.alert.position,
            self.alert.covers_rest,
            self.outcome.value,
            self.reason,
            self.alert.detail or None,
            self.state.id if self.state else None,
            mapped.correlation_id if mapped else None,
            self.seq,
            mapped.status.value if mapped else None,
            int(mapped.severity) if mapped else None,
            self.event_time,
            received,
            mapped.target if mapped else None,
            revision_id,
        )

    def answer(self) -> AlertAnswer:
        return AlertAnswer(
            position=self.alert.position,
            correlation_id=self.alert.mapped.correlation_id if self.alert.mapped else None,
            outcome=self.outcome,
            reason=_answered_reason(self.reason, self.alert.detail),
        )


def _insert_new(
    tx: Connection, deliveries: list[PreparedDelivery], received: int
) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """(row ids of the new ones, row ids of those that the duplicates repeat), by fingerprint."""
    newest = sql.newest_deliveries(tx, [delivery.fingerprint for delivery in deliveries])
    recent = [
        newest[delivery.fingerprint][0]
        for delivery in deliveries
        if delivery.sender_id is None and delivery.fingerprint in newest
    ]
    overtaken = sql.overtaken(tx, recent) if recent else set()
    rows, stored = [], {}
    for delivery in deliveries:
        row_id, occurrence, at = newest.get(delivery.fingerprint, (None, 0, 0))
        expired = delivery.sender_id is None and (received - at > SAME_CONTENT_US or row_id in overtaken)
        if row_id is None or expired:
            rows.append(_delivery_row(delivery, occurrence + 1, received))
        else:
            stored[delivery.fingerprint] = row_id
    ids = sql.insert_deliveries(tx, rows) if rows else {}
    if raced := [row[2] for row in rows if row[2] not in ids]:
        # Another process has just stored the same one: it waits on no lock of ours any more, so it can be read.
        stored |= {mark: found[0] for mark, found in sql.newest_deliveries(tx, raced).items()}
    return ids, stored


def _delivery_row(delivery: PreparedDelivery, occurrence: int, received: int) -> sql.Row:
    return (
        delivery.source,
        delivery.tenant,
        delivery.fingerprint,
        occurrence,
        delivery.sender_id,
        received,
        delivery.revision_id,
        delivery.content_type,
        delivery.body,
        delivery.content,
    )


def _first_answers(tx: Connection, delivery_ids: Iterable[int]) -> dict[int, tuple[AlertAnswer, ...]]:
    wanted = list(delivery_ids)
    if not wanted:
        return {}
    answers: dict[int, tuple[AlertAnswer, ...]] = dict.fromkeys(wanted, ())
    for row_id, position, correlation_id, outcome, reason, detail in sql.stored_alerts(tx, wanted):
        answers[row_id] += (
            AlertAnswer(
                position=position,
                correlation_id=correlation_id,
                outcome=outcome,
                reason=_answered_reason(reason, detail),
            ),
        )
    return answers


def _answered_reason(reason: str, detail: str | None) -> str:
    return f"{reason}: {detail}" if detail else reason


def _lock(tx: Connection, deliveries: Sequence[PreparedDelivery]) -> list[list[CorrelationState | None]]:
    """The correlation of each alert, locked; new ones have no id yet. None: quarantined."""
    asked = [(delivery, alert.mapped) for delivery in deliveries for alert in delivery.alerts if alert.mapped]
    pairs = {(delivery.tenant, key_of(mapped.correlation_id)) for delivery, mapped in asked}
    formers = {(delivery.tenant, key_of(former)) for delivery, mapped in asked for former in mapped.former_ids}
    name = Naming(sql.lock_correlations(tx, pairs | formers)).name
    return [
        [
            name(alert.mapped, tenant=delivery.tenant, source=delivery.source, mapping=delivery.mapping)
            if alert.mapped
            else None
            for alert in delivery.alerts
        ]
        for delivery in deliveries
    ]


def _settle(
    alert: PreparedAlert, state: CorrelationState | None, delivery: PreparedDelivery, received: int, now: int
) -> SettledAlert:
    mapped = alert.mapped
    if mapped is None or state is None:
        return SettledAlert(alert, Outcome.QUARANTINED, alert.code, None, None, None)
    event_time = event_time_of(mapped, received)
    done = state.settle(mapped, source=delivery.source, mapping=delivery.mapping, event_time=event_time, now=now)
    return SettledAlert(alert, done.outcome, done.reason, state if done.seq is not None else None, done.seq, event_time)


def write_states(tx: Connection, states: Iterable[CorrelationState]) -> None:
    """Insert the new ones, update the others; one that only dropped alerts named gets no row."""
    touched = [state for state in states if state.changed]
    new, known = [s for s in touched if s.id is None], [s for s in touched if s.id is not None]
    sql.insert_correlations(tx, new)
    sql.update_correlations(tx, known)
    sql.forget_keys(tx, [(state.tenant, key) for state in touched for key in state.taken_keys])
    sql.register_keys(tx, [(state.tenant, key, state.id) for state in touched for key in state.new_keys])


def _entries(row_id: int, delivery: PreparedDelivery, settled: list[SettledAlert], now: datetime) -> list[Entry]:
    quarantined = [one for one in settled if one.outcome is Outcome.QUARANTINED]
    entries = [_entry(Action.DELIVERED, row_id, delivery, settled, now)]
    if quarantined:
        entries.append(_entry(Action.QUARANTINED, row_id, delivery, quarantined, now))
    return entries


def _entry(
    action: Action, row_id: int, delivery: PreparedDelivery, settled: list[SettledAlert], now: datetime
) -> Entry:
    return Entry(
        at=now,
        action=action,
        actor=f"source:{delivery.source}",
        known_by=delivery.known_by,
        address=delivery.address,
        forwarded_for=delivery.forwarded_for,
        tenant=delivery.tenant,
        source=delivery.source,
        mapping=delivery.mapping,
        revision=delivery.revision,
        delivery=row_id,
        detail=fates(delivery, settled),
    )


def fates(delivery: PreparedDelivery, settled: Sequence[SettledAlert]) -> dict[str, Json]:
    """What an entry tells of alerts: what became of each, by which rule, and of those that keep quiet, why they do."""
    lines = [_log_line(one) for one in settled]
    told: dict[str, Json] = {"fingerprint": delivery.fingerprint.hex(), "alerts": lines}
    quiet = {line["rule"] for line in lines if line["outcome"] in QUIET}
    if quiet:
        told["rules"] = {rule: delivery.quiet.get(rule, {}) for rule in quiet}
    return told


def _log_line(one: SettledAlert) -> dict[str, Json]:
    mapped = one.alert.mapped
    line: dict[str, Json] = {
        "position": one.alert.position,
        "correlation_id": mapped.correlation_id if mapped else None,
        "outcome": one.outcome,
        "reason": one.reason,
    }
    if mapped is not None:
        line["rule"] = rule_of(one.reason) if one.outcome is Outcome.SUPPRESSED else mapped.route
    if replaced := _replaced_time(one):
        line["event_time"] = replaced
    return line


def _replaced_time(one: SettledAlert) -> str:
    """What stands in for the time that the alert's mapping reads; a mapping that reads none is no news."""
    if one.event_time is None or (mapped := one.alert.mapped) is None:
        return ""
    if mapped.event_time is None:
        return RECEIVED_TAKEN if one.alert.timed else ""
    return RECEIVED_TAKEN if one.event_time < to_us(mapped.event_time) else ""


def _entry_row(entry: Entry, at: int) -> sql.Row:
    return (at, entry.action.value, entry.source, entry.correlation, entry.incident, entry.delivery, encode(entry))
