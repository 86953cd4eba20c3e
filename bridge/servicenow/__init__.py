"""The way to ServiceNow: one client per instance, one error map, the Table API on it."""
