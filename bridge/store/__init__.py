"""The store: what must survive. Every function takes a connection inside a transaction and never commits."""

from bridge.store import reconciler_tables  # noqa: F401 (its tables belong to the metadata that bridge.store.tables holds)
