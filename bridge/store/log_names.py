"""What the names that people ask the log for mean in this store: correlation IDs, and numbers of incidents."""

from __future__ import annotations

from sqlalchemy import Connection, select

from bridge.alert import key_of
from bridge.log.entries import Action
from bridge.log.export import About, delivery_listing
from bridge.store.log_list import AT_ONCE
from bridge.store.queries import find_correlations
from bridge.store.tables import alerts, correlation_keys, episodes, incidents, log_entries


def about_correlation(tx: Connection, words: str) -> About:
    """By correlation ID, or the number of an incident: of the problems that it stands for. What the store does not know
    may be in the log still: its ID as it was given is looked for.
    """
    rows = [row.row_id for row in find_correlations(tx, words)]
    known = select(correlation_keys.c.key).where(correlation_keys.c.correlation.in_(rows))
    keys = frozenset(tx.execute(known).scalars()) | {key_of(words)}
    its_incidents = select(episodes.c.incident).where(episodes.c.correlation.in_(rows))
    its_deliveries = select(alerts.c.delivery_id).where(alerts.c.correlation.in_(rows)).distinct()
    return About(
        keys=keys,
        correlations=frozenset(rows),
        incidents=frozenset(tx.execute(its_incidents).scalars()),
        deliveries=frozenset(tx.execute(its_deliveries).scalars()) | _replayed(tx, keys),
    )


def _replayed(tx: Connection, keys: frozenset[str]) -> frozenset[int]:
    """Deliveries that brought an alert which waited in quarantine: only its replay names the ID. Asked of the log, for
    rows of alerts are kept for a shorter time.
    """
    replays = select(log_entries.c.entry).where(log_entries.c.action == Action.REPLAYED.value)
    with tx.execute(replays, execution_options={"yield_per": AT_ONCE}) as rows:
        return frozenset(found for row in rows if (found := delivery_listing(bytes(row.entry), keys)) is not None)


def about_incident(tx: Connection, number: str) -> About:
    rows = select(incidents.c.id).where(incidents.c.number == number.upper())
    return About(incidents=frozenset(tx.execute(rows).scalars()))
