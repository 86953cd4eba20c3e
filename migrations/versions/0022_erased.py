"""When an incident's values were erased, and whose turn it is to prune by `retention`."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("erased_at", sa.BigInteger()))
    op.create_table(
        "prunings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("log_to", sa.BigInteger(), nullable=False),
    )
