"""What people ask the store: alerts, correlations with their incidents, quarantine. Reads only.

Every list is newest first by row id and bounded by `limit`; `before` is the last id of the page above. Each function
takes a connection and gives frozen values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, tuple_

from bridge.alert import Outcome, Severity, key_of
from bridge.correlation.identity import identify
from bridge.errors import Unmappable
from bridge.store import brake
from bridge.store.due import is_due, target_of
from bridge.store.held import GONE, Part
from bridge.store.rows import (
    AlertId,
    AlertRow,
    AlertStory,
    CorrelationRow,
    DeliveryRow,
    IntentRow,
    RevisionRow,
    TargetState,
)
from bridge.store.tables import (
    additions,
    alerts,
    correlation_keys,
    correlations,
    delivered,
    deliveries,
    episodes,
    incidents,
    intents,
    revisions,
    target_states,
)

INCIDENTS_PER_STATEMENT = 1_000  # SQLite's parameters are bounded
ROWS_MAX = 2**62  # "no maximum" as both databases can count
ID_MAX = 2**63 - 1


def alert_id_of(text: str) -> AlertId | None:
    """The row that a public alert id names; None when it is not shaped like one."""
    match = re.fullmatch(r"([0-9]{1,19})-([0-9]{1,9})", text)
    if match is None or int(match[1]) > ID_MAX:
        return None
    return int(match[1]), int(match[2])


def list_alerts(
    tx: Connection,
    *,
    limit: int,
    before: AlertId | None = None,
    outcome: Outcome | None = None,
    sources: Sequence[str] | None = None,
) -> list[AlertRow]:
    """`sources`: of these only."""
    query = _alerts().order_by(alerts.c.delivery_id.desc(), alerts.c.position.desc()).limit(min(limit, ROWS_MAX))
    if before is not None:
        query = query.where(tuple_(alerts.c.delivery_id, alerts.c.position) < tuple_(*before))
    if outcome is not None:
        query = query.where(alerts.c.outcome == outcome.value)
    if sources is not None:
        query = query.where(deliveries.c.source.in_(sources))
    return [_alert_row(row) for row in tx.execute(query)]


def alerts_of(tx: Connection, correlation: int, *, limit: int) -> list[AlertRow]:
    """The newest alerts of a correlation."""
    query = _alerts().where(alerts.c.correlation == correlation).order_by(alerts.c.seq.desc())
    return [_alert_row(row) for row in tx.execute(query.limit(min(limit, ROWS_MAX)))]


def show_alert(tx: Connection, alert: AlertId) -> AlertStory | None:
    query = (
        _alerts()
        .add_columns(
            alerts.c.seq,
            alerts.c.revision_id,
            deliveries.c.id,
            deliveries.c.tenant,
            deliveries.c.sender_id,
            deliveries.c.content_type,
            deliveries.c.fingerprint,
            deliveries.c.received_at.label("delivered_at"),
            func.length(deliveries.c.body).label("body_bytes"),
            _alerts_in_delivery(alert[0]),
            incidents.c.number,
            revisions.c.mapping,
            revisions.c.digest,
            revisions.c.first_used_at,
        )
        .outerjoin(revisions, revisions.c.id == alerts.c.revision_id)
        .outerjoin(correlations, correlations.c.id == alerts.c.correlation)
        .outerjoin(episodes, _newest_episode())
        .outerjoin(incidents, incidents.c.id == episodes.c.incident)
        .where(alerts.c.delivery_id == alert[0], alerts.c.position == alert[1])
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    return AlertStory(
        alert=_alert_row(row),
        seq=row.seq,
        delivery=DeliveryRow(
            id=row.id,
            source=row.source,
            tenant=row.tenant,
            sender_id=row.sender_id,
            received_at=row.delivered_at,
            content_type=row.content_type,
            fingerprint=bytes(row.fingerprint),
            body_bytes=row.body_bytes,
            alerts=row.alerts,
        ),
        revision=RevisionRow(mapping=row.mapping, digest=row.digest, first_used_at=row.first_used_at)
        if row.digest is not None
        else None,
        number=row.number,
    )


def body_of(tx: Connection, delivery: int) -> bytes | None:
    """A delivery as received; None once erased."""
    body: bytes | None = tx.execute(select(deliveries.c.body).where(deliveries.c.id == delivery)).scalar_one()
    return body if body is None else bytes(body)


def content_of(tx: Connection, delivery: int) -> bytes | None:
    """What the mapping was given of a delivery; None once erased."""
    content: bytes | None = tx.execute(select(delivered).where(deliveries.c.id == delivery)).scalar_one()
    return content if content is None else bytes(content)


def list_correlations(
    tx: Connection, *, limit: int, before: int | None = None, stuck_only: bool = False
) -> list[CorrelationRow]:
    """`stuck_only`: those that failed, wait for a person, or whose incident goes without something beside it."""
    query = _correlations().order_by(correlations.c.id.desc()).limit(min(limit, ROWS_MAX))
    if before is not None:
        query = query.where(correlations.c.id < before)
    if stuck_only:
        query = query.where(or_(correlations.c.waits_for_person, correlations.c.failures > 0, _given_up() > 0))
    return _correlation_rows(tx, tx.execute(query).all())


def failing_at(tx: Connection, codes: Collection[str]) -> dict[str, str]:
    """target -> why, of the newest correlation whose last round there failed with one of these codes."""
    failed = correlations.c.failures > 0, correlations.c.failure.in_(codes), correlations.c.target.is_not(None)
    newest = select(func.max(correlations.c.id)).where(*failed).group_by(correlations.c.target)
    query = select(correlations.c.target, correlations.c.failure_text).where(correlations.c.id.in_(newest))
    return {row.target: row.failure_text or "" for row in tx.execute(query)}


def find_correlations(tx: Connection, words: str) -> list[CorrelationRow]:
    """By correlation ID (its text before the 100-character rule will do), else by the number of an incident.

    Several when tenants share an ID, or when an incident stands for several correlations.
    """
    keys = {key_of(words)}
    try:
        keys.add(key_of(identify(words)))
    except Unmappable:
        return []
    named = select(correlation_keys.c.correlation).where(correlation_keys.c.key.in_(keys))
    found = tx.execute(_correlations().where(correlations.c.id.in_(named)).order_by(correlations.c.id)).all()
    if not found:  # those that share it; of one that has been followed by others, what it was opened for
        numbered = _correlations().where(incidents.c.number == words.upper(), episodes.c.part.not_in(GONE))
        opened = (
            select(episodes.c.correlation)
            .join(incidents, incidents.c.id == episodes.c.incident)
            .where(incidents.c.number == words.upper(), episodes.c.part == Part.OPENED.value)
        )
        earlier = _correlations().where(correlations.c.id.in_(opened))
        found = tx.execute(numbered.order_by(correlations.c.id)).all()
        found = found or tx.execute(earlier.order_by(correlations.c.id)).all()
    return _correlation_rows(tx, found)


def incidents_of(tx: Connection, correlation: int) -> list[int]:
    """Row ids of all its incidents, in the order of its episodes."""
    query = select(episodes.c.incident).where(episodes.c.correlation == correlation).order_by(episodes.c.number)
    return list(tx.execute(query).scalars())


def intents_of(tx: Connection, incident_rows: Sequence[int], *, limit: int) -> list[IntentRow]:
    query = (
        select(intents)
        .where(intents.c.incident.in_(incident_rows))
        .order_by(intents.c.id.desc())
        .limit(min(limit, ROWS_MAX))
    )
    return [
        IntentRow(
            id=row.id,
            incident=row.incident,
            operation=row.operation,
            reason=row.reason,
            target=row.target,
            ref=row.ref,
            fields=msgspec.json.decode(row.fields or b"{}"),
            before=msgspec.json.decode(row.before or b"{}"),
            started_at=row.started_at,
            deadline=row.deadline,
            outcome=row.outcome,
            outcome_code=row.outcome_code,
            number=row.number,
            finished_at=row.finished_at,
        )
        for row in tx.execute(query)
    ]


def target_state(tx: Connection, name: str, *, instance: str, table: str, now: datetime) -> TargetState:
    """The state of one target; one that was never paused and has no incidents too."""
    paused = tx.execute(select(target_states).where(target_states.c.name == name)).one_or_none()
    open_incidents = select(func.count()).where(incidents.c.target == name, incidents.c.state == "open")
    due = select(func.count()).where(correlations.c.target == name, is_due(now))
    person = select(func.count()).where(correlations.c.target == name, correlations.c.waits_for_person)
    return TargetState(
        name=name,
        paused_at=paused.paused_at if paused else None,
        paused_by=paused.paused_by if paused else None,
        open_incidents=tx.execute(open_incidents).scalar_one(),
        due=tx.execute(due).scalar_one(),
        held=brake.held_at(tx, name, instance=instance, table=table),
        waiting_for_person=tx.execute(person).scalar_one(),
    )


def _alerts() -> Select[Any]:
    return select(
        alerts.c.delivery_id,
        alerts.c.position,
        deliveries.c.source,
        alerts.c.received_at,
        alerts.c.outcome,
        alerts.c.reason,
        alerts.c.detail,
        alerts.c.correlation_id,
        alerts.c.status,
        alerts.c.severity,
        alerts.c.event_time,
        alerts.c.target,
        alerts.c.covers_rest,
    ).join(deliveries, deliveries.c.id == alerts.c.delivery_id)


def _alerts_in_delivery(delivery: int) -> ColumnElement[int]:
    others = alerts.alias()
    return select(func.count()).where(others.c.delivery_id == delivery).scalar_subquery().label("alerts")


def _alert_row(row: Row[Any]) -> AlertRow:
    return AlertRow(
        id=f"{row.delivery_id}-{row.position}",
        source=row.source,
        received_at=row.received_at,
        outcome=row.outcome,
        reason=row.reason,
        detail=row.detail,
        correlation_id=row.correlation_id,
        status=row.status,
        severity=Severity(row.severity) if row.severity else None,
        event_time=row.event_time,
        target=row.target,
        covers_rest=row.covers_rest,
    )


def _newest_episode() -> ColumnElement[bool]:
    return and_(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)


def _given_up() -> ColumnElement[int]:
    """How many things beside the incident."""
    its = additions.c.incident == incidents.c.id, additions.c.outcome == "given_up"
    return select(func.count()).select_from(additions).where(*its).correlate(incidents).scalar_subquery()


def _correlations() -> Select[Any]:
    target = target_of()
    return (
        select(
            correlations,
            target.label("shown_target"),
            incidents.c.id.label("incident"),
            incidents.c.correlation_id.label("opened_for"),
            incidents.c.number,
            incidents.c.sys_id,
            incidents.c.state,
            incidents.c.record_state,
            _given_up().label("given_up"),
            target_states.c.paused_at,
        )
        .outerjoin(episodes, _newest_episode())
        .outerjoin(incidents, incidents.c.id == episodes.c.incident)
        .outerjoin(target_states, target_states.c.name == target)
    )


def _correlation_rows(tx: Connection, rows: Sequence[Row[Any]]) -> list[CorrelationRow]:
    numbered = sorted({row.incident for row in rows if row.incident is not None})
    sharing: dict[int, list[tuple[int, str]]] = {}
    for start in range(0, len(numbered), INCIDENTS_PER_STATEMENT):
        query = (
            select(episodes.c.incident, correlations.c.id, correlations.c.correlation_id)
            .join(correlations, _newest_episode())
            .where(episodes.c.incident.in_(numbered[start : start + INCIDENTS_PER_STATEMENT]))
            .where(episodes.c.part.not_in(GONE))
            .order_by(correlations.c.id)
        )
        for incident, row_id, correlation_id in tx.execute(query):
            sharing.setdefault(incident, []).append((row_id, correlation_id))
    return [_correlation_row(row, sharing.get(row.incident, [])) for row in rows]


def _correlation_row(row: Row[Any], sharing: Sequence[tuple[int, str]]) -> CorrelationRow:
    return CorrelationRow(
        row_id=row.id,
        tenant=row.tenant,
        correlation_id=row.correlation_id,
        source=row.source,
        mapping=row.mapping,
        status=row.status,
        severity=Severity(row.severity) if row.severity else None,
        count=row.alert_count,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        target=row.shown_target,
        episode=row.episode,
        incident=row.incident,
        number=row.number,
        sys_id=row.sys_id,
        state=row.state,
        record_state=row.record_state,
        last_decision=row.last_decision,
        due_at=row.due_at,
        failures=row.failures,
        failure=row.failure,
        failure_text=row.failure_text,
        waits_for_person=row.waits_for_person,
        given_up=row.given_up,
        paused_at=row.paused_at,
        opened_for=row.opened_for,
        shared_with=tuple(correlation_id for row_id, correlation_id in sharing if row_id != row.id),
    )
