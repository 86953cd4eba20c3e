"""What keeps a record from being written to, or from being taken for deleted."""

from __future__ import annotations

from bridge.errors import Permanent, Transient
from bridge.servicenow.record import Record
from bridge.settings import CORRELATION_ID, Target
from bridge.store.held import Incident
from bridge.sync.fields import episode_key
from bridge.sync.sight import Sight


def no_longer_ours(record: Record) -> Permanent:
    return Permanent(
        "id_in_use",
        f"{record.number} does not carry our correlation ID and mark any more: nothing is written to it. Restore "
        "correlation_id and correlation_display, or delete the record.",
    )


def refuse_if_there(sight: Sight, sys_id: str, *, deadline: float) -> None:
    """A 404 also means that an ACL hides the record: only one that no list shows either has been deleted. Raises
    Transient.
    """
    found = sight.table.find(sight.target.table, sight.held.incident.correlation_id, deadline=deadline)
    if any(record.sys_id == sys_id for record in found):
        raise Transient("record_hidden", "ServiceNow said that the record is gone, and lists it: it is read again.")


def refuse_another_key(record: Record, target: Target, incident: Incident) -> None:
    """Before a write: a map that coalesces would write an update into whatever has the key, or make a record. Raises
    Permanent.
    """
    if target.staging is None or not target.staging.coalesces or target.key_field == CORRELATION_ID:
        return
    if record.text(target.key_field) != (key := episode_key(incident)):
        raise Permanent(
            "another_key",
            f"{record.number} has {record.text(target.key_field) or 'nothing'!r} in {target.key_field}, by which "
            f"{target.staging.table} finds the record of an update: nothing is written. Set it to {key!r} there, and "
            "clear it in any other record that has that.",
        )
