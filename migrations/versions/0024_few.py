"""What a start and a sweep look for is found among any number of problems that are over."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

OBSERVED = sa.text("substr(last_decision, 1, 6) = 'would_'")
OPEN = sa.text("state = 'open'")
LEASED = sa.text("lease_until IS NOT NULL")
NEW = "NOT ({} OR status != 'firing' OR due_at IS NULL)"


def upgrade() -> None:
    op.create_index(
        "correlations_observed", "correlations", ["target"], sqlite_where=OBSERVED, postgresql_where=OBSERVED
    )
    op.create_index("incidents_open", "incidents", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
    # On PostgreSQL it stays empty: see bridge/store/few.py.
    op.create_index("incidents_leased", "incidents", ["id"], sqlite_where=LEASED, postgresql_where=sa.text("false"))
    # As one term: with three SQLite went through all that is new at every claim.
    new = sa.text(NEW.format("open = 1" if op.get_bind().dialect.name == "sqlite" else "open"))
    op.drop_index("correlations_new", "correlations")
    op.create_index("correlations_new", "correlations", ["source", "due_at"], sqlite_where=new, postgresql_where=new)
