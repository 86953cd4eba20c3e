"""The story of one correlation: what arrived, what was decided and written, in order. Pure.

Alerts come from their own rows, for the log tells them by delivery; every other step comes from the log. Log entries
hold digests; what was sent to ServiceNow is taken from the intents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from bridge.alert import Json
from bridge.cli.output import plain, time_text, to_json
from bridge.log.entries import Action, Entry
from bridge.store.rows import AlertRow, IntentRow, LogRow

FILTER = "filter"  # of an entry's detail: what of the log was asked for, by name
INTENT = "intent"  # of an entry's detail: the number of a row of this store, which tells a person nothing
FIELD_CHARACTERS_MAX = 100  # of a sent value in the text; --json has all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at: datetime
    what: str  # "alert", or the log's action
    text: str
    actor: str = ""
    alert: AlertRow | None = None
    sent: dict[str, Json] = field(default_factory=dict)  # field -> value, of a write to ServiceNow
    before: dict[str, Json] = field(default_factory=dict)  # what was read of those fields before it
    erased: tuple[str, ...] = ()  # fields of a write whose values are no longer kept


def steps_of(
    alerts: Sequence[AlertRow], entries: Sequence[LogRow], intents: Sequence[IntentRow], *, of: str | None = None
) -> list[Step]:
    """Oldest first; what happened in the same microsecond: alerts first, then as the log has it.

    `of`: the correlation ID whose story it is; what speaks of another that shares its incident says so.
    """
    arrivals = [_arrival(alert) for alert in reversed(alerts)]
    by_id = {intent.id: intent for intent in intents}
    told = [_told(row, by_id, of) for row in sorted(entries, key=lambda row: row.id)]
    return sorted([*arrivals, *told], key=lambda step: step.at)


def rows_of(steps: Sequence[Step]) -> list[tuple[str, str, str]]:
    """(time, what, text) for a table; alerts in a row that say the same become two rows."""
    return [row for run in _runs(steps) for row in _run_rows(run)]


def step_as_json(step: Step) -> dict[str, Json]:
    shown: dict[str, Json] = {"at": to_json(step.at), "what": step.what, "actor": step.actor, "text": step.text}
    if step.alert is not None:
        shown["alert"] = step.alert.id
        shown["severity"] = to_json(step.alert.severity)
    if step.sent:
        shown |= {"sent": step.sent, "before": step.before}
    if step.erased:
        shown["erased"] = list(step.erased)
    return shown


def entry_as_json(row: LogRow) -> dict[str, Json]:
    """An entry with its number in this store; what it leaves empty is left out, as in the log itself. What was said
    with it stands beside it."""
    shown: dict[str, Json] = to_json(row.entry) | {"said": row.said}
    return {"id": row.id} | {name: value for name, value in shown.items() if value not in (None, "", {})}


def entry_text(entry: Entry, said: str | None = None, *, without: Collection[str] = ()) -> str:
    """What an entry says beyond its action, in a line, and what was said with it: a sentence that ends with what to do,
    so it is never cut. Details named in `without` are told elsewhere."""
    alerts = entry.detail.get("alerts")
    if isinstance(alerts, list):
        return _deliveries_text(alerts)
    what = ": ".join(part for part in (entry.outcome, entry.reason) if part)
    where = " ".join(part for part in (entry.number or "", f"at {entry.target}" if entry.target else "") if part)
    asked = entry.detail.get(FILTER)
    detail = {**asked, **entry.detail} if isinstance(asked, dict) else entry.detail
    without = {INTENT, FILTER, *without}
    told = {name: value for name, value in detail.items() if name not in without and value not in (None, "")}
    details = ", ".join(f"{name} {_short(value)}" for name, value in told.items())
    return "; ".join(part for part in (what, where, details, _line(said or "")) if part)


def _arrival(alert: AlertRow) -> Step:
    return Step(
        at=alert.received_at, what="alert", actor=f"source:{alert.source}", text=_alert_text(alert), alert=alert
    )


def _alert_text(alert: AlertRow) -> str:
    return f"{alert.id} {_says(alert)}"


def _says(alert: AlertRow) -> str:
    return f"{alert.status}, {plain(alert.severity)}: {alert.outcome} ({alert.reason})"


def _told(row: LogRow, intents: Mapping[int, IntentRow], of: str | None) -> Step:
    entry = row.entry
    intent = intents.get(entry.detail.get(INTENT, 0)) if entry.action is Action.INTENDED else None
    sent = intent.fields if intent is not None and isinstance(intent.fields, dict) else {}
    erased = tuple(sorted(entry.detail.get("fields", ()))) if intent is not None and not sent else ()
    text = entry_text(entry, row.said, without=("fields",) if sent or erased else ())
    if of is not None and entry.correlation_id not in (None, of):
        text = "; ".join(part for part in (text, f"about {entry.correlation_id}") if part)
    return Step(
        at=entry.at,
        what=entry.action.value,
        actor=entry.actor,
        text=text,
        sent=sent,
        before=intent.before if intent is not None else {},
        erased=erased,
    )


def _deliveries_text(alerts: list[Json]) -> str:
    outcomes = Counter(alert.get("outcome", "") for alert in alerts if isinstance(alert, dict))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    quarantined = {alert.get("reason", "") for alert in alerts if alert.get("outcome") == "quarantined"}
    why = f" ({', '.join(sorted(quarantined))})" if quarantined else ""
    times = sorted({alert["event_time"] for alert in alerts if isinstance(alert, dict) and "event_time" in alert})
    return "; ".join([f"{counts}{why}" or "no alerts", *(f"event_time {text}" for text in times)])


def _runs(steps: Sequence[Step]) -> Iterator[list[Step]]:
    for index, run in groupby(enumerate(steps), key=lambda pair: _says(pair[1].alert) if pair[1].alert else pair[0]):
        del index
        yield [step for _, step in run]


def _run_rows(run: list[Step]) -> Iterator[tuple[str, str, str]]:
    first = run[0]
    yield time_text(first.at), first.what, first.text
    if len(run) > 1:
        yield "", "", f"and {len(run) - 1} like it, until {time_text(run[-1].at)}"
    for name, value in first.sent.items():
        before = f" (before: {_short(first.before[name])})" if name in first.before else ""
        yield "", "", f"  {name} = {_short(value)}{before}"
    for name in first.erased:
        yield "", "", f"  {name}: erased"


def _line(value: Json) -> str:
    words = list(value) if isinstance(value, list | dict) else [plain(value) if isinstance(value, bool) else value]
    return " ".join(" ".join(map(str, words)).split())


def _short(value: Json) -> str:
    if isinstance(value, dict) and value and all(type(count) is int for count in value.values()):
        value = [word for name, count in value.items() for word in (name, count)]  # of counts the names say nothing
    text = _line(value)
    return text if len(text) <= FIELD_CHARACTERS_MAX else text[: FIELD_CHARACTERS_MAX - 1] + "…"
