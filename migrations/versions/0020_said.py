"""What a step said to people beside its entry, where it can be erased; and the configuration of the last start."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("log_entries", sa.Column("said", sa.Text()))
    op.add_column("installation", sa.Column("configuration", sa.LargeBinary()))
