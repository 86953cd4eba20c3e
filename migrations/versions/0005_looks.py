"""What /readyz and the log of one correlation look for, found without reading everything."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for name, table, column in (
        ("correlations_failing", "correlations", "failure"),
        ("log_entries_by_delivery", "log_entries", "delivery"),
    ):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, table, [column], unique=False, sqlite_where=there, postgresql_where=there)
