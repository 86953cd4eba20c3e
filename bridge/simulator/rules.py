"""What ServiceNow does by itself when a record is written: look-ups, closing stamps and the data policy. Pure."""

from __future__ import annotations

from bridge.simulator.answers import INCIDENT_CLOSE_LABELS, SIR_CLOSE_LABELS, business_rule, data_policy
from bridge.simulator.switches import StateOrder
from bridge.simulator.table import Table
from bridge.simulator.tables import INCIDENT_CLOSE_CODES, PRIORITY

Row = dict[str, str]

SECURITY_ORDER = ("10", "16", "18", "19", "20", "100", "3")  # Draft … Closed
CANCELLED = "7"


def apply_rules(table: Table, before: Row, after: Row, *, now: str, user_id: str, order: StateOrder) -> None:
    """Complete `after` in place, or raise Refused. `before` is empty on an insert."""
    if not table.is_task:
        return
    if order is StateOrder.STATEFUL and before and table.name == "sn_si_incident":
        _enforce_order(table, before["state"], after["state"])
    if table.name == "incident":
        _follow_incident_state(before, after)
        after["priority"] = PRIORITY.get((after["impact"], after["urgency"]), after.get("priority", ""))
    _enforce_close_policy(table, after)
    if before.get("state") != after["state"]:
        _stamp_state(table, before, after, now=now, user_id=user_id)


def _follow_incident_state(before: Row, after: Row) -> None:
    """`state` and `incident_state` mirror one another; when both are written, `state` wins [UNVERIFIED]."""
    if after.get("state") == before.get("state") and after.get("incident_state") != before.get("incident_state"):
        after["state"] = after["incident_state"]
    after["incident_state"] = after["state"]


def _enforce_order(table: Table, before: str, after: str) -> None:
    """One step forward, or cancelled from anywhere; never back [OFFICIAL order; UNVERIFIED refusal]."""
    place = {state: index for index, state in enumerate(SECURITY_ORDER)}
    if after in (before, CANCELLED) or place.get(after, -1) == place.get(before, -1) + 1:
        return
    raise business_rule(table.name, "Enforce process definition")


def _enforce_close_policy(table: Table, after: Row) -> None:
    """403 without a known close code and notes [OBSERVED]; on sn_si_incident as "Closure Information" [OFFICIAL]."""
    if after["state"] not in table.close_policy_states:
        return
    labels = INCIDENT_CLOSE_LABELS if table.name == "incident" else SIR_CLOSE_LABELS
    missing = [label for column, label in labels.items() if not after.get(column)]
    code_unknown = table.name == "incident" and after.get("close_code", "") not in INCIDENT_CLOSE_CODES
    if code_unknown and labels["close_code"] not in missing:
        missing.insert(0, labels["close_code"])
    if missing:
        raise data_policy(missing)


def _stamp_state(table: Table, before: Row, after: Row, *, now: str, user_id: str) -> None:
    """`active` false in an ended state [CLIENT samples]; clearing the stamps on a reopen is [UNVERIFIED]."""
    done = table.ended_states | table.close_policy_states
    ended = after["state"] in table.ended_states
    after["active"] = "false" if ended else "true"
    after["closed_at"] = now if ended else ""
    after["closed_by"] = user_id if ended else ""
    if table.name != "incident":
        return
    if after["state"] == "6":
        after["resolved_at"], after["resolved_by"] = now, user_id
    elif after["state"] not in done:
        after["resolved_at"] = after["resolved_by"] = ""
    if before.get("state") in done and after["state"] not in done:
        after["reopen_count"] = str(int(before.get("reopen_count") or "0") + 1)
        after["reopened_time"], after["reopened_by"] = now, user_id
