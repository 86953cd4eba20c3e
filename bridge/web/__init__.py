"""HTTP in: the hooks that sources post to, health, metrics."""
