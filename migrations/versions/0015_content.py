"""What came out of a delivery's envelope, where that is not the body itself."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("content", sa.LargeBinary()))
