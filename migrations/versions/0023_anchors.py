"""When an anchor's next turn is, and how often in a row it failed."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("log_anchors", sa.Column("due_at", sa.BigInteger()))
    op.add_column("log_anchors", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
