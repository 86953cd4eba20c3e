"""The record held against itself: what the log tells of a period, and what the store holds of it.

The database finds what may differ, by one statement for a page; what it finds is looked at row by row. All of a page is
read in one snapshot: a replay changes rows and writes its entry in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    Text,
    and_,
    cast,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from bridge.alert import Json, Status
from bridge.correlation.policy import Kind
from bridge.log.entries import Action, Entry
from bridge.log.statement import Difference, Told, compared
from bridge.store.figures import Part
from bridge.store.held import GONE, WINDOW_OVER
from bridge.store.tables import alerts, correlations, deliveries, episodes, incidents, intents, log_entries
from bridge.typed import decode

PAGE = 2_000  # deliveries, intents or entries that are looked at together
ROWS_PAGE = 20_000  # rows of which the database names those that are not as they must be
ABOUT_ALERTS = (Action.DELIVERED, Action.REPLAYED, Action.DISCARDED, Action.QUARANTINED)
OUTCOMES = (Action.WRITTEN, Action.CLOSED, Action.REOPENED)  # entries of a write that was applied
NOT_APPLIED = (Action.CALLED, Action.LOOKED_UP)  # and of one that was not, or of which it is not known
OF_INTENTS = [action.value for action in (Action.INTENDED, *OUTCOMES, *NOT_APPLIED)]
TELLS = (Kind.CREATE, Kind.JOIN, Kind.UPDATE, Kind.REOPEN)  # decisions after which what fires has an open incident
# Looked for until it no longer could be applied. Where the log says that it was applied, too, what it made was deleted.
_IS_GIVEN_UP = (func.coalesce(intents.c.outcome_code, "") == WINDOW_OVER).label("is_given_up")
INTENT = "intent"  # of an entry's detail: the intent's row


def suspects(tx: Connection, source: str, part: Part) -> list[int]:
    """Deliveries whose outcomes in the store are not those of their `delivered` entry: replayed since, or wrong."""
    its = alerts.c.delivery_id == deliveries.c.id
    ordered = select(alerts.c.outcome).where(its).order_by(alerts.c.position).correlate(deliveries).subquery()
    stored = select(func.coalesce(_listed(ordered.c.outcome), "")).scalar_subquery()
    logged = (
        select(_listed(func.coalesce(_outcomes_told(tx), "")))
        .where(log_entries.c.delivery == deliveries.c.id, log_entries.c.action == Action.DELIVERED.value)
        .correlate(deliveries)
        .scalar_subquery()
    )
    query = select(deliveries.c.id).where(
        deliveries.c.source == source,
        deliveries.c.received_at >= part.since,
        deliveries.c.received_at < part.until,
        or_(logged.is_(None), logged != stored),
    )
    return list(tx.execute(query.order_by(deliveries.c.id)).scalars())


def deliveries_differ(tx: Connection, page: Sequence[int]) -> list[Difference]:
    """Of suspects, what is different indeed."""
    rows: dict[int, dict[int, str]] = {delivery: {} for delivery in page}
    query = select(alerts.c.delivery_id, alerts.c.position, alerts.c.outcome).where(alerts.c.delivery_id.in_(page))
    for delivery, position, outcome in tx.execute(query):
        rows[delivery][position] = outcome
    told: dict[int, list[Told]] = {delivery: [] for delivery in page}
    about = log_entries.c.delivery.in_(page), log_entries.c.action.in_([action.value for action in ABOUT_ALERTS])
    entries = select(log_entries.c.delivery, log_entries.c.entry).where(*about)
    for delivery, entry in tx.execute(entries.order_by(log_entries.c.id)):
        told[delivery].append(_told(decode(entry, Entry)))
    return [found for delivery in page for found in compared(delivery, rows[delivery], told[delivery])]


def unstored(tx: Connection, part: Part, after: int, before: int) -> list[Difference]:
    """Deliveries that the log tells of and the store does not have, of those whose number is between the two."""
    gone = ~exists(select(deliveries.c.id).where(deliveries.c.id == log_entries.c.delivery))
    query = select(log_entries.c.delivery).where(
        log_entries.c.delivery > after,
        log_entries.c.delivery < before,
        log_entries.c.action == Action.DELIVERED.value,
        log_entries.c.at >= part.since,
        log_entries.c.at < part.until,
        gone,
    )
    text = "The log says that it was received; the store does not have it."
    found = tx.execute(query.order_by(log_entries.c.delivery)).scalars()
    return [Difference(code="delivery_missing", about=f"delivery {delivery}", text=text) for delivery in found]


def neighbours(tx: Connection, sources: Sequence[str], part: Part) -> tuple[int, int | None]:
    """The numbers between which all deliveries of the period are, also those that are gone: (after, before).

    Numbers go with time, but for what a clock that was set did to them: so those of the period count as well.
    """
    after: list[int] = []
    before: list[int] = []
    within: list[int] = []
    for source in sources:
        mine, at = deliveries.c.source == source, deliveries.c.received_at
        newest_first = at.desc(), deliveries.c.id.desc()
        after += tx.execute(
            select(deliveries.c.id).where(mine, at < part.since).order_by(*newest_first).limit(1)
        ).scalars()
        before += tx.execute(
            select(deliveries.c.id).where(mine, at >= part.until).order_by(at, deliveries.c.id).limit(1)
        ).scalars()
        ids = select(func.min(deliveries.c.id), func.max(deliveries.c.id)).where(
            mine, at >= part.since, at < part.until
        )
        within += [one for one in tx.execute(ids).one() if one is not None]
    first = min([max(after, default=0), *(one - 1 for one in within)])
    last = max([min(before), *(one + 1 for one in within)]) if before else None
    return first, last


def newest_told(tx: Connection) -> int:
    """The highest number of a delivery that an entry speaks of."""
    query = select(func.max(log_entries.c.delivery)).where(log_entries.c.delivery.is_not(None))
    return int(tx.execute(query).scalar() or 0)


def intents_differ(tx: Connection, part: Part, after: int) -> tuple[list[Difference], int | None]:
    """What was intended then, without its entries: of one page, and its last row (None: there is none)."""
    query = select(intents.c.id, intents.c.incident, intents.c.operation, intents.c.outcome, _IS_GIVEN_UP).where(
        intents.c.started_at >= part.since, intents.c.started_at < part.until, intents.c.id > after
    )
    rows = tx.execute(query.order_by(intents.c.id).limit(PAGE)).all()
    if not rows:
        return [], None
    told = _intents_told(tx, {row.incident for row in rows})
    found = []
    for row in rows:
        about = f"intent {row.id}"
        if Action.INTENDED not in told.get(row.id, ()):
            text = f"The store has this {row.operation}; the log does not say that it was intended."
            found.append(Difference(code="intent_not_logged", about=about, text=text))
        wanted: tuple[Action, ...] = OUTCOMES if row.outcome == "applied" else (*OUTCOMES, *NOT_APPLIED)
        if row.is_given_up:
            wanted = (Action.LOOKED_UP,)
        if row.outcome is not None and not told.get(row.id, set()).intersection(wanted):
            text = f"The store says of this {row.operation}: {row.outcome}; the log does not."
            found.append(Difference(code="outcome_not_logged", about=about, text=text))
    return found, rows[-1].id


def entries_differ(tx: Connection, part: Part, after: int) -> tuple[list[Difference], int | None]:
    """What the log says was intended or applied then, and the store does not know: of one page, as above."""
    query = select(log_entries.c.id, log_entries.c.entry).where(
        log_entries.c.delivery.is_(None),
        log_entries.c.at >= part.since,
        log_entries.c.at < part.until,
        log_entries.c.action.in_(OF_INTENTS),
        log_entries.c.id > after,
    )
    rows = tx.execute(query.order_by(log_entries.c.id).limit(PAGE)).all()
    if not rows:
        return [], None
    told = [(entry, intent) for row in rows if (intent := _intent_of(entry := decode(row.entry, Entry))) is not None]
    these = intents.c.id.in_(sorted({intent for _, intent in told}))
    outcomes = {row.id: row for row in tx.execute(select(intents.c.id, intents.c.outcome, _IS_GIVEN_UP).where(these))}
    found = []
    for entry, intent in told:
        about = f"intent {intent}"
        if intent not in outcomes:
            text = f"The log says that this was {entry.action.value}; the store does not have it."
            found.append(Difference(code="intent_missing", about=about, text=text))
        elif entry.action in OUTCOMES and (row := outcomes[intent]).outcome != "applied" and not row.is_given_up:
            text = f"The log says that this was applied; the store says {row.outcome or 'nothing of it'}."
            found.append(Difference(code="outcome_changed", about=about, text=text))
    return found, rows[-1].id


def problems_differ(tx: Connection, after: int) -> tuple[list[Difference], int | None]:
    """Of a page of all problems, those without the incident that they must have, and the last one looked at."""
    last = _last_of_page(tx, correlations.c.id, after)
    if last is None:
        return [], None
    its = (
        select(episodes.c.incident)
        .join(incidents, incidents.c.id == episodes.c.incident)
        .where(
            episodes.c.correlation == correlations.c.id,
            episodes.c.number == correlations.c.episode,
            episodes.c.part.not_in(GONE),
            incidents.c.state == "open",
        )
    )
    told = or_(*(correlations.c.last_decision.like(f"{kind.value}: %") for kind in TELLS))
    at_rest = and_(correlations.c.applied_seq == correlations.c.last_seq, correlations.c.due_at.is_(None))
    fires = and_(correlations.c.status == Status.FIRING.value, ~correlations.c.open, at_rest, told)
    query = select(correlations.c.correlation_id, correlations.c.open).where(
        correlations.c.id > after,
        correlations.c.id <= last,
        or_(
            and_(correlations.c.open, ~exists(its.correlate(correlations))),
            and_(fires, ~correlations.c.waits_for_person),
        ),
    )
    found = []
    for row in tx.execute(query.order_by(correlations.c.id)):
        has = (
            "says that it has an open incident, and has none"
            if row.open
            else "was told, still fires, and has none open"
        )
        text = f"The store {has}." if row.open else f"It {has}."
        found.append(Difference(code="incident_missing", about=f"problem {row.correlation_id}", text=text))
    return found, last


def incidents_differ(tx: Connection, after: int, *, pruned: bool) -> tuple[list[Difference], int | None]:
    """Of a page of all incidents, those without a problem, or whose problems have no alerts; and the last one.

    `pruned`: alerts may have been. Of an open incident some are always kept, so only those that ended are left out.
    """
    last = _last_of_page(tx, incidents.c.id, after)
    if last is None:
        return [], None
    its = select(episodes.c.incident).where(episodes.c.incident == incidents.c.id)
    told = its.join(alerts, alerts.c.correlation == episodes.c.correlation)
    has_problem, has_alerts = exists(its.correlate(incidents)), exists(told.correlate(incidents))
    kept = incidents.c.state == "open" if pruned else incidents.c.state.in_(["open", "ended"])
    query = select(incidents.c.id, incidents.c.number, has_problem.label("has")).where(
        incidents.c.id > after,
        incidents.c.id <= last,
        incidents.c.state != "planned",
        or_(~has_problem, and_(kept, ~has_alerts)),
    )
    found = []
    for row in tx.execute(query.order_by(incidents.c.id)):
        text = "The store has no alert of its problems." if row.has else "The store has no problem that it is of."
        about = f"incident {row.number or row.id}"
        found.append(Difference(code="alerts_missing" if row.has else "problem_missing", about=about, text=text))
    return found, last


def _last_of_page(tx: Connection, row_id: Any, after: int) -> int | None:
    page = select(row_id).where(row_id > after).order_by(row_id).limit(ROWS_PAGE).subquery()
    found: int | None = tx.execute(select(func.max(page.c[0]))).scalar()
    return found


def _listed(words: ColumnElement[str]) -> ColumnElement[str]:
    """The words of all rows, in their order."""
    return func.aggregate_strings(words, ",")


def _outcomes_told(tx: Connection) -> ColumnElement[str]:
    """Of a `delivered` entry: the outcomes of its alerts, as `_listed` gives them."""
    if tx.dialect.name == "sqlite":  # which would take a blob for its own binary form of JSON
        alerts_told = func.json_each(cast(log_entries.c.entry, Text), "$.detail.alerts").table_valued("value")
        outcome = func.json_extract(alerts_told.c.value, "$.outcome")
    else:
        document = cast(func.convert_from(log_entries.c.entry, "UTF8"), JSONB)
        alerts_told = func.jsonb_array_elements(document["detail"]["alerts"]).table_valued("value")
        outcome = cast(alerts_told.c.value, JSONB)["outcome"].astext
    listed = select(_listed(cast(outcome, String))).select_from(alerts_told)
    return listed.correlate(log_entries).scalar_subquery()


def _told(entry: Entry) -> Told:
    listed: list[dict[str, Json]] = entry.detail.get("alerts") or []
    return Told(
        action=entry.action.value,
        reason=entry.reason,
        alerts={one["position"]: one["outcome"] for one in listed},
        positions=tuple(entry.detail.get("positions") or ()),
    )


def _intents_told(tx: Connection, of: set[int]) -> dict[int, set[Action]]:
    """intent -> what the log says of it, of all intents of these incidents."""
    its = log_entries.c.incident.in_(sorted(of)), log_entries.c.action.in_(OF_INTENTS)
    told: dict[int, set[Action]] = {}
    for row in tx.execute(select(log_entries.c.entry).where(*its)):
        entry = decode(row.entry, Entry)
        if (intent := _intent_of(entry)) is None:
            continue
        told.setdefault(intent, set()).add(entry.action)
        if entry.action is Action.INTENDED and "attempt" not in entry.detail:
            told[intent].add(Action.CALLED)  # of before such entries were written: there may have been none
    return told


def _intent_of(entry: Entry) -> int | None:
    """None: of a twin's close, which is no intent."""
    found = entry.detail.get(INTENT)
    return found if isinstance(found, int) else None
