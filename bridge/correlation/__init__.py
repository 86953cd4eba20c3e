"""What a problem is called, what should be done about it, when to try again. Pure: no clock, no socket, no store."""
