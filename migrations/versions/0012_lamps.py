"""What the brake holds is found by how bad it is; what the bridge has told of itself is remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.drop_index("correlations_braked", table_name="correlations")
    op.create_index(
        "correlations_braked",
        "correlations",
        ["target", "severity"],
        unique=False,
        sqlite_where=sa.text("last_decision = 'nothing: brake'"),
        postgresql_where=sa.text("last_decision = 'nothing: brake'"),
    )
    op.create_table(
        "lamps",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("told", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
