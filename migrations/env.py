"""Alembic's entry: runs the migrations on the connection, and in the transaction, that bridge.store.schema gives."""

from alembic import context

from bridge.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
context.run_migrations()
