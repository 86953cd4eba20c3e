"""The store: what must survive. Every function takes a connection inside a transaction and never commits."""
