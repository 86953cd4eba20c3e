"""The daily statement of completeness: where it has got to, and how the rows of a period are found."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stated_to", sa.BigInteger(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliveries_by_source", "deliveries", ["source", "received_at"])
    op.create_index("intents_by_start", "intents", ["started_at"])
    beside = sa.text("delivery IS NULL")
    op.create_index("log_entries_by_time", "log_entries", ["at"], sqlite_where=beside, postgresql_where=beside)
