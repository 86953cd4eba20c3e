"""Which records are ours: exactly our correlation ID, and a display that ends in our installation. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.servicenow.record import Record

DISPLAY_CHARACTERS_MAX = 100  # of task.correlation_display
SEPARATOR = " · "
NO_DISPLAY = "incident bridge"  # a display that began with the separator would lose its blank to ServiceNow's trimming


def display_of(display: str, installation: str) -> str:
    """What correlation_display is set to: the display, cut so that the installation always fits."""
    mark = _mark(installation)
    room = DISPLAY_CHARACTERS_MAX - len(mark)
    if room < 1:
        raise ValueError("the installation's name does not fit correlation_display")
    return (display.strip() or NO_DISPLAY)[:room].rstrip() + mark


def is_ours(record: Record, *, correlation_id: str, installation: str) -> bool:
    same_id = record.text("correlation_id") == correlation_id
    return same_id and has_mark(record, installation)


def has_mark(record: Record, installation: str) -> bool:
    return record.text("correlation_display").endswith(_mark(installation))


def same_owner(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether a record is of the correlation and the installation that `fields` were sent for."""
    installation = fields["correlation_display"].rpartition(SEPARATOR)[2]
    return is_ours(record, correlation_id=fields["correlation_id"], installation=installation)


def _mark(installation: str) -> str:
    return f"{SEPARATOR}{installation}"
