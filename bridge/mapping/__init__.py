"""The mapping language: YAML files that turn a source's alerts into a correlation ID, a route and incident fields."""
