"""What the brake holds is found without reading what waits for a timer, and the quarantine in its order."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    held = sa.text("last_decision = 'nothing: brake'")
    op.create_index("correlations_braked", "correlations", ["target"], sqlite_where=held, postgresql_where=held)
    quarantined = sa.text("outcome = 'quarantined'")
    op.drop_index("alerts_quarantined", table_name="alerts")
    op.create_index(
        "alerts_quarantined",
        "alerts",
        ["delivery_id", "position"],
        sqlite_where=quarantined,
        postgresql_where=quarantined,
    )
