"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "correlations",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("correlation_text", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_time", sa.BigInteger(), nullable=False),
        sa.Column("status_changed_seq", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("alert_count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("applied_seq", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.LargeBinary(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("failure_text", sa.Text(), nullable=True),
        sa.Column("waits_for_person", sa.Boolean(), nullable=False),
        sa.Column("last_decision", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "key"),
    )
    op.create_index(
        "correlations_due",
        "correlations",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sys_id", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("episode", sa.LargeBinary(), nullable=True),
        sa.Column("written", sa.LargeBinary(), nullable=True),
        sa.Column("record_state", sa.Text(), nullable=True),
        sa.Column("state_before_close", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("target", "sys_id"),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log_entries",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("correlation", ID, nullable=True),
        sa.Column("incident", ID, nullable=True),
        sa.Column("delivery", ID, nullable=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "log_entries_by_correlation",
        "log_entries",
        ["correlation"],
        unique=False,
        sqlite_where=sa.text("correlation IS NOT NULL"),
        postgresql_where=sa.text("correlation IS NOT NULL"),
    )
    op.create_index(
        "log_entries_by_incident",
        "log_entries",
        ["incident"],
        unique=False,
        sqlite_where=sa.text("incident IS NOT NULL"),
        postgresql_where=sa.text("incident IS NOT NULL"),
    )
    op.create_table(
        "revisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("mapping", "digest"),
    )
    op.create_table(
        "target_states",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("revision_id", ID, nullable=True),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["revisions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fingerprint", "occurrence"),
    )
    op.create_table(
        "episodes",
        sa.Column("correlation", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("incident", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["correlation"],
            ["correlations.id"],
        ),
        sa.ForeignKeyConstraint(
            ["incident"],
            ["incidents.id"],
        ),
        sa.PrimaryKeyConstraint("correlation", "number"),
    )
    op.create_index("episodes_by_incident", "episodes", ["incident"], unique=False)
    op.create_table(
        "intents",
        sa.Column("id", ID, nullable=False),
        sa.Column("incident", ID, nullable=False),
        sa.Column("correlation", ID, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("fields", sa.LargeBinary(), nullable=False),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.LargeBinary(), nullable=False),
        sa.Column("revision_id", ID, nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("outcome_code", sa.Text(), nullable=True),
        sa.Column("sys_id", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["correlation"],
            ["correlations.id"],
        ),
        sa.ForeignKeyConstraint(
            ["incident"],
            ["incidents.id"],
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["revisions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("intents_by_incident", "intents", ["incident"], unique=False)
    op.create_index(
        "intents_creates",
        "intents",
        ["target", "started_at"],
        unique=False,
        sqlite_where=sa.text("operation = 'create'"),
        postgresql_where=sa.text("operation = 'create'"),
    )
    op.create_table(
        "alerts",
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("covers_rest", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("correlation", ID, nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=True),
        sa.Column("event_time", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("revision_id", ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["correlation"],
            ["correlations.id"],
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["revisions.id"],
        ),
        sa.PrimaryKeyConstraint("delivery_id", "position"),
    )
    op.create_index(
        "alerts_by_correlation",
        "alerts",
        ["correlation", "seq"],
        unique=True,
        sqlite_where=sa.text("correlation IS NOT NULL"),
        postgresql_where=sa.text("correlation IS NOT NULL"),
    )
    op.create_index(
        "alerts_quarantined",
        "alerts",
        ["delivery_id"],
        unique=False,
        sqlite_where=sa.text("outcome = 'quarantined'"),
        postgresql_where=sa.text("outcome = 'quarantined'"),
    )
