"""The age of the queue is asked of what is not settled; new problems are found by their source."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    unapplied = sa.text("applied_seq < last_seq")
    op.create_index(
        "correlations_unapplied", "correlations", ["id"], sqlite_where=unapplied, postgresql_where=unapplied
    )
    new = sa.text("open IS {} AND status = 'firing' AND due_at IS NOT NULL".format("0" if _is_sqlite() else "false"))
    op.create_index("correlations_new", "correlations", ["source", "due_at"], sqlite_where=new, postgresql_where=new)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
