"""What people do to the records is looked for: what we last saw of each, how far we have looked, what was found."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("installation", sa.Column("restored_at", sa.BigInteger(), nullable=True))
    op.add_column("incidents", sa.Column("seen", sa.LargeBinary(), nullable=True))
    op.add_column("incidents", sa.Column("look_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "incidents_by_record",
        "incidents",
        ["sys_id"],
        unique=False,
        sqlite_where=sa.text("sys_id IS NOT NULL"),
        postgresql_where=sa.text("sys_id IS NOT NULL"),
    )
    op.create_table(
        "reconcilers",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("sweep_at", sa.BigInteger(), nullable=False),
        sa.Column("swept_to", ID, nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("instance"),
    )
    op.create_table(
        "reconciled_tables",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("seen_to", sa.Text(), nullable=True),
        sa.Column("page_time", sa.Text(), nullable=True),
        sa.Column("page_sys_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("instance", "table"),
    )
    op.create_table(
        "strays",
        sa.Column("id", ID, nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("sys_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_on", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("incident", ID, nullable=True),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_until", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("outcome_text", sa.Text(), nullable=True),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance", "table", "sys_id"),
    )
    op.create_index("strays_by_key", "strays", ["key"], unique=False)
