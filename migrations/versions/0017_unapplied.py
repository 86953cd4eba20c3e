"""The age of the queue is asked of what is not settled, not of all that waits for a time."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    unapplied = sa.text("applied_seq < last_seq")
    op.create_index(
        "correlations_unapplied", "correlations", ["id"], sqlite_where=unapplied, postgresql_where=unapplied
    )
