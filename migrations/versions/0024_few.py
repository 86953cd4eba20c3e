"""What a start and a sweep look for is found among any number of problems that are over."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

OBSERVED = sa.text("substr(last_decision, 1, 6) = 'would_'")
OPEN = sa.text("state = 'open'")
LEASED = sa.text("lease_until IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "correlations_observed", "correlations", ["target"], sqlite_where=OBSERVED, postgresql_where=OBSERVED
    )
    op.create_index("incidents_open", "incidents", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
    # On PostgreSQL it stays empty: see bridge/store/few.py.
    op.create_index("incidents_leased", "incidents", ["id"], sqlite_where=LEASED, postgresql_where=sa.text("false"))
