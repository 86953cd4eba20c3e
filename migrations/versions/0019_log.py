"""The correlation log is sealed: its tree, its checkpoints, its anchors; the values of a write can be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("intents", sa.Column("salt", sa.LargeBinary()))
    op.add_column("intents", sa.Column("before", sa.LargeBinary()))
    _add_xact()
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("sealed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log_seals",
        sa.Column("first_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("ids", sa.LargeBinary(), nullable=False),
        sa.Column("id_min", ID, nullable=False),
        sa.Column("id_max", ID, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first_index"),
    )
    op.create_index("log_seals_by_ids", "log_seals", ["id_min", "id_max"])
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
    )
    op.create_table(
        "log_anchors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger()),
        sa.Column("failed_at", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("name"),
    )


def _add_xact() -> None:
    """PostgreSQL writes no row for a constant default: entries that are there already count as of transaction 0."""
    if op.get_bind().dialect.name == "sqlite":
        op.add_column("log_entries", sa.Column("xact", sa.BigInteger()))
    else:
        op.add_column("log_entries", sa.Column("xact", sa.BigInteger(), server_default="0"))
        op.alter_column("log_entries", "xact", server_default=sa.text("(pg_current_xact_id()::text::bigint)"))
    op.create_index("log_entries_by_xact", "log_entries", ["xact", "id"], sqlite_where=sa.text("xact IS NOT NULL"))
