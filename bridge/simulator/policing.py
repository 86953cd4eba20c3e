"""Values that break the contract, or lean on something that nobody has promised. Pure."""

from __future__ import annotations

from bridge.alert import Json
from bridge.simulator.table import JOURNALS, LENGTHS

Row = dict[str, str]


def value_violation(column: str, value: Json) -> str | None:
    """The violation's code, where `value` is written to `column` of a record."""
    if value is not None and not isinstance(value, str):
        return "not_text"
    if value and column in LENGTHS and len(value) > LENGTHS[column]:
        return "too_long"
    if value and column in JOURNALS and "[code]" in value:
        return "code_in_journal"  # HTML would be rendered [OFFICIAL]; nothing that comes from an alert may open it
    return None


def risk_violation(after: Row, written: Row) -> str | None:
    """A risk score is calculated anew unless it is overridden [OFFICIAL]."""
    if written.get("risk_score") and after.get("risk_score_override") != "true":
        return "risk_score_not_overridden"
    return None
