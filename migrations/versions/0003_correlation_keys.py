"""Every ID that leads to a correlation: a mapping's change of `correlation.id` gives it a second one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "correlation_keys",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("correlation", ID, nullable=False),
        sa.ForeignKeyConstraint(["correlation"], ["correlations.id"]),
        sa.PrimaryKeyConstraint("tenant", "key"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO correlation_keys (tenant, key, correlation) SELECT tenant, key, id FROM correlations")
