"""What a delivery became: looked for in the store while the bridge that runs works on it, and shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from bridge.cli.output import counted, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.alert import Json
    from bridge.store.arrivals import Arrival, TurnedAway
    from bridge.store.engine import Store
    from bridge.store.rows import AlertRow, CorrelationRow

LOOK_SECONDS = 0.25
PROGRESS_SECONDS = 10.0  # so often a line says that we still wait
SETTLE_SECONDS = 30.0  # for the decision; it may wait longer, for a quiet time or an instance that is away
ALERTS_SHOWN = 20  # of one delivery
COLUMNS = ("ALERT", "OUTCOME", "SEVERITY", "CORRELATION ID", "INCIDENT", "WHAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """One alert, and the problem that it is about as it is now."""

    alert: AlertRow
    problem: CorrelationRow | None  # None: it is about none, as in quarantine

    @property
    def settled(self) -> bool:
        """Whether something was decided, or failed; else sync has yet to look at it."""
        return self.problem is None or self.problem.last_decision is not None or self.problem.failure is not None

    @property
    def what(self) -> str:
        alert, problem = self.alert, self.problem
        if problem is None:
            return alert.detail or alert.reason
        if problem.failure is not None:
            return problem.failure_text or problem.failure
        return problem.last_decision or "waits to be looked at"


def wait_for_first(store: Store, source: str, after: int, shown: Callable[[TurnedAway | None], None]) -> Arrival:
    """Returns when a delivery of the source is there that came after that one.

    `shown` is told every now and then what was turned away.
    """
    from bridge.store.arrivals import first_delivery, turned_away

    due = time.monotonic() + PROGRESS_SECONDS
    while True:
        with store.reading() as tx:
            arrival = first_delivery(tx, source, after=after, limit=ALERTS_SHOWN)
            refused = turned_away(tx, source)
        if arrival is not None:
            return arrival
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_SECONDS
            shown(refused)
        time.sleep(LOOK_SECONDS)


def wait_until_settled(store: Store, arrival: Arrival, tenant: str) -> list[Became]:
    """What its alerts became, or what is known of them after SETTLE_SECONDS."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        became = _became(store, arrival, tenant)
        if all(one.settled for one in became) or time.monotonic() >= until:
            return became
        time.sleep(LOOK_SECONDS)


def _became(store: Store, arrival: Arrival, tenant: str) -> list[Became]:
    from bridge.store.queries import find_correlations

    with store.reading() as tx:
        return [
            Became(
                alert=alert,
                problem=next((row for row in find_correlations(tx, alert.correlation_id) if row.tenant == tenant), None)
                if alert.correlation_id is not None
                else None,
            )
            for alert in arrival.alerts
        ]


def show(arrival: Arrival, became: list[Became]) -> None:
    if not became:
        click.echo(f"Delivery {arrival.delivery} holds no alert: it is a ping, or a question of the product's.")
        return
    rows = [
        (
            one.alert.id,
            one.alert.outcome,
            one.alert.severity,
            one.alert.correlation_id,
            one.problem.number if one.problem is not None else "",
            one.what,
        )
        for one in became
    ]
    show_table(COLUMNS, rows, empty="")
    if len(became) == ALERTS_SHOWN:
        click.echo(f"These are the first {counted(ALERTS_SHOWN, 'alert')}; `bridge alerts list` shows more.")
    click.echo("\n".join(_next(became)))


def _next(became: list[Became]) -> Iterator[str]:
    quarantined = [one for one in became if one.alert.outcome == "quarantined"]
    if quarantined:
        yield f"What is quarantined waits for a mended mapping: `bridge alerts show {quarantined[0].alert.id}`."
    if not all(one.settled for one in became):
        yield "Not all of it is decided yet: is `bridge serve`, or `bridge worker`, at work on this database?"
    known = [one.problem for one in became if one.problem is not None]
    if known:
        yield f"The whole story: `bridge incidents show '{known[0].correlation_id}'`."


def as_object(arrival: Arrival, became: list[Became]) -> dict[str, Json]:
    return {
        "delivery": str(arrival.delivery),
        "alerts": [
            {
                "alert": one.alert.id,
                "outcome": one.alert.outcome,
                "reason": one.alert.reason,
                "detail": one.alert.detail,
                "correlation_id": one.alert.correlation_id,
                "severity": one.alert.severity.word if one.alert.severity is not None else None,
                "incident": one.problem.number if one.problem is not None else None,
                "decision": one.problem.last_decision if one.problem is not None else None,
                "failure": one.problem.failure_text if one.problem is not None else None,
            }
            for one in became
        ],
    }
