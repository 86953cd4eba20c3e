"""What the bridge writes into an incident in its own words. Pure."""

from __future__ import annotations

from bridge.alert import Severity
from bridge.correlation.policy import Kind, Reason

_SAID = {
    Reason.SEVERITY_ROSE: "The severity rose to {severity}.",
    Reason.FIRES_AGAIN: "The source reports that it fires again.",
    Reason.LEFT_TO_PERSON: "The source reports this resolved. People are on it, so it is left to you to close.",
    Reason.CLOSE_OFF: "The source reports this resolved. Incidents are not closed here by the bridge.",
    Reason.CLOSE_REFUSED: "The source reports this resolved, but ServiceNow refused to close the incident.",
    Reason.CAME_BACK: "Reopened: the source reports it again.",
    Reason.RESOLVED: "Closed: the source reports this resolved.",
}


def work_note(kind: Kind, reason: Reason, severity: Severity, *, own: str, count: int, ref: str) -> str:
    """Our sentence, the mapping's own text, and the [ref] by which the note is recognised after a lost answer."""
    said = _SAID.get(reason, "").format(severity=severity.word.title())
    if kind is Kind.UPDATE and not own and reason is Reason.REPEATS:
        said = f"Alerts so far: {count}."
    return "\n".join(part for part in (said, own, f"[{ref}]") if part)


def linked(number: str | None, ref: str) -> str:
    """The first note of a new episode."""
    return f"Follows {number}: the same problem returned.\n[{ref}]" if number else f"[{ref}]"
