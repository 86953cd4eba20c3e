"""The correlation log: the append-only record of what was received, decided and written."""
