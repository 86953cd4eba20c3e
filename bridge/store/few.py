"""Indexes of the few among very many: what a start and a sweep look for, however much is over by then.

Each condition stands in its statement as it stands in its index, spelt out: by a parameter SQLite could not tell that
the index serves.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Index, literal_column, text

from bridge.store.tables import correlations, incidents

# The last decision was settled while its target was only observed.
IS_OBSERVED: ColumnElement[bool] = literal_column("substr(last_decision, 1, 6) = 'would_'")
IS_OPEN: ColumnElement[bool] = incidents.c.state == text("'open'")
IS_LEASED: ColumnElement[bool] = incidents.c.lease_until.is_not(None)

Index(
    "correlations_observed", correlations.c.target, sqlite_where=IS_OBSERVED, postgresql_where=IS_OBSERVED
)  # start.wake_observed
Index("incidents_open", incidents.c.id, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)  # reconciling.to_sweep
# start.void_leases, which is SQLite's. On PostgreSQL it is empty: a lease that an index knows of would make each claim
# write anew into all indexes of the row.
Index("incidents_leased", incidents.c.id, sqlite_where=IS_LEASED, postgresql_where=text("false"))
