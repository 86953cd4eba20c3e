"""The store: what must survive. Every function takes a connection inside a transaction and never commits."""

from bridge.store import log_tables, pruning_tables, reconciler_tables, statement_tables, token_tables  # noqa: F401 (their tables belong to the metadata that bridge.store.tables holds)
