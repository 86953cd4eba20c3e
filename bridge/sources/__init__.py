"""A source at the door: how it proves itself, how it wraps its alerts, how its bytes become a document. Pure."""
