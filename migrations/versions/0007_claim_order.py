"""What is due is claimed by its kind: creates before closes before updates. Each kind is a range of the index."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.drop_index("correlations_due", table_name="correlations")
    op.create_index(
        "correlations_due",
        "correlations",
        ["open", "status", "due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
