"""What the bridge writes into an incident in its own words. Pure, but for the mark by which a note is known again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

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


# What is said of all that share the incident, and not of the one that speaks.
_OF_ALL = frozenset({Reason.LEFT_TO_PERSON, Reason.CLOSE_OFF, Reason.CLOSE_REFUSED, Reason.RESOLVED})


def work_note(
    kind: Kind,
    reason: Reason,
    severity: Severity,
    *,
    own: str,
    count: int,
    ref: str,
    about: str = "",
    joined: Sequence[tuple[str, int]] = (),
    left: Sequence[str] = (),
) -> str:
    """Our sentence, the mapping's own text, and the [ref] by which the note is recognised after a lost answer.

    `about`: the correlation ID that speaks, where several share the incident. `joined`: (ID, its alerts so far) of
    those taken in, `left`: IDs of those taken out, which the incident does not tell yet.
    """
    news = [f"{_alerts(many)} of {name} joined: they share this incident from now on." for name, many in joined]
    news += [f"{name} was taken out of this incident: a problem of its own from now on." for name in left]
    said = _SAID.get(reason, "").format(severity=severity.word.title())
    if kind is Kind.UPDATE and not own and reason in (Reason.REPEATS, Reason.JOINED, Reason.SPLIT):
        said = f"Alerts so far: {count}."
    named = reason in _OF_ALL or about in [name for name, _ in joined] or (reason is Reason.SPLIT and not own)
    head = f"About {about}:" if about and not named else ""
    return "\n".join(part for part in (*news, head, said, own, f"[{ref}]") if part)


def _alerts(many: int) -> str:
    return "1 alert" if many <= 1 else f"{many} alerts"


def linked(number: str, ref: str) -> str:
    """The first note of a new episode."""
    return f"Follows {number}: the same problem returned.\n[{ref}]"


def taken_out(number: str, ref: str) -> str:
    """The first note of what a person has taken out of an incident."""
    return f"Taken out of {number}: a problem of its own.\n[{ref}]"


def new_ref() -> str:
    """What a work note carries so that it can be recognised: eight hex digits."""
    return secrets.token_hex(4)
