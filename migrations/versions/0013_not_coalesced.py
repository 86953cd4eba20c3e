"""Updates that made a record are found by their target: while its transform map does that, no other is sent."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

WHERE = sa.text("outcome_code = 'not_coalesced'")


def upgrade() -> None:
    op.create_index("intents_not_coalesced", "intents", ["target"], sqlite_where=WHERE, postgresql_where=WHERE)
