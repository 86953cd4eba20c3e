"""A person's wish to try again outlives the round that is under way."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("correlations", sa.Column("sync_asked_at", sa.BigInteger()))
