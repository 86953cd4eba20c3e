"""Several correlations can share an incident: how each came to it, and which values an open one takes in."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("episodes", sa.Column("part", sa.Text(), nullable=False, server_default="opened"))
    op.create_table(
        "join_keys",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("incident", ID, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"]),
        sa.PrimaryKeyConstraint("target", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("join_keys_by_incident", "join_keys", ["incident"], unique=False)
