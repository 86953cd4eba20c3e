"""The real engine against a fake ServiceNow, in one process, on a clock and a scheduler that a seed decides."""
