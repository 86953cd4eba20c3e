"""What goes with an incident says why it waits, and how often it has been sent."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("additions", sa.Column("outcome_text", sa.Text))
    op.add_column("additions", sa.Column("tries", sa.Integer, nullable=False, server_default="0"))
